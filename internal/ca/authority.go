package ca

import (
	"crypto/ecdsa"
	"crypto/sha256"
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
	nextFile     = "ca-next" // the key of the CA that is going to sign
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
	dir string
	now func() time.Time

	changing sync.Mutex                  // held while one of the following is changed or read again
	current  atomic.Pointer[register]    // what was last read or written
	signing  atomic.Pointer[signing]     // the CA
	list     atomic.Pointer[revocations] // what agents are to have; nil: nothing was ever revoked
}

// signing is who signs, and whom the fleet trusts. It does not change.
type signing struct {
	signer

	bundle *bundle
	next   *ecdsa.PrivateKey // of the CA that is going to sign; nil: no change is under way, or it signs already
	spread []byte            // the bundle's statement; nil for one without a number
}

// Open opens the authority in dir. It fails with [fs.ErrNotExist] in its chain
// where there is none, and when the clock is outside of the CA's life.
func (o Options) Open(dir string) (*Authority, error) {
	a := &Authority{dir: dir, now: o.clock()}
	s, err := a.readSigning()
	if err != nil {
		return nil, fmt.Errorf("open the fleet's CA: %w", err)
	}
	a.signing.Store(s)
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
	a.readList()
	return a, nil
}

// readSigning reads the CA. The certificate that belongs to ca.key signs,
// whichever it is of those in ca.crt.
func (a *Authority) readSigning() (*signing, error) {
	b, err := readBundle(a.path(caFile + certSuffix))
	if err != nil {
		return nil, fmt.Errorf("%w; dtc init makes one", err)
	}
	key, err := readKey(a.path(caFile + keySuffix))
	if err != nil {
		return nil, err
	}
	next, err := readKey(a.path(nextFile + keySuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := &signing{bundle: b, next: next}
	for _, cert := range b.certs {
		if matches(cert, key) {
			s.signer = signer{cert, key}
		}
	}
	if s.cert == nil {
		return nil, fmt.Errorf("%s and %s do not belong together: restore both from one backup", a.path(caFile+certSuffix), a.path(caFile+keySuffix))
	}
	if b.number == 0 {
		return s, nil
	}
	s.spread, err = b.statement(s.signer, a.now())
	return s, err
}

// readList reads the list that agents are to have. One that cannot be read is
// made anew with the next change of the register.
func (a *Authority) readList() {
	l, err := readRevocations(a.path(revokedFile), a.signing.Load().bundle)
	if err == nil {
		a.list.Store(l)
	}
}

// check says whether the CA's certificate is of now.
func (a *Authority) check() error {
	return checkDates("the fleet's CA", a.signing.Load().cert, a.now())
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

// Knows reports whether an ip stands in a certificate of the register that is
// not revoked.
func (a *Authority) Knows(ip netip.Addr) bool {
	_, ok := a.current.Load().ips[ip.Unmap()]
	return ok
}

// Reload takes up what another process wrote: register, list and CA. On an
// error what was read before stays in force.
func (a *Authority) Reload() error {
	a.changing.Lock()
	defer a.changing.Unlock()
	path := a.path(registerFile)
	data, err := readLimited(path, maxRegister)
	if err != nil {
		return err
	}
	if sha256.Sum256(data) != a.current.Load().sum {
		r, err := parseRegister(path, data)
		if err != nil {
			return err
		}
		a.current.Store(r)
	}
	if err := a.takeSigning(); err != nil {
		return err
	}
	a.readList()
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
	certPEM, id, err = a.issue(name, leaf{peer: dtc.Peer{ID: newID(), Role: dtc.RoleAgent, IPs: ips}, key: key})
	return keyPEM, certPEM, a.caPEM(), id, err
}

// caPEM returns the certificate of the CA that signs.
func (a *Authority) caPEM() []byte { return encodeCertificate(a.signing.Load().cert.Raw) }

// issue certifies a new member of a name that must be free.
func (a *Authority) issue(name string, l leaf) (certPEM []byte, id string, err error) {
	err = a.update(func(r *register) error {
		if err := r.checkFree(name, l.peer.IPs, "", a.now()); err != nil {
			return fmt.Errorf("issue a certificate for %s: %w", name, err)
		}
		var c Record
		certPEM, c, err = a.sign(l)
		c.Name, id = name, c.ID
		r.put(c)
		return err
	})
	return certPEM, id, err
}

// Revoke makes the certificates of the agent or the operator of that name
// invalid for good, those of a former one of that name included, and returns the
// id of the one that was valid, if one was. It may be repeated. If no certificate
// but the monitor's has the name, the error is [ErrNotIssued].
func (a *Authority) Revoke(name string) (id string, err error) {
	now := a.now().UTC().Truncate(time.Second)
	err = a.update(func(r *register) error {
		for i := range r.records {
			c := &r.records[i]
			if c.Name != name || c.Role == dtc.RoleMonitor {
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
	return a.locked(func() error { return a.rewrite(change) })
}

// locked calls change while nobody else changes anything.
func (a *Authority) locked(change func() error) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	unlock, err := atomicfile.Lock(a.path(lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	if a.signing.Load() != nil { // else dtc init is about to make it
		if err := a.takeSigning(); err != nil { // another process may have changed it
			return err
		}
	}
	return change()
}

// takeSigning takes up the CA as it is on the disk.
func (a *Authority) takeSigning() error {
	s, err := a.readSigning()
	if err != nil {
		return err
	}
	before := a.signing.Load()
	if before != nil && before.bundle.number == s.bundle.number && before.cert.Equal(s.cert) {
		s.spread = before.spread // it is the same but for its date
	}
	a.signing.Store(s)
	return nil
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
	return errors.Join(err, a.publish())
}

// publish makes a new list for the agents if the register has revoked others
// than the one that there is, or another CA signs. The caller holds the locks.
func (a *Authority) publish() error {
	s, path := a.signing.Load(), a.path(revokedFile)
	before, err := readRevocations(path, s.bundle)
	if err != nil {
		before = nil // by the time the next number is a higher one all the same
	}
	ids := a.current.Load().listed(a.now())
	if before == nil && len(ids) == 0 || before.says(sha256Key(s.cert), ids) {
		a.list.Store(before)
		return nil
	}
	now := a.now()
	next := statement{kind: kindList, made: now, number: max(before.of()+1, uint64(max(now.Unix(), 0)))}
	for _, id := range ids {
		next.items = append(next.items, []byte(id))
	}
	data, err := next.sign(s.signer)
	if err != nil {
		return err
	}
	l, err := parseRevocations(data, s.bundle)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, data, certMode); err != nil {
		return err
	}
	a.list.Store(l)
	return nil
}

// makeDir makes the folder of the keys. What lies above it is not private:
// others of the service's group may read the logs.
func makeDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), parentMode); err != nil {
		return err
	}
	return os.MkdirAll(dir, dirMode)
}
