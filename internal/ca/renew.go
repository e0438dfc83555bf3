package ca

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// due reports whether a certificate should be renewed: two thirds of its life
// are over.
func due(cert *x509.Certificate, now time.Time) bool { return !now.Before(dueAt(cert)) }

func dueAt(cert *x509.Certificate) time.Time {
	begin := cert.NotBefore.Add(backdate)
	return begin.Add(cert.NotAfter.Sub(begin) / 3 * 2)
}

// Offer returns what a member with that state lacks, all but a certificate. It
// is empty for one that has everything.
func (a *Authority) Offer(has dtc.TrustState) dtc.TrustGrant {
	var g dtc.TrustGrant
	if l := a.list.Load(); l != nil && l.number != has.List {
		g.List = l.raw
	}
	if s := a.signing.Load(); s.bundle.number > has.Bundle {
		g.Bundle = s.spread
	}
	if len(g.Bundle) > 0 { // by which that list may be the only one that counts
		if l := a.list.Load(); l != nil {
			g.List = l.raw
		}
	}
	return g
}

// Renew certifies an agent's own key again, with what the register says of it.
// csr is a certification request (DER) by that key.
func (a *Authority) Renew(peer dtc.Peer, csr []byte) (certPEM []byte, err error) {
	key, err := requestKey(csr)
	if err != nil {
		return nil, &dtc.Error{Kind: dtc.KindInvalid, Err: err}
	}
	err = a.update(func(r *register) error {
		c := r.withID(peer.ID)
		switch {
		case c == nil || c.Role != peer.Role || !c.Valid(a.now()):
			return fault(dtc.KindDenied, "the certificate is not valid any more: join again with a token of dtc invite")
		case c.Role != dtc.RoleAgent:
			return fault(dtc.KindDenied, "only agents renew their certificates: the %s gets another one with dtc issue", c.Role)
		case c.Key != keyHash(key):
			return fault(dtc.KindDenied, "the certification request is of another key than the certificate")
		}
		var next Record
		certPEM, next, err = a.sign(leaf{peer: dtc.Peer{ID: c.ID, Role: c.Role, IPs: c.IPs}, key: key})
		next.Name, next.Trust, next.Left = c.Name, c.Trust, c.Left
		r.put(next)
		return err
	})
	return certPEM, err
}

// State returns how it stands with what the program proves itself with.
func (c *Credentials) State() (dtc.TrustState, error) {
	p := c.current.Load()
	s := dtc.TrustState{List: p.list.of(), Bundle: p.bundle.number, Expires: p.leaf.NotAfter}
	if !p.wants(c.now()) {
		return s, nil
	}
	csr, err := request(p.key)
	s.Request = csr
	return s, err
}

// wants reports whether another certificate is needed: by time, or because
// another CA signs now.
func (p *proof) wants(now time.Time) bool { return due(p.leaf, now) || p.bundle.issuer(p.leaf) != 0 }

// RenewsAt returns when the certificate is due to be renewed, if nothing else
// asks for it before.
func (c *Credentials) RenewsAt() time.Time { return dueAt(c.current.Load().leaf) }

// Take proves what the monitor hands over and only then puts it into the place
// of what there was, each file in one step; handshakes from then on go by it.
// On an error nothing of it counts. It returns a line for the log for each
// thing that it took.
func (c *Credentials) Take(g dtc.TrustGrant) (taken []string, err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	next, taken, err := c.current.Load().take(g, c.now())
	if err != nil || len(taken) == 0 {
		return nil, err
	}
	unlock, err := atomicfile.Lock(filepath.Join(c.dir, lockFile))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := c.write(next); err != nil {
		return nil, err
	}
	c.current.Store(next)
	return taken, nil
}

// write writes what differs from what is in force. The list comes first, and the
// certificate before the CAs by which nobody would trust the old one: with what
// is on the disk after any of the steps the program can start. All are mode 0600,
// as a confined agent may give a file no other.
func (c *Credentials) write(next *proof) error {
	now := c.current.Load()
	grows := len(next.bundle.certs) >= len(now.bundle.certs)
	bundle := func() error {
		if next.bundle == now.bundle {
			return nil
		}
		return atomicfile.Private(filepath.Join(c.dir, caFile+certSuffix), next.bundle.encode())
	}
	if grows {
		if err := bundle(); err != nil {
			return err
		}
	}
	if next.list != now.list {
		if err := atomicfile.Private(filepath.Join(c.dir, revokedFile), next.list.raw); err != nil {
			return err
		}
	}
	if next.leaf != now.leaf {
		if err := atomicfile.Private(filepath.Join(c.dir, fileOf(c.role)+certSuffix), encodeCertificate(next.leaf.Raw)); err != nil {
			return err
		}
	}
	if grows {
		return nil
	}
	return bundle()
}

// take returns the proof with what is handed over.
func (p *proof) take(g dtc.TrustGrant, now time.Time) (next *proof, taken []string, err error) {
	next = new(*p)
	if len(g.Bundle) > 0 {
		if next.bundle, err = p.bundle.follow(g.Bundle); err != nil {
			return nil, nil, err
		}
		if next.bundle != p.bundle {
			taken = append(taken, fmt.Sprintf("trusts the CAs of number %d", next.bundle.number))
		}
	}
	if len(g.List) > 0 && (p.list == nil || !bytes.Equal(g.List, p.list.raw)) {
		if next.list, err = p.list.follow(g.List, next.bundle); err != nil {
			return nil, nil, err
		}
		taken = append(taken, fmt.Sprintf("has the list of revoked certificates number %d", next.list.number))
	}
	if next.list != nil && next.bundle.rank(next.list.signer) == len(next.bundle.certs) {
		return nil, nil, errors.New("the CAs that are to be trusted lack the one of the list of revoked certificates: refused")
	}
	if len(g.Certificate) > 0 {
		if err := next.renew(g.Certificate, now); err != nil {
			return nil, nil, fmt.Errorf("the new certificate: %w", err)
		}
		taken = append(taken, "has a certificate that ends on "+day(next.leaf.NotAfter))
	}
	if next.bundle.issuer(next.leaf) == len(next.bundle.certs) {
		return nil, nil, errors.New("the CAs that are to be trusted lack the one of this program's own certificate: refused")
	}
	return next, taken, nil
}

// renew takes up a new certificate, if it is one for the same key, id and role
// and no older one.
func (p *proof) renew(certPEM []byte, now time.Time) error {
	cert, err := decodeCertificate(certPEM)
	if err != nil {
		return err
	}
	before, err := identity(p.leaf)
	if err != nil {
		return err
	}
	peer, err := verify(cert, p.bundle.pool, x509.ExtKeyUsageAny, now)
	switch {
	case err != nil:
		return err
	case peer.ID != before.ID || peer.Role != before.Role:
		return fmt.Errorf("it is for the %s %s, not for the %s %s: refused", peer.Role, peer.ID, before.Role, before.ID)
	case !matches(cert, p.key):
		return errors.New("it is for another key: refused")
	}
	then, at := p.bundle.issuer(p.leaf), p.bundle.issuer(cert)
	if at > then || at == then && cert.NotAfter.Before(p.leaf.NotAfter) {
		return errors.New("it is older than the one that is there: refused")
	}
	p.prove(cert)
	return nil
}

// Agent returns the agent whose valid certificate has an ip; no two have.
func (a *Authority) Agent(ip netip.Addr) (dtc.Peer, bool) {
	now, ip := a.now(), ip.Unmap()
	for i, r := 0, a.current.Load(); i < len(r.records); i++ {
		c := &r.records[i]
		if c.Role == dtc.RoleAgent && c.Valid(now) && slices.Contains(c.IPs, ip) {
			return dtc.Peer{ID: c.ID, Role: c.Role, IPs: slices.Clone(c.IPs)}, true
		}
	}
	return dtc.Peer{}, false
}

// Name returns the name in the register of who has an id, "" if nobody has.
func (a *Authority) Name(id string) string {
	if c := a.current.Load().withID(id); c != nil {
		return c.Name
	}
	return ""
}

// List returns the number of the list of revoked certificates, 0 if there is
// none yet.
func (a *Authority) List() uint64 { return a.list.Load().of() }
