package monitor

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/wire"
)

// dialHost returns the client of one host's agent.
func (m *Monitor) dialHost(h fleet.Host) *wire.Client {
	d := wire.Dialer{TLS: m.creds.ToAgents(m.revoked)}
	return wire.NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, h.Address, wire.ProtoRPC) })
}

// join certifies an agent that brings a token, and adds its host to the
// configuration.
func (m *Monitor) join(_ context.Context, remote netip.Addr, req wire.JoinRequest) (wire.JoinReply, error) {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	grant, err := m.authority.Redeem(req.Token, remote, req.CSR, req.Listen)
	if err != nil {
		m.log.Warn("a join was refused", "from", remote, "error", err)
		return wire.JoinReply{}, err
	}
	m.log.Info("an agent joined", "name", grant.Name, "from", remote, "id", grant.ID)
	if grant.Rejoined {
		m.tellRejoined(grant.IPs, grant.Name, grant.ID)
	}
	if req.Listen.IsValid() {
		if err := m.addHost(config.Host{Name: grant.Name, Address: req.Listen}, grant.Previous.Name); err != nil {
			// The certificate holds all the same: the operator adds the host.
			m.log.Error("a host that joined could not be added to the configuration", "name", grant.Name, "address", req.Listen, "error", err)
		}
	}
	return wire.JoinReply{Certificate: grant.Certificate, CA: grant.CA, Name: grant.Name}, nil
}

// tellRejoined records that an agent came again with its old key.
func (m *Monitor) tellRejoined(ips []netip.Addr, name, id string) {
	folder, err := m.folder(dtc.Peer{ID: id, Role: dtc.RoleAgent, IPs: ips})
	if err == nil {
		err = m.record(folder, dtc.Event{
			Host: name, Address: ips[0].String(), Kind: dtc.EventHost, State: dtc.StateRejoined,
			Reason: fmt.Sprintf("the agent joined again with its old key, now with the ips %s; its copies stay in their folder", ips),
		})
	}
	if err != nil {
		m.log.Error("record a join", "name", name, "error", err)
	}
}

// addHost puts a host into monitor.xml and applies it. A host that is there
// under the same name (or its former one) at another address has moved.
func (m *Monitor) addHost(h config.Host, former string) error {
	cfg, _ := m.config()
	for _, old := range cfg.Hosts {
		switch {
		case old.Address == h.Address:
			return nil // joined before; what the operator wrote stays
		case old.Name == h.Name || (former != "" && old.Name == former):
			if _, err := config.RemoveHost(m.opts.ConfigPath, old.Name); err != nil {
				return err
			}
			old.Name, old.Address = h.Name, h.Address
			h = old
		}
	}
	if err := config.AddHost(m.opts.ConfigPath, h); err != nil {
		return err
	}
	return m.reload()
}
