package monitor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"dtc"
	"dtc/internal/config"
)

// hostOf returns the configured host whose ip the peer's certificate has.
func (m *Monitor) hostOf(peer dtc.Peer) (config.Host, bool) {
	cfg, _ := m.config()
	for _, h := range cfg.Hosts {
		if slices.Contains(peer.IPs, h.Address.Addr()) {
			return h, true
		}
	}
	return config.Host{}, false
}

// folder names the folder of a peer's copies: the ip of its ip_port where the
// certificate has it, else the certificate's first. Where the connection
// seems to come from says nothing.
func (m *Monitor) folder(peer dtc.Peer) (string, error) {
	if h, ok := m.hostOf(peer); ok {
		return config.FolderName(h.Address.Addr()), nil
	}
	if len(peer.IPs) == 0 {
		return "", fmt.Errorf("the certificate of %s has no ip", peer.ID)
	}
	return config.FolderName(peer.IPs[0]), nil
}

// report records an event of a followed file that is stored in folder.
func (m *Monitor) report(folder string, e dtc.Event) error {
	e.Host, e.Address = folder, folder
	cfg, _ := m.config()
	for _, h := range cfg.Hosts {
		if config.FolderName(h.Address.Addr()) == folder {
			e.Host, e.Address = h.Name, h.Address.String()
			break
		}
	}
	return m.record(folder, e)
}

// nameOf says how the operator knows a peer: name and address.
func (m *Monitor) nameOf(peer dtc.Peer) (name, address string) {
	if h, ok := m.hostOf(peer); ok {
		return h.Name, h.Address.String()
	}
	if len(peer.IPs) == 0 {
		return peer.ID, ""
	}
	return peer.IPs[0].String(), peer.IPs[0].String()
}

// record writes an event down, with an id and a time if it has none.
func (m *Monitor) record(folder string, e dtc.Event) error {
	if e.ID == "" {
		e.ID = m.nextID()
	}
	return m.events.Append(folder, port(e.Address), e)
}

// port returns the port of an "ip:port", 0 if it has none.
func port(address string) uint16 {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0
	}
	return a.Port()
}

// refuseEvery is how often one agent's attempts with a certificate that is not
// good any more are told.
const refuseEvery = 10 * time.Minute

// refuse is revoked for who knocks, and records the attempt.
func (m *Monitor) refuse(peer dtc.Peer) bool {
	if !m.revoked(peer) {
		return false
	}
	m.mu.Lock()
	now := time.Now()
	again := now.Sub(m.refused[peer.ID]) < refuseEvery
	if !again {
		maps.DeleteFunc(m.refused, func(_ string, t time.Time) bool { return now.Sub(t) >= refuseEvery })
		m.refused[peer.ID] = now
	}
	m.mu.Unlock()
	if !again {
		m.denied(peer, "connect with a certificate that was revoked or replaced; to let the host in again: dtc invite, and dtc-agent join there")
	}
	return true
}

// denied records that a proven peer asked for what its role may not do.
func (m *Monitor) denied(peer dtc.Peer, what string) {
	m.log.Warn("refused", "peer", peer.ID, "role", string(peer.Role), "what", what)
	folder, err := m.folder(peer)
	if err != nil {
		return
	}
	name, address := m.nameOf(peer)
	err = m.record(folder, dtc.Event{
		Host: name, Address: address, Kind: dtc.EventHost, State: dtc.StateRefused,
		Reason: what,
	})
	if err != nil {
		m.log.Error("record a refusal", "error", err)
	}
}
