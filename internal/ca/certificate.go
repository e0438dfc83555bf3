package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"dtc"
)

const (
	scheme     = "dtc"
	caYears    = 10
	agentYears = 1
	backdate   = 24 * time.Hour
	idSize     = 16 // bytes
	maxID      = 64 // characters that are accepted
)

// leaf is what goes into a certificate.
type leaf struct {
	peer dtc.Peer
	key  *ecdsa.PublicKey
	life time.Duration // 0: that of its role
}

// newID returns a new opaque id of a peer: 128 random bits.
func newID() string {
	id := make([]byte, idSize)
	_, _ = rand.Read(id) // never fails: see crypto/rand
	return hex.EncodeToString(id)
}

// serial returns a random serial number: positive, at most 20 octets (RFC 5280,
// 4.1.2.2).
func serial() *big.Int {
	n := make([]byte, 16)
	_, _ = rand.Read(n)
	n[0] = n[0]&0x7f | 0x40
	return new(big.Int).SetBytes(n)
}

// newCA returns the self-signed certificate (DER) of a CA. Its subject is the
// same everywhere, as whoever connects is shown it.
func newCA(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	now = now.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "DTC fleet CA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the CA's certificate: %w", err)
	}
	return der, nil
}

// template returns l as a certificate that is good from now until ends.
func (l leaf) template(now, ends time.Time) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: serial(),
		URIs:         []*url.URL{{Scheme: scheme, Host: string(l.peer.Role), Path: "/" + l.peer.ID}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     ends,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, ip := range l.peer.IPs {
		t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
	}
	return t
}

// sign certifies l and returns the certificate with what goes into the
// register, but for the name.
func (a *Authority) sign(l leaf) (certPEM []byte, r Record, err error) {
	now, by := a.now().UTC().Truncate(time.Second), a.signing.Load()
	ends := l.ends(now, by.cert.NotAfter)
	t := l.template(now, ends)
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, l.key, by.key)
	if err != nil {
		return nil, Record{}, fmt.Errorf("sign a certificate: %w", err)
	}
	return encodeCertificate(der), Record{
		ID: l.peer.ID, Role: l.peer.Role, IPs: l.peer.IPs,
		Serial: t.SerialNumber.Text(16), Key: keyHash(l.key), Expires: ends,
	}, nil
}

// ends returns when a certificate ends that is made now by a CA that ends at
// last.
func (l leaf) ends(now, last time.Time) time.Time {
	ends := last
	switch {
	case l.life > 0:
		ends = now.Add(l.life)
	case l.peer.Role != dtc.RoleMonitor:
		ends = now.AddDate(agentYears, 0, 0)
	}
	if ends.After(last) {
		return last
	}
	return ends
}

// identity returns the peer that a leaf names. It does not verify the leaf.
func identity(cert *x509.Certificate) (dtc.Peer, error) {
	if cert.IsCA || len(cert.URIs) != 1 {
		return dtc.Peer{}, errors.New("it is not the certificate of a member of a fleet")
	}
	uri := cert.URIs[0]
	p := dtc.Peer{ID: strings.TrimPrefix(uri.Path, "/"), Role: dtc.Role(uri.Host)}
	if want := (url.URL{Scheme: scheme, Host: uri.Host, Path: "/" + p.ID}); *uri != want || !plainID(p.ID) {
		return dtc.Peer{}, errors.New("it is not the certificate of a member of a fleet")
	}
	for _, raw := range cert.IPAddresses {
		if ip, ok := netip.AddrFromSlice(raw); ok {
			p.IPs = append(p.IPs, ip.Unmap())
		}
	}
	switch p.Role {
	case dtc.RoleMonitor, dtc.RoleOperator, dtc.RoleViewer:
		return p, nil
	case dtc.RoleAgent:
		if len(p.IPs) == 0 {
			return dtc.Peer{}, errors.New("it is an agent's certificate without an address")
		}
		return p, nil
	default:
		return dtc.Peer{}, fmt.Errorf("its role %+q is not one that this version knows", p.Role)
	}
}

func plainID(id string) bool {
	return id != "" && len(id) <= maxID && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// readCertificate reads a file with one certificate.
func readCertificate(path string) (*x509.Certificate, error) {
	data, err := readLimited(path, maxFile)
	if err != nil {
		return nil, err
	}
	cert, err := decodeCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return cert, nil
}

func decodeCertificate(data []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it must hold one PEM block CERTIFICATE and nothing else")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("the certificate in it cannot be read")
	}
	return cert, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// matches reports whether cert is of key.
func matches(cert *x509.Certificate, key *ecdsa.PrivateKey) bool {
	return key.PublicKey.Equal(cert.PublicKey)
}

// checkDates says what is wrong when now is outside of a certificate's life:
// two clocks disagree about it, and nobody here can know which of them lies.
func checkDates(what string, cert *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("%s is not valid before %s; this host's clock says %s; is a clock wrong, this one or the monitor's? set the clock that is",
			what, minute(cert.NotBefore), minute(now))
	case now.After(cert.NotAfter):
		return fmt.Errorf("%s ended on %s; this host's clock says %s; is a clock wrong? if not, a new certificate is needed", what, minute(cert.NotAfter), minute(now))
	default:
		return nil
	}
}
