package ca

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"dtc"
)

// revokedFile is the list of revoked certificates, on every host.
const revokedFile = "revoked"

// keepListed is how long after its end a revoked certificate stays on the list,
// for hosts whose clock is behind.
const keepListed = 30 * 24 * time.Hour

// revocations is a list of revoked certificates. It does not change.
type revocations struct {
	raw    []byte // as it was signed
	signer [32]byte
	number uint64
	ids    map[string]struct{}
}

// parseRevocations reads a list that one of the bundle's CAs has signed. Its
// ids ascend, so that there is one encoding of what it says.
func parseRevocations(data []byte, by *bundle) (*revocations, error) {
	s, err := parseStatement(kindList, data)
	if err != nil {
		return nil, fmt.Errorf("the list of revoked certificates: %w", err)
	}
	if at := by.rank(s.signer); at == len(by.certs) || !s.signedBy(by.certs[at]) {
		return nil, fmt.Errorf("the list of revoked certificates: %w", errOtherCA)
	}
	l := &revocations{raw: bytes.Clone(data), signer: s.signer, number: s.number, ids: make(map[string]struct{}, len(s.items))}
	for i, item := range s.items {
		if !plainID(string(item)) || i > 0 && bytes.Compare(s.items[i-1], item) >= 0 {
			return nil, errors.New("the list of revoked certificates: its ids are malformed or out of order: refused")
		}
		l.ids[string(item)] = struct{}{}
	}
	return l, nil
}

// errOtherCA means that a statement is of no CA that is trusted.
var errOtherCA = errors.New("it is not signed by the fleet's CA: refused")

// follow returns the list of a statement, if it is newer than l by the trust in
// by. Numbers count within one CA; the list of the CA that signs now is newer
// than any of the other one, whose key may be why it goes.
func (l *revocations) follow(data []byte, by *bundle) (*revocations, error) {
	next, err := parseRevocations(data, by)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return next, nil
	}
	before, now := by.rank(l.signer), by.rank(next.signer)
	if now > before || now == before && next.number <= l.number {
		return nil, fmt.Errorf("the list of revoked certificates has the number %d, but number %d is known: refused", next.number, l.number)
	}
	return next, nil
}

// has reports whether a certificate's id is on the list.
func (l *revocations) has(id string) bool {
	if l == nil {
		return false
	}
	_, ok := l.ids[id]
	return ok
}

// of returns the number, 0 of none.
func (l *revocations) of() uint64 {
	if l == nil {
		return 0
	}
	return l.number
}

// readRevocations reads the list that is kept at path. One of a CA that is not
// trusted (any more) counts as none.
func readRevocations(path string, by *bundle) (*revocations, error) {
	data, err := readLimited(path, maxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, err := parseRevocations(data, by)
	if errors.Is(err, errOtherCA) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; remove it: the monitor sends it again at the next contact", path, err)
	}
	return l, nil
}

// listed returns the ids that belong on the list now, ascending. If there are
// more than fit, the oldest of agents are left out: nobody asks anything with
// an agent's certificate.
func (r *register) listed(now time.Time) (ids []string) {
	var people, agents []*Record
	for i := range r.records {
		switch c := &r.records[i]; {
		case c.Revoked.IsZero() || now.After(c.Expires.Add(keepListed)):
		case c.Role == dtc.RoleAgent:
			agents = append(agents, c)
		default:
			people = append(people, c)
		}
	}
	slices.SortStableFunc(agents, func(a, b *Record) int { return b.Revoked.Compare(a.Revoked) })
	all := slices.Concat(people, agents)
	for _, c := range all[:min(len(all), maxItems)] {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// says reports whether the list is by a CA and has just these ids.
func (l *revocations) says(by [32]byte, ids []string) bool {
	return l != nil && l.signer == by && len(l.ids) == len(ids) &&
		!slices.ContainsFunc(ids, func(id string) bool { return !l.has(id) })
}
