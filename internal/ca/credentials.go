package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// Credentials are what one program proves itself with, and the CA and the list of
// revoked certificates by which it judges others. A running program may get new
// ones, see [Credentials.Take] and [Credentials.Reload]; handshakes from then on
// go by these. It is safe for use by several goroutines.
type Credentials struct {
	dir  string
	role dtc.Role // that names the files
	now  func() time.Time

	changing sync.Mutex // held while current is replaced
	current  atomic.Pointer[proof]
}

// proof is what credentials are at a time. It does not change.
type proof struct {
	bundle *bundle
	list   *revocations // nil: none has come yet
	key    *ecdsa.PrivateKey
	leaf   *x509.Certificate
	own    tls.Certificate // leaf alone, and key
}

// prove sets the certificate.
func (p *proof) prove(leaf *x509.Certificate) {
	p.leaf = leaf
	p.own = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: p.key, Leaf: leaf}
}

// Load reads ca.crt, the list of revoked certificates, and the role's
// certificate and key from dir. It fails
// where they do not belong together, are out of their time by the clock, or
// where others may read the key; with [fs.ErrNotExist] in the chain if there
// are none. With [dtc.RoleOperator] a viewer's certificate does too.
func (o Options) Load(dir string, role dtc.Role) (*Credentials, error) {
	c := &Credentials{dir: dir, role: role, now: o.clock()}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads again what is in the folder. On an error what was read before
// stays in force.
func (c *Credentials) Reload() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	p, err := readProof(c.dir, c.role)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("this home has no %s's certificate: %w; %s", c.role, err, how(c.role))
		}
		return err
	}
	if err := p.check(c.dir, c.role, c.now()); err != nil {
		return err
	}
	c.current.Store(p)
	return nil
}

// check says whether what was read proves the role.
func (p *proof) check(dir string, role dtc.Role, now time.Time) error {
	ca := p.bundle.certs[min(p.bundle.issuer(p.leaf), len(p.bundle.certs)-1)]
	if err := checkDates("the fleet's CA", ca, now); err != nil {
		return err
	}
	if err := checkDates("the "+string(role)+"'s certificate", p.leaf, now); err != nil {
		return fmt.Errorf("%w; %s", err, how(role))
	}
	peer, err := verify(p.leaf, p.bundle.pool, x509.ExtKeyUsageAny, now)
	if err == nil && fileOf(peer.Role) != fileOf(role) {
		err = fmt.Errorf("its role is %s", peer.Role)
	}
	if err != nil {
		return fmt.Errorf("%s is not a certificate for the %s by %s: %w", filepath.Join(dir, fileOf(role)+certSuffix), role, caFile+certSuffix, err)
	}
	return nil
}

// fileOf names the files of a role.
func fileOf(role dtc.Role) string {
	if role == dtc.RoleViewer {
		role = dtc.RoleOperator
	}
	return string(role)
}

// how says how to come by the certificate of a role.
func how(role dtc.Role) string {
	switch role {
	case dtc.RoleMonitor:
		return "dtc init makes one"
	case dtc.RoleOperator, dtc.RoleViewer:
		return "dtc issue --operator on the monitor makes one"
	default:
		return "dtc invite on the monitor prints the line that joins this host"
	}
}

// readProof reads the files and checks that they are of one key and a CA.
func readProof(dir string, role dtc.Role) (*proof, error) {
	base := filepath.Join(dir, fileOf(role))
	leaf, err := readCertificate(base + certSuffix)
	if err != nil {
		return nil, err
	}
	p := new(proof)
	if p.key, err = readKey(base + keySuffix); err != nil {
		return nil, err
	}
	if !matches(leaf, p.key) {
		return nil, fmt.Errorf("%s and %s do not belong together: %s", base+certSuffix, base+keySuffix, how(role))
	}
	p.prove(leaf)
	if p.bundle, err = readBundle(filepath.Join(dir, caFile+certSuffix)); err != nil {
		return nil, err
	}
	p.list, err = readRevocations(filepath.Join(dir, revokedFile), p.bundle)
	return p, err
}

// withCA returns the own certificate with its CA's beside it, for a peer that
// has only that one's hash.
func (p *proof) withCA() tls.Certificate {
	own := p.own
	if at := p.bundle.issuer(p.leaf); at < len(p.bundle.certs) {
		own.Certificate = [][]byte{p.leaf.Raw, p.bundle.certs[at].Raw}
	}
	return own
}

// Peer returns who these credentials say that their holder is.
func (c *Credentials) Peer() dtc.Peer {
	p, _ := identity(c.current.Load().leaf) // Load has checked it
	return p
}

// Revoked reports whether a peer is on the list of revoked certificates.
func (c *Credentials) Revoked(peer dtc.Peer) bool { return c.current.Load().list.has(peer.ID) }

// Warnings returns a line for each certificate that ends within 30 days of now,
// or has ended.
func (c *Credentials) Warnings(now time.Time) []string {
	var lines []string
	warn := func(what string, cert *x509.Certificate, advice string) {
		switch left := cert.NotAfter.Sub(now); {
		case left < 0:
			lines = append(lines, fmt.Sprintf("%s ended on %s: %s", what, day(cert.NotAfter), advice))
		case left <= warnBefore && cert.NotAfter.Sub(cert.NotBefore) > 2*warnBefore: // else it is made for a short time
			lines = append(lines, fmt.Sprintf("%s ends in %d days, on %s: %s", what, int(left.Hours()/24), day(cert.NotAfter), advice))
		}
	}
	p := c.current.Load()
	root := p.bundle.certs[0]
	warn("the fleet's CA", root, "change to another one with 'dtc ca rotate' on the monitor before that")
	if !p.leaf.NotAfter.Equal(root.NotAfter) { // else one line says it all
		warn("the "+string(c.role)+"'s certificate", p.leaf, how(c.role))
	}
	return lines
}

// sha256Key returns the SHA-256 of a certificate's public key.
func sha256Key(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// AgentKey returns the agent's key in dir, and a certification request for it.
// It makes the key if there is none: it is in the folder before anybody is
// asked to certify it, so that a join that was cut off can be repeated.
func AgentKey(dir string) (keyPEM, csrDER []byte, err error) {
	if err := makeDir(dir); err != nil {
		return nil, nil, err
	}
	unlock, err := atomicfile.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	key, err := ownKey(filepath.Join(dir, string(dtc.RoleAgent)+keySuffix))
	if err != nil {
		return nil, nil, err
	}
	if keyPEM, err = encodeKey(key); err != nil {
		return nil, nil, err
	}
	csrDER, err = request(key)
	return keyPEM, csrDER, err
}

// StoreAgent writes what an agent proves itself with to dir. The three must
// belong together. A key that is there already must be the same one; the
// certificates replace older ones, but not the CA's own on a monitor.
func StoreAgent(dir string, keyPEM, certPEM, caPEM []byte) error {
	return store(dir, dtc.RoleAgent, keyPEM, certPEM, caPEM)
}

// StoreOperator is [StoreAgent] for an operator or a viewer.
func StoreOperator(dir string, keyPEM, certPEM, caPEM []byte) error {
	return store(dir, dtc.RoleOperator, keyPEM, certPEM, caPEM)
}

func store(dir string, role dtc.Role, keyPEM, certPEM, caPEM []byte) error {
	key, err := decodeKey(keyPEM)
	if err != nil {
		return fmt.Errorf("the %s's key: %w", role, err)
	}
	cert, err := decodeCertificate(certPEM)
	if err != nil {
		return fmt.Errorf("the %s's certificate: %w", role, err)
	}
	roots, err := parseBundle(caPEM)
	if err != nil {
		return fmt.Errorf("the fleet's CA: %w", err)
	}
	peer, err := identity(cert)
	if err != nil || fileOf(peer.Role) != fileOf(role) || !matches(cert, key) || roots.issuer(cert) == len(roots.certs) {
		return fmt.Errorf("the %s's key, its certificate and the fleet's CA do not belong together: join again", role)
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	unlock, err := atomicfile.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	base := filepath.Join(dir, fileOf(role))
	if err := keepKey(base+keySuffix, keyPEM); err != nil {
		return err
	}
	if err := storeCA(dir, roots); err != nil {
		return err
	}
	return atomicfile.Write(base+certSuffix, encodeCertificate(cert.Raw), certMode)
}

// keepKey writes a key, or makes sure that it is the one that is there.
func keepKey(path string, keyPEM []byte) error {
	there, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path, keyPEM)
	}
	if err != nil {
		return err
	}
	if key, err := decodeKey(keyPEM); err != nil || !key.Equal(there) {
		return fmt.Errorf("%s is another key, and a key is never overwritten: choose another folder, or move the key away", path)
	}
	return nil
}

// storeCA writes ca.crt, unless the folder is that of another fleet's monitor. CAs
// that are there stay, if they are those and more: they are the newer ones.
func storeCA(dir string, roots *bundle) error {
	path := filepath.Join(dir, caFile+certSuffix)
	there, err := readBundle(path)
	if err == nil && bytes.Equal(there.certs[0].Raw, roots.certs[0].Raw) && there.number >= roots.number {
		return nil
	}
	if _, err := readKey(filepath.Join(dir, caFile+keySuffix)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s belongs to the monitor of another fleet, whose CA is not replaced: choose another home", dir)
	}
	return atomicfile.Write(path, roots.encode(), certMode)
}
