package monitor

import (
	"context"
	"fmt"
	"time"

	"dtc"
	"dtc/internal/config"
)

// refuseEvery is how often those refusals are told that are more of the same.
const refuseEvery = 10 * time.Minute

// maxRefusals is how many refusals one agent may tell of in one contact.
const maxRefusals = 20

// refuse is revoked for who knocks, and records the attempt.
func (m *Monitor) refuse(peer dtc.Peer) bool {
	if !m.revoked(peer) {
		return false
	}
	what := "connect with a certificate that was revoked or replaced"
	if peer.Role == dtc.RoleAgent {
		what += "; to let the host in again: dtc invite, and dtc-agent join there"
	}
	m.denied(peer, what)
	return true
}

// denied records that a proven peer asked for what its role may not do: the
// first time at once, then how often it was.
func (m *Monitor) denied(peer dtc.Peer, what string) {
	if m.refusals.Note(peer, what) {
		m.log.Warn("refused", "peer", peer.ID, "name", m.authority.Name(peer.ID), "role", string(peer.Role), "what", what)
		m.recordRefusal(peer, what)
	}
}

// countRefusals tells now and then how often something was refused again.
func (m *Monitor) countRefusals(ctx context.Context) error {
	for {
		more := wait(ctx, refuseEvery)
		for _, r := range m.refusals.Take() {
			m.recordRefusal(r.Peer, fmt.Sprintf("%s (%d times more)", r.What, r.Count))
		}
		if !more {
			return nil
		}
	}
}

// recordRefusal writes an event: of the host whose agent it was, else of the
// monitor itself.
func (m *Monitor) recordRefusal(peer dtc.Peer, what string) {
	e := dtc.Event{Kind: dtc.EventHost, State: dtc.StateRefused, Reason: what}
	folder, err := m.folder(peer)
	if err != nil {
		folder = m.own(&e)
		e.Reason = m.whoIs(peer) + ": " + what
	} else {
		e.Host, e.Address = m.nameOf(peer)
	}
	if err := m.record(folder, e); err != nil {
		m.log.Error("record a refusal", "error", err)
	}
}

// whoIs says for a person who a peer is.
func (m *Monitor) whoIs(peer dtc.Peer) string {
	if name := m.authority.Name(peer.ID); name != "" {
		return fmt.Sprintf("%s %s", peer.Role, name)
	}
	return fmt.Sprintf("%s with the id %s", peer.Role, peer.ID)
}

// refusedThere records what a host's agent has refused to others.
func (m *Monitor) refusedThere(h config.Host, refusals []dtc.Refusal) {
	for i, r := range refusals {
		reason := fmt.Sprintf("the agent there refused the %s: %s", m.whoIs(r.Peer), r.What)
		if i == maxRefusals {
			reason = fmt.Sprintf("the agent there refused %d more", len(refusals)-i)
		}
		if r.Count > 1 && i < maxRefusals {
			reason += fmt.Sprintf(" (%d times)", r.Count)
		}
		m.log.Warn("refused by an agent", "host", h.Name, "peer", r.Peer.ID, "role", string(r.Peer.Role), "what", r.What, "times", r.Count)
		err := m.record(config.FolderName(h.Address.Addr()), dtc.Event{
			Host: h.Name, Address: h.Address.String(), Kind: dtc.EventHost, State: dtc.StateRefused, Reason: reason,
		})
		if err != nil {
			m.log.Error("record a refusal", "error", err)
		}
		if i == maxRefusals {
			return
		}
	}
}
