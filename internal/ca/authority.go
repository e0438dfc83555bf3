package ca

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// The files of the authority.
const (
	caFile       = "ca"
	registerFile = "issued"
	lockFile     = ".lock"
	certSuffix   = ".crt"
	keySuffix    = ".key"
	certMode     = 0o644
	dirMode      = 0o700
	parentMode   = 0o755
)

// Authority certifies the members of the fleet. It is safe for use by several
// goroutines, and beside other processes that have the same one open.
type Authority struct {
	dir  string
	now  func() time.Time
	cert *x509.Certificate // the CA's
	key  *ecdsa.PrivateKey // the CA's

	changing sync.Mutex               // held while the register is changed or read again
	current  atomic.Pointer[register] // what was last read or written
}

// Open opens the authority in dir. It fails with [fs.ErrNotExist] in its chain
// where there is none, and when the clock is outside of the CA's life.
func (o Options) Open(dir string) (*Authority, error) {
	cert, err := readCertificate(filepath.Join(dir, caFile+certSuffix))
	if err != nil {
		return nil, fmt.Errorf("open the fleet's CA: %w; dtc init makes one", err)
	}
	key, err := readKey(filepath.Join(dir, caFile+keySuffix))
	if err != nil {
		return nil, fmt.Errorf("open the fleet's CA: %w", err)
	}
	a := &Authority{dir: dir, now: o.clock(), cert: cert, key: key}
	if err := a.check(); err != nil {
		return nil, err
	}
	r, err := readRegister(a.path(registerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the fleet's CA: %w: restore it from a backup, or run dtc init, after which every agent must join again", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the fleet's CA: %w", err)
	}
	a.current.Store(r)
	return a, nil
}

// check says whether certificate and key belong together and are of now.
func (a *Authority) check() error {
	if !a.cert.IsCA || !matches(a.cert, a.key) {
		return fmt.Errorf("%s and %s do not belong together: restore both from one backup", a.path(caFile+certSuffix), a.path(caFile+keySuffix))
	}
	return checkDates("the fleet's CA", a.cert, a.now())
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, name) }

// Issued returns the register's certificates, in the order in which the ids
// came.
func (a *Authority) Issued() []Record {
	records := slices.Clone(a.current.Load().records)
	for i := range records {
		records[i].IPs = slices.Clone(records[i].IPs)
	}
	return records
}

// Valid reports whether the register has the peer's certificate as neither
// revoked, over, nor replaced by one for other ips.
func (a *Authority) Valid(peer dtc.Peer) bool {
	r := a.current.Load()
	i, ok := r.byID[peer.ID]
	if !ok {
		return false
	}
	c := &r.records[i]
	return c.Role == peer.Role && sameIPs(c.IPs, peer.IPs) && c.Valid(a.now())
}

// Reload takes up what another process wrote to the register. On an error the
// register that was read before stays in force.
func (a *Authority) Reload() error {
	a.changing.Lock()
	defer a.changing.Unlock()
	path := a.path(registerFile)
	data, err := readFile(path)
	if err != nil {
		return err
	}
	if sha256.Sum256(data) == a.current.Load().sum {
		return nil
	}
	r, err := parseRegister(path, data)
	if err != nil {
		return err
	}
	a.current.Store(r)
	return nil
}

// Issue makes a key and certifies it as an agent's, for a host that cannot
// join over the network. See [StoreAgent].
func (a *Authority) Issue(name string, ips []netip.Addr) (keyPEM, certPEM, caPEM []byte, id string, err error) {
	keyPEM, csr, err := NewKey()
	if err != nil {
		return nil, nil, nil, "", err
	}
	key, err := requestKey(csr)
	if err != nil {
		return nil, nil, nil, "", err
	}
	if ips, err = checkHost(name, ips); err != nil {
		return nil, nil, nil, "", fmt.Errorf("issue a certificate for %+q: %w", name, err)
	}
	err = a.update(func(r *register) error {
		if err := r.checkFree(name, ips, "", a.now()); err != nil {
			return fmt.Errorf("issue a certificate for %s: %w", name, err)
		}
		var c Record
		certPEM, c, err = a.sign(leaf{dtc.Peer{ID: newID(), Role: dtc.RoleAgent, IPs: ips}, key})
		c.Name, id = name, c.ID
		r.put(c)
		return err
	})
	return keyPEM, certPEM, encodeCertificate(a.cert.Raw), id, err
}

// Revoke makes the certificates of the agent of that name invalid for good,
// those of a former host of that name included, and returns the id of the one
// that was valid, if one was. It may be repeated. If no agent's certificate has the name, the error is
// [ErrNotIssued].
func (a *Authority) Revoke(name string) (id string, err error) {
	now := a.now().UTC().Truncate(time.Second)
	err = a.update(func(r *register) error {
		for i := range r.records {
			c := &r.records[i]
			if c.Name != name || c.Role != dtc.RoleAgent {
				continue
			}
			if id == "" || c.Valid(now) {
				id = c.ID
			}
			if c.Revoked.IsZero() {
				c.Revoked = now
			}
		}
		if id == "" {
			return fmt.Errorf("revoke %+q: %w", name, ErrNotIssued)
		}
		return nil
	})
	return id, err
}

// update changes the register: under the lock it is read, changed, written in
// one step, and only then in force here.
func (a *Authority) update(change func(*register) error) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	unlock, err := atomicfile.Lock(a.path(lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	return a.rewrite(change)
}

// rewrite is update for a caller that holds the locks.
func (a *Authority) rewrite(change func(*register) error) error {
	path := a.path(registerFile)
	r, err := readRegister(path)
	if err != nil {
		return err
	}
	if err := change(r); err != nil {
		return err
	}
	data, err := r.encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	// What was written counts, not what was meant, and also after an error: it
	// may have come after the file was replaced.
	err = replacePrivate(path, data)
	if written, readErr := readRegister(path); readErr == nil {
		a.current.Store(written)
	} else if err == nil {
		err = readErr
	}
	return err
}

// makeDir makes the folder of the keys. What lies above it is not private:
// others of the service's group may read the logs.
func makeDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), parentMode); err != nil {
		return err
	}
	return os.MkdirAll(dir, dirMode)
}
