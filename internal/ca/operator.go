package ca

import (
	"fmt"
	"time"

	"dtc"
)

// How long a person's certificate lives.
const (
	OperatorTTL    = 7 * 24 * time.Hour // unless another time is asked for
	MaxOperatorTTL = 366 * 24 * time.Hour
)

// IssueOperator makes a key and certifies it as a person's, who is
// [dtc.RoleOperator] or [dtc.RoleViewer]. See [StoreOperator].
func (a *Authority) IssueOperator(name string, role dtc.Role, ttl time.Duration) (keyPEM, certPEM, caPEM []byte, err error) {
	if role != dtc.RoleOperator && role != dtc.RoleViewer {
		return nil, nil, nil, fmt.Errorf("issue a certificate for %+q: the role %+q is none of a person's: operator or viewer", name, role)
	}
	if ttl <= 0 || ttl > MaxOperatorTTL {
		return nil, nil, nil, fmt.Errorf("issue a certificate for %+q: it may live up to %d days, not %s", name, int(MaxOperatorTTL.Hours()/24), ttl)
	}
	if err := checkName(name, nil); err != nil {
		return nil, nil, nil, fmt.Errorf("issue a certificate for %+q: %w", name, err)
	}
	keyPEM, csr, err := NewKey()
	if err != nil {
		return nil, nil, nil, err
	}
	key, err := requestKey(csr)
	if err != nil {
		return nil, nil, nil, err
	}
	certPEM, _, err = a.issue(name, leaf{peer: dtc.Peer{ID: newID(), Role: role}, key: key, life: ttl})
	return keyPEM, certPEM, a.signing.Load().bundle.encode(), err
}
