package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// Credentials are what one program proves itself with, and the CA by which it
// judges others. They do not change.
type Credentials struct {
	role  dtc.Role
	now   func() time.Time
	ca    *x509.Certificate
	leaf  *x509.Certificate
	own   tls.Certificate // leaf alone, and its key
	roots *x509.CertPool  // ca alone
}

// Load reads ca.crt and the role's certificate and key from dir. It fails
// where they do not belong together, are out of their time by the clock, or
// where others may read the key; with [fs.ErrNotExist] in the chain if there
// are none.
func (o Options) Load(dir string, role dtc.Role) (*Credentials, error) {
	c := &Credentials{role: role, now: o.clock(), roots: x509.NewCertPool()}
	if err := c.read(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("this home has no %s's certificate: %w; %s", role, err, how(role))
		}
		return nil, err
	}
	now := c.now()
	if err := checkDates("the fleet's CA", c.ca, now); err != nil {
		return nil, err
	}
	if err := checkDates("the "+string(role)+"'s certificate", c.leaf, now); err != nil {
		return nil, fmt.Errorf("%w; %s", err, how(role))
	}
	peer, err := verify(c.leaf, c.roots, x509.ExtKeyUsageAny, now)
	if err == nil && peer.Role != role {
		err = fmt.Errorf("its role is %s", peer.Role)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a certificate for the %s by %s: %w", filepath.Join(dir, string(role)+certSuffix), role, caFile+certSuffix, err)
	}
	return c, nil
}

// how says how to come by the certificate of a role.
func how(role dtc.Role) string {
	if role == dtc.RoleMonitor {
		return "dtc init makes one"
	}
	return "dtc invite on the monitor prints the line that joins this host"
}

// read reads the three files and checks that they are of one key and a CA.
func (c *Credentials) read(dir string) (err error) {
	base := filepath.Join(dir, string(c.role))
	if c.leaf, err = readCertificate(base + certSuffix); err != nil {
		return err
	}
	key, err := readKey(base + keySuffix)
	if err != nil {
		return err
	}
	if !matches(c.leaf, key) {
		return fmt.Errorf("%s and %s do not belong together: %s", base+certSuffix, base+keySuffix, how(c.role))
	}
	path := filepath.Join(dir, caFile+certSuffix)
	if c.ca, err = readCertificate(path); err != nil {
		return err
	}
	if !c.ca.IsCA {
		return fmt.Errorf("%s is not the certificate of a CA", path)
	}
	c.roots.AddCert(c.ca)
	c.own = tls.Certificate{Certificate: [][]byte{c.leaf.Raw}, PrivateKey: key, Leaf: c.leaf}
	return nil
}

// withCA returns the own certificate with the CA's beside it, for a peer that
// has only its hash.
func (c *Credentials) withCA() tls.Certificate {
	own := c.own
	own.Certificate = [][]byte{c.leaf.Raw, c.ca.Raw}
	return own
}

// Peer returns who these credentials say that their holder is.
func (c *Credentials) Peer() dtc.Peer {
	p, _ := identity(c.leaf) // Load has checked it
	return p
}

// Warnings returns a line for each certificate that ends within 30 days of now,
// or has ended.
func (c *Credentials) Warnings(now time.Time) []string {
	var lines []string
	warn := func(what string, cert *x509.Certificate, advice string) {
		switch left := cert.NotAfter.Sub(now); {
		case left < 0:
			lines = append(lines, fmt.Sprintf("%s ended on %s: %s", what, day(cert.NotAfter), advice))
		case left <= warnBefore:
			lines = append(lines, fmt.Sprintf("%s ends in %d days, on %s: %s", what, int(left.Hours()/24), day(cert.NotAfter), advice))
		}
	}
	warn("the fleet's CA", c.ca, "plan a new fleet CA: every host must join again")
	if !c.leaf.NotAfter.Equal(c.ca.NotAfter) { // else one line says it all
		warn("the "+string(c.role)+"'s certificate", c.leaf, how(c.role))
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
	key, err := decodeKey(keyPEM)
	if err != nil {
		return fmt.Errorf("the agent's key: %w", err)
	}
	cert, err := decodeCertificate(certPEM)
	if err != nil {
		return fmt.Errorf("the agent's certificate: %w", err)
	}
	root, err := decodeCertificate(caPEM)
	if err != nil {
		return fmt.Errorf("the fleet's CA: %w", err)
	}
	peer, err := identity(cert)
	if err != nil || peer.Role != dtc.RoleAgent || !matches(cert, key) || cert.CheckSignatureFrom(root) != nil {
		return errors.New("the agent's key, its certificate and the fleet's CA do not belong together: join again")
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	unlock, err := atomicfile.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	base := filepath.Join(dir, string(dtc.RoleAgent))
	if err := keepKey(base+keySuffix, keyPEM); err != nil {
		return err
	}
	if err := storeCA(dir, root); err != nil {
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

// storeCA writes ca.crt, unless the folder is that of another fleet's monitor.
func storeCA(dir string, root *x509.Certificate) error {
	path := filepath.Join(dir, caFile+certSuffix)
	there, err := readCertificate(path)
	if err == nil && bytes.Equal(there.Raw, root.Raw) {
		return nil
	}
	if _, err := readKey(filepath.Join(dir, caFile+keySuffix)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s belongs to the monitor of another fleet, whose CA is not replaced: choose another home", dir)
	}
	return atomicfile.Write(path, encodeCertificate(root.Raw), certMode)
}
