package monitor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/wire"
)

// How the hosts learn whom to trust.
const (
	trustEvery = time.Minute      // every agent is asked how it stands, and tells whom it refused
	trustRound = 10 * time.Second // for one call
	trustMost  = 4                // calls of one contact: what is taken may make something else wanted
	tidyEvery  = time.Hour        // the own certificate, and the list of those that are revoked, are looked at
	renewPause = time.Minute      // between two certificates of one agent
)

// trustees is what the service remembers of who was handed what.
type trustees struct {
	wake chan struct{} // has an element while tend is to look

	mu        sync.Mutex
	changed   chan struct{}        // guarded by mu; closed when there is something new to hand over
	confirmed map[string]uint64    // guarded by mu; numbers of the CAs that agents have said they trust, by id
	renewed   map[string]time.Time // guarded by mu; when an agent got a certificate last, by id
	told      map[string]string    // guarded by mu; what is wrong with a host's trust, as it was logged
}

func newTrustees() *trustees {
	return &trustees{
		wake: make(chan struct{}, 1), changed: make(chan struct{}),
		confirmed: map[string]uint64{}, renewed: map[string]time.Time{}, told: map[string]string{},
	}
}

// current returns a channel that is closed when there is something new.
func (t *trustees) current() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// announce has every host asked at once.
func (t *trustees) announce() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.changed = make(chan struct{})
}

// confirm notes what an agent has said that it trusts.
func (t *trustees) confirm(id string, bundle uint64) {
	t.mu.Lock()
	t.confirmed[id] = bundle
	t.mu.Unlock()
	t.look()
}

// look has tend look at the authority soon.
func (t *trustees) look() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *trustees) takeConfirmed() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.confirmed
	t.confirmed = map[string]uint64{}
	return taken
}

// mayRenew reports whether an agent gets another certificate now, and notes it.
func (t *trustees) mayRenew(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.renewed[id]) < renewPause {
		return false
	}
	t.renewed[id] = time.Now()
	return true
}

// once reports whether a host's fault is news, and notes it; "" is none.
func (t *trustees) once(host, fault string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := fault != "" && t.told[host] != fault
	if t.told[host] = fault; fault == "" {
		delete(t.told, host)
	}
	return news
}

// keepTrust hands an agent what is new, as soon as there is something, until ctx
// is done.
func (w *hostWatch) keepTrust(ctx context.Context, client *wire.Client) error {
	h, _ := w.current()
	for {
		changed := w.m.trustees.current()
		err := w.m.handOver(ctx, client, h)
		if errors.Is(err, wire.ErrOlder) {
			<-ctx.Done() // it never will
			return nil
		}
		fault := ""
		if err != nil && dtc.KindOf(err) != dtc.KindUnavailable && dtc.KindOf(err) != dtc.KindTimeout {
			fault = err.Error()
		}
		if ctx.Err() == nil && w.m.trustees.once(h.Name, fault) {
			w.m.log.Error("hand over certificates and the list of revoked ones", "host", h.Name, "error", fault)
		}
		timer := time.NewTimer(trustEvery)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// handOver asks an agent how it stands and hands over what is new, until nothing
// is.
func (m *Monitor) handOver(ctx context.Context, client *wire.Client, h config.Host) error {
	var grant dtc.TrustGrant
	for range trustMost {
		round, cancel := context.WithTimeout(ctx, trustRound)
		state, err := client.Trust(round, grant)
		cancel()
		if err != nil {
			return err
		}
		m.refusedThere(h, state.Refusals)
		peer, ok := m.authority.Agent(h.Address.Addr())
		if !ok {
			return fmt.Errorf("no valid certificate has the address %s", h.Address.Addr())
		}
		if grant, err = m.offer(peer, state); err != nil || grant.Empty() {
			return err
		}
	}
	return nil
}

// renew answers an agent that asks itself, and an operator's or viewer's
// program, which get no certificate.
func (m *Monitor) renew(_ context.Context, peer dtc.Peer, state dtc.TrustState) (dtc.TrustGrant, error) {
	if peer.Role != dtc.RoleAgent {
		m.trustees.confirm(peer.ID, state.Bundle)
		return m.authority.Offer(state), nil
	}
	if h, ok := m.hostOf(peer); ok {
		m.refusedThere(h, state.Refusals)
	}
	return m.offer(peer, state)
}

// offer returns what an agent lacks.
func (m *Monitor) offer(peer dtc.Peer, state dtc.TrustState) (dtc.TrustGrant, error) {
	grant := m.authority.Offer(state)
	if newest := m.authority.List(); state.List > newest && m.trustees.once(peer.ID, "newer list") {
		m.log.Warn("an agent has a newer list of revoked certificates than this monitor: was conf/tls restored from a backup?",
			"name", m.authority.Name(peer.ID), "its", state.List, "here", newest)
	}
	if len(state.Request) == 0 {
		m.trustees.confirm(peer.ID, state.Bundle)
		return grant, nil
	}
	if !m.trustees.mayRenew(peer.ID) {
		return grant, nil
	}
	cert, err := m.authority.Renew(peer, state.Request)
	if err != nil {
		return grant, err
	}
	m.log.Info("a certificate was renewed", "name", m.authority.Name(peer.ID), "id", peer.ID, "ended", state.Expires.UTC())
	grant.Certificate = cert
	return grant, nil
}

// tend keeps the authority in order: it writes down what agents have confirmed,
// goes on with a change of the CA, and renews the monitor's own certificate.
func (m *Monitor) tend(ctx context.Context) error {
	for {
		if err := m.tidy(); err != nil {
			m.log.Error("tend the fleet's CA", "error", err)
		}
		timer := time.NewTimer(tidyEvery)
		select {
		case <-ctx.Done():
		case <-m.trustees.wake:
			wait(ctx, time.Second) // for those who confirm at the same time
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// tidy is one round of tend.
func (m *Monitor) tidy() error {
	if err := m.authority.Confirm(m.trustees.takeConfirmed()); err != nil {
		return err
	}
	for {
		before := m.authority.Rotation().Phase
		changed, err := m.authority.Advance()
		if err != nil || !changed {
			return err
		}
		if after := m.authority.Rotation(); after.Phase != before {
			m.log.Info("the change of the fleet's CA goes on", "phase", string(after.Phase), "ca", after.CAs[0].ID)
		}
		if err := m.apply(); err != nil {
			return err
		}
	}
}

// apply has all that is open and all that comes go by what the authority says
// now.
func (m *Monitor) apply() error {
	err := m.creds.Reload()
	m.mu.Lock()
	srv := m.server
	m.mu.Unlock()
	if srv != nil {
		srv.Disconnect(m.revoked)
		srv.Recheck(m.creds.Recheck)
	}
	m.trustees.announce()
	return err
}

// distrust closes the connections to hosts whose certificates are valid no more.
func (m *Monitor) distrust(hosts []config.Host) {
	now := time.Now()
	state := map[netip.Addr]bool{} // of each ip: whether a valid certificate has it
	for _, r := range m.authority.Issued() {
		for _, ip := range r.IPs {
			state[ip] = state[ip] || r.Role == dtc.RoleAgent && r.Valid(now)
		}
	}
	for _, h := range hosts {
		if valid, known := state[h.Address.Addr()]; known && !valid {
			m.fleet.Forget(h.Address)
		}
	}
}
