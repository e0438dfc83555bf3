package ca

import (
	"crypto/ecdsa"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dtc"
)

const (
	defaultTTL = time.Hour
	maxTTL     = 30 * 24 * time.Hour
	keepToken  = 7 * 24 * time.Hour // after its end, to say that it ended
	maxTokens  = 10_000             // in the register at once
)

// Invitation says what a token grants.
type Invitation struct {
	Name string        // empty: the first ip
	IPs  []netip.Addr  // empty: the address that the join comes from
	TTL  time.Duration // 0: an hour; at most 30 days
}

// Grant is what a join has brought.
type Grant struct {
	Certificate []byte // PEM, the agent's
	CA          []byte // PEM
	Name        string
	ID          string
	IPs         []netip.Addr
	Rejoined    bool   // the key was known: the id, and what belongs to it, is the old one
	Previous    Record // what this very call has replaced; zero: nothing
}

// Invite returns a new one-time token. That the name and ips are free is
// checked when it is redeemed, as the agent that has them now may be the one
// that comes.
func (a *Authority) Invite(inv Invitation) (token string, err error) {
	ips, err := checkIPs(inv.IPs)
	if err != nil {
		return "", fmt.Errorf("invite: %w", err)
	}
	if inv.Name != "" {
		if err := checkName(inv.Name, ips); err != nil {
			return "", fmt.Errorf("invite: %w", err)
		}
	}
	if inv.TTL == 0 {
		inv.TTL = defaultTTL
	}
	if inv.TTL < 0 || inv.TTL > maxTTL {
		return "", fmt.Errorf("invite: a token may live up to %s, not %s", maxTTL, inv.TTL)
	}
	now := a.now().UTC()
	t := newToken(sha256Key(a.signing.Load().cert))
	err = a.update(func(r *register) error {
		r.tickets = slices.DeleteFunc(r.tickets, func(t ticket) bool { return now.After(t.Ends.Add(keepToken)) })
		if len(r.tickets) >= maxTokens {
			return fmt.Errorf("invite: there are %d tokens already: wait until some have ended", len(r.tickets))
		}
		r.tickets = append(r.tickets, ticket{Hash: secretHash(t.Secret), Name: inv.Name, IPs: ips, Ends: now.Add(inv.TTL)})
		return nil
	})
	if err != nil {
		return "", err
	}
	return t.encode(), nil
}

// Redeem certifies the key of a certification request (DER) for the bearer of
// a token's secret. The join comes from remote; listen is where the agent will
// listen, zero if nowhere. What the joiner may be told is a [dtc.Error] of
// kind KindDenied or KindInvalid; other errors are the monitor's own.
//
// A key that was certified before keeps its id, its name and ips become those
// of the token. The same key may redeem a token again while it lives. How often
// somebody may try is the server's business.
func (a *Authority) Redeem(secret []byte, remote netip.Addr, csr []byte, listen netip.AddrPort) (Grant, error) {
	return a.redeem(joining{secretHash(secret), remote, listen}, csr)
}

// joining is who wants to join.
type joining struct {
	hash   string // of the secret
	remote netip.Addr
	listen netip.AddrPort
}

func (a *Authority) redeem(j joining, csr []byte) (Grant, error) {
	if err := a.knows(j.hash); err != nil {
		return Grant{}, err
	}
	key, err := requestKey(csr)
	if err != nil {
		return Grant{}, &dtc.Error{Kind: dtc.KindInvalid, Err: err}
	}
	var grant Grant
	err = a.update(func(r *register) error {
		t := r.ticket(j.hash)
		if t == nil {
			return unknownToken()
		}
		if now := a.now(); now.After(t.Ends) {
			return fault(dtc.KindDenied, "the token ended on %s (the monitor's clock says %s): get a new one with dtc invite", minute(t.Ends), minute(now))
		}
		name, ips, err := j.granted(t)
		if err != nil {
			return &dtc.Error{Kind: dtc.KindDenied, Err: err}
		}
		grant, err = a.admit(r, t, Record{Name: name, IPs: ips}, key)
		return err
	})
	if err != nil {
		return Grant{}, err
	}
	return grant, nil
}

// knows returns an error if there is no such token. Whoever has none gets no
// further: to lock and to parse the register is more than a stranger may cause.
func (a *Authority) knows(hash string) error {
	if a.current.Load().ticket(hash) != nil {
		return nil
	}
	if err := a.Reload(); err != nil { // another process may have made it
		return err
	}
	if a.current.Load().ticket(hash) == nil {
		return unknownToken()
	}
	return nil
}

func unknownToken() error {
	return fault(dtc.KindDenied, "the monitor does not know this token: get a new one with dtc invite")
}

// granted returns the name and ips that a token gives to who wants to join.
func (j joining) granted(t *ticket) (name string, ips []netip.Addr, err error) {
	name, ips = t.Name, t.IPs
	if len(ips) == 0 {
		ips = []netip.Addr{j.remote}
	}
	if name == "" {
		name = ips[0].Unmap().String()
	}
	if ips, err = checkHost(name, ips); err != nil {
		return "", nil, err
	}
	if ip := j.listen.Addr().Unmap(); j.listen.IsValid() && !slices.Contains(ips, ip) {
		return "", nil, fmt.Errorf("the token does not grant the address %s of --listen, it grants %s: invite with --ip %s", ip, list(ips), ip)
	}
	return name, ips, nil
}

// admit certifies key as want says and marks the token as used.
func (a *Authority) admit(r *register, t *ticket, want Record, key *ecdsa.PublicKey) (Grant, error) {
	hash := keyHash(key)
	old := r.withKey(hash)
	if err := a.mayHave(r, t, want, old); err != nil {
		return Grant{}, err
	}
	peer := dtc.Peer{ID: newID(), Role: dtc.RoleAgent, IPs: want.IPs}
	grant := Grant{CA: a.caPEM(), Name: want.Name, IPs: slices.Clone(want.IPs)}
	switch {
	case t.Used != nil:
		peer.ID, grant.Rejoined = old.ID, t.Used.Rejoined
	case old != nil:
		peer.ID, grant.Rejoined, grant.Previous = old.ID, true, *old
	}
	certPEM, c, err := a.sign(leaf{peer: peer, key: key})
	if err != nil {
		return Grant{}, err
	}
	c.Name = want.Name
	r.put(c)
	if t.Used == nil {
		t.Used = &use{Key: hash, ID: c.ID, At: a.now().UTC().Truncate(time.Second), Rejoined: grant.Rejoined}
	}
	grant.Certificate, grant.ID = certPEM, c.ID
	return grant, nil
}

// mayHave says whether a key, whose record is old (nil: a new key), may have
// what is wanted from a token.
func (a *Authority) mayHave(r *register, t *ticket, want Record, old *Record) error {
	if t.Used != nil {
		// The key that used it up may come again, as its answer may have been
		// lost; but not to undo what has happened to its certificate since.
		again := old != nil && old.Key == t.Used.Key && old.Revoked.IsZero() &&
			old.Name == want.Name && sameIPs(old.IPs, want.IPs)
		if !again {
			return fault(dtc.KindDenied, "the token has been used: get a new one with dtc invite")
		}
	}
	self := ""
	if old != nil {
		switch {
		case old.Role != dtc.RoleAgent:
			return fault(dtc.KindDenied, "this key is not an agent's")
		case !old.Revoked.IsZero():
			return fault(dtc.KindDenied, "this key was revoked for good: remove conf/tls/agent.key on this host and join again")
		}
		self = old.ID
	}
	return r.checkFree(want.Name, want.IPs, self, a.now())
}
