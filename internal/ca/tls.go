package ca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"time"

	"dtc"
)

// ServerTLS returns the configuration of a listener: TLS 1.3, a certificate of
// the fleet required of every client inside the handshake, whatever protocol
// it asks for, but for one that offers join alone. That one is asked for no
// certificate, and is shown the CA's besides the program's own. With an empty
// join there is no exception. Revoked (nil: nobody) says whom to refuse.
func (c *Credentials) ServerTLS(revoked func(dtc.Peer) bool, join string, protocols ...string) *tls.Config {
	strict := func(p *proof) *tls.Config {
		cfg := accepting(c.now, p.own, protocols...)
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, p.bundle.pool
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			_, err := c.verify(state, x509.ExtKeyUsageClientAuth, revoked)
			return err
		}
		return cfg
	}
	cfg := strict(c.current.Load())
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		p := c.current.Load() // what is in force when this peer comes
		if join != "" && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == join {
			return accepting(c.now, p.withCA(), join), nil
		}
		return strict(p), nil
	}
	return cfg
}

// accepting returns a listener's configuration without a word on who may come.
func accepting(now func() time.Time, own tls.Certificate, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Time:         now,
		Certificates: []tls.Certificate{own},
		NextProtos:   slices.Clone(protocols),
		ClientAuth:   tls.NoClientCert,
		// A session that is resumed skips the certificate, and a ticket is one more
		// thing that is shown: there are none.
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true, // full records from the start
	}
}

// ClientTLS returns the configuration to dial with. The handshake succeeds only
// with a peer of the fleet that has the wanted role, is not revoked, and, if ip
// is valid, has it in its certificate; the errors are [dtc.Error] of kind
// KindCertificate or KindIdentity. The own certificate is shown only after
// that. The caller sets NextProtos.
func (c *Credentials) ClientTLS(ip netip.Addr, want dtc.Role, revoked func(dtc.Peer) bool) *tls.Config {
	cfg := proving(func(state tls.ConnectionState) error {
		peer, err := c.verify(state, x509.ExtKeyUsageServerAuth, revoked)
		switch {
		case err != nil:
			return err
		case peer.Role != want:
			return fault(dtc.KindIdentity, "the peer's certificate has the role %s, not %s", peer.Role, want)
		case ip.IsValid() && !slices.Contains(peer.IPs, ip.Unmap()):
			return fault(dtc.KindIdentity, "the peer's certificate is for %s, not for %s", list(peer.IPs), ip.Unmap())
		default:
			return nil
		}
	})
	cfg.Time = c.now
	// Not Certificates: a server that asks for another CA's is to see that this
	// is none, and to say so.
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &c.current.Load().own, nil
	}
	return cfg
}

// proving returns a client's configuration in which check alone says who the
// server must be.
func proving(check func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The library's own check knows a name or an ip, not a role; it compares
		// that before it knows who signed, so that a stranger's certificate would
		// be told as a wrong identity; and for a join there is no CA yet. So it is
		// switched off, and VerifyConnection, which no handshake gets round, does
		// all of it: chain, dates, usage, role, revocation, ip.
		InsecureSkipVerify: true, //nolint:gosec // G402: VerifyConnection verifies, see above
		VerifyConnection:   check,
	}
}

// Recheck judges the peer of an open connection again, by what is known now. Of
// one for joining there is nothing to say.
func (c *Credentials) Recheck(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	_, err := c.verify(state, x509.ExtKeyUsageAny, nil)
	return err
}

// verify returns the peer that the other side has shown the certificate of,
// if that is good for usage and not revoked, by the list or by revoked (which
// may be nil).
func (c *Credentials) verify(state tls.ConnectionState, usage x509.ExtKeyUsage, revoked func(dtc.Peer) bool) (dtc.Peer, error) {
	if len(state.PeerCertificates) == 0 {
		return dtc.Peer{}, fault(dtc.KindCertificate, "the peer has shown no certificate")
	}
	p := c.current.Load()
	peer, err := verify(state.PeerCertificates[0], p.bundle.pool, usage, c.now())
	if err == nil && (revoked != nil && revoked(peer) || p.list.has(peer.ID)) {
		err = fault(dtc.KindCertificate, "the peer's certificate (%s %s, id %s) is revoked or replaced", peer.Role, list(peer.IPs), peer.ID)
	}
	return peer, err
}

// verify returns the peer that a leaf names, if one of roots has signed it, it
// is good for usage, and now is in its life. Intermediates are not considered:
// the CA signs leaves only.
func verify(cert *x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) (dtc.Peer, error) {
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err == nil {
		peer, err := identity(cert)
		if err != nil {
			return dtc.Peer{}, fault(dtc.KindCertificate, "the peer's certificate is refused: %w", err)
		}
		return peer, nil
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return dtc.Peer{}, fault(dtc.KindCertificate, "the peer's certificate is not of this fleet's CA; if that was changed while this host was away, it must join again: dtc invite on the monitor")
	}
	if dates := checkDates("the peer's certificate", cert, now); dates != nil {
		return dtc.Peer{}, &dtc.Error{Kind: dtc.KindCertificate, Err: dates}
	}
	return dtc.Peer{}, fault(dtc.KindCertificate, "the peer's certificate is refused: %w", err)
}

// Identify returns the peer of a connection that was made with one of this
// package's configurations, which have verified it. A connection for joining
// has none, which is an error.
func Identify(state tls.ConnectionState) (dtc.Peer, error) {
	if !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return dtc.Peer{}, fault(dtc.KindCertificate, "the peer has shown no certificate")
	}
	peer, err := identity(state.PeerCertificates[0])
	if err != nil {
		return dtc.Peer{}, fault(dtc.KindCertificate, "the peer's certificate is refused: %w", err)
	}
	return peer, nil
}
