package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxCAs is how many CAs a bundle may have: the fleet's, and while it changes
// the other one.
const maxCAs = 2

// bundleMark begins the first line of a ca.crt that has a number.
const bundleMark = "# dtc trust "

// bundle is whom a program trusts. It does not change.
type bundle struct {
	number uint64              // 0: of a fleet whose CA never changed
	certs  []*x509.Certificate // the first is the one that signs
	pool   *x509.CertPool      // all of them
}

func newBundle(number uint64, certs ...*x509.Certificate) *bundle {
	b := &bundle{number: number, certs: certs, pool: x509.NewCertPool()}
	for _, c := range certs {
		b.pool.AddCert(c)
	}
	return b
}

// readBundle reads ca.crt.
func readBundle(path string) (*bundle, error) {
	data, err := readLimited(path, maxFile)
	if err != nil {
		return nil, err
	}
	b, err := parseBundle(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, c := range b.certs {
		if !c.IsCA {
			return nil, fmt.Errorf("%s is not the certificate of a CA", path)
		}
	}
	return b, nil
}

func parseBundle(data []byte) (*bundle, error) {
	var number uint64
	if text, ok := bytes.CutPrefix(data, []byte(bundleMark)); ok {
		line, _, _ := bytes.Cut(text, []byte("\n"))
		n, err := strconv.ParseUint(strings.TrimSpace(string(line)), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("no number stands behind %q", strings.TrimSpace(bundleMark))
		}
		number = n
	}
	var certs []*x509.Certificate
	for len(certs) <= maxCAs {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("a certificate in it cannot be read")
		}
		certs, data = append(certs, cert), rest
	}
	if len(certs) == 0 || len(certs) > maxCAs || len(certs) > 1 && number == 0 || len(bytes.TrimSpace(data)) > 0 {
		return nil, errors.New("it must hold one PEM block CERTIFICATE and nothing else (two below a line with a number, while the fleet's CA changes)")
	}
	return newBundle(number, certs...), nil
}

// encode returns the bundle as ca.crt.
func (b *bundle) encode() []byte {
	var buf bytes.Buffer
	if b.number > 0 {
		fmt.Fprintf(&buf, "%s%d\n", bundleMark, b.number)
	}
	for _, c := range b.certs {
		buf.Write(encodeCertificate(c.Raw))
	}
	return buf.Bytes()
}

// says reports whether a bundle with a number has just these certificates.
func (b *bundle) says(ders [][]byte) bool {
	return b.number > 0 && slices.EqualFunc(b.certs, ders, func(c *x509.Certificate, der []byte) bool { return bytes.Equal(c.Raw, der) })
}

// rank returns the place of the CA whose key has the hash; the number of CAs if
// it is none of them.
func (b *bundle) rank(key [32]byte) int {
	for i, c := range b.certs {
		if sha256Key(c) == key {
			return i
		}
	}
	return len(b.certs)
}

// issuer returns the place of the CA that signed a certificate, as rank does.
func (b *bundle) issuer(cert *x509.Certificate) int {
	for i, c := range b.certs {
		if cert.CheckSignatureFrom(c) == nil {
			return i
		}
	}
	return len(b.certs)
}

// statement returns the bundle for those who trust the signer.
func (b *bundle) statement(by signer, now time.Time) ([]byte, error) {
	s := statement{kind: kindBundle, number: b.number, made: now}
	for _, c := range b.certs {
		s.items = append(s.items, c.Raw)
	}
	return s.sign(by)
}

// follow returns the bundle of a statement by one of the CAs that b trusts, if
// it is newer than b; b itself for what says the same as b, as it comes again
// when an answer was lost.
func (b *bundle) follow(data []byte) (*bundle, error) {
	s, err := parseStatement(kindBundle, data)
	if err != nil {
		return nil, fmt.Errorf("the CAs that are to be trusted: %w", err)
	}
	at := b.rank(s.signer)
	if at == len(b.certs) || !s.signedBy(b.certs[at]) {
		return nil, errors.New("the CAs that are to be trusted are not signed by one that is: refused")
	}
	if s.number == b.number && b.says(s.items) {
		return b, nil
	}
	if s.number <= b.number {
		return nil, fmt.Errorf("the CAs that are to be trusted have the number %d, but number %d is known: refused", s.number, b.number)
	}
	var certs []*x509.Certificate
	for _, der := range s.items {
		c, err := x509.ParseCertificate(der)
		if err != nil || !c.IsCA {
			return nil, errors.New("the CAs that are to be trusted are none: refused")
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 || len(certs) > maxCAs {
		return nil, fmt.Errorf("%d CAs are to be trusted, and 1 or %d are possible: refused", len(certs), maxCAs)
	}
	return newBundle(s.number, certs...), nil
}
