package monitor

import (
	"fmt"
	"net/netip"
	"slices"

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
