package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

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
	if req.Listen.IsValid() {
		if req.Listen.Port() == 0 {
			return wire.JoinReply{}, &dtc.Error{Kind: dtc.KindInvalid, Err: errors.New("the listen address has no port")}
		}
		req.Listen = netip.AddrPortFrom(req.Listen.Addr().Unmap(), req.Listen.Port())
	}
	grant, err := m.authority.Redeem(req.Token, remote, req.CSR, req.Listen)
	if err != nil {
		return wire.JoinReply{}, err // the server logs it, within bounds
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
	list := make([]string, len(ips))
	for i, ip := range ips {
		list[i] = ip.String()
	}
	if err == nil {
		err = m.record(folder, dtc.Event{
			Host: name, Address: ips[0].String(), Kind: dtc.EventHost, State: dtc.StateRejoined,
			Reason: fmt.Sprintf("the agent joined again with its old key, now for %s; its copies stay in their folder", strings.Join(list, ", ")),
		})
	}
	if err != nil {
		m.log.Error("record a join", "name", name, "error", err)
	}
}

// addHost puts a host into monitor.xml and applies it. A host that is there
// under the same name (or its former one) at another address has moved.
func (m *Monitor) addHost(h config.Host, former string) error {
	cfg, err := m.opts.Load()
	if err != nil {
		return err
	}
	moved := ""
	for _, old := range cfg.Hosts {
		switch {
		case old.Address == h.Address:
			_, err := m.reload() // what the operator wrote there stays
			return err
		case old.Name == h.Name, former != "" && old.Name == former && moved == "":
			moved = old.Name
		}
	}
	if moved == "" {
		err = config.AddHost(m.opts.ConfigPath, h)
	} else {
		err = m.moveHost(moved, h)
	}
	if err != nil {
		return err
	}
	_, err = m.reload()
	return err
}

// moveHost gives a host of monitor.xml its new name and address. All else that
// is said of it stays, and so does the host if that fails.
func (m *Monitor) moveHost(name string, to config.Host) error {
	old, err := config.RemoveHost(m.opts.ConfigPath, name)
	if err != nil {
		return err
	}
	moved := old
	moved.Name, moved.Address = to.Name, to.Address
	if err := config.AddHost(m.opts.ConfigPath, moved); err != nil {
		return errors.Join(err, config.AddHost(m.opts.ConfigPath, old))
	}
	return nil
}
