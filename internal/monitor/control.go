package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"dtc/internal/ca"
	"dtc/internal/logs"
	"dtc/internal/wire"
)

// SocketPath returns the path of the service's local socket.
func SocketPath(home string) string { return filepath.Join(home, "state", "dtc.sock") }

// The verbs of the local socket that are the service's own; the log verbs
// stand with [logs.VerbList]. The commands that change files (issue, revoke,
// forget) do so themselves and then have the service take that up: all of it,
// or, where the configuration is none of their business, the register of
// certificates alone.
const (
	VerbReload = "reload"
	VerbTrust  = "trust"
	VerbInvite = "invite"
)

// InviteRequest asks for a token.
type InviteRequest struct {
	Name string        `json:"name,omitempty"`
	IPs  []netip.Addr  `json:"ips,omitempty"`
	TTL  time.Duration `json:"ttl"` // nanoseconds
}

// InviteReply is a new token and where to bring it.
type InviteReply struct {
	Token   string         `json:"token"`
	Address netip.AddrPort `json:"address"` // of the service, as agents reach it
}

// alone fails if another service runs in this home. Two would write the same
// files.
func (m *Monitor) alone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := wire.Control(ctx, SocketPath(m.opts.Home), "", nil, nil); err == nil {
		return fmt.Errorf("run the service in %s: %w; stop that one, or name another home with --home", m.opts.Home, wire.ErrInUse)
	}
	return nil
}

// control answers on the local socket.
func (m *Monitor) control(ctx context.Context) error {
	path := SocketPath(m.opts.Home)
	err := wire.ServeControl(ctx, path, m.answer, m.log)
	if err != nil && ctx.Err() == nil {
		if errors.Is(err, wire.ErrInUse) {
			return err
		}
		// Watching and following work without it.
		m.log.Error("no local control socket: the commands that need the service do not work", "path", path, "error", err)
		<-ctx.Done()
	}
	return nil
}

// answer does one local command.
func (m *Monitor) answer(ctx context.Context, verb string, request json.RawMessage, emit func(any) error) error {
	switch verb {
	case VerbReload:
		return m.Reload(ctx)
	case VerbAlive:
		return m.alive()
	case VerbTrust:
		m.reloading.Lock()
		defer m.reloading.Unlock()
		cfg, _ := m.config()
		return m.trust(cfg.Hosts)
	case VerbInvite:
		var req InviteRequest
		if err := json.Unmarshal(request, &req); err != nil {
			return fmt.Errorf("invite: %w", err)
		}
		reply, err := m.invite(ctx, req)
		if err != nil {
			return err
		}
		return emit(reply)
	case VerbRevoke, VerbForget:
		return m.answerRevoke(verb, request)
	case VerbSilence, VerbSilences, VerbUnsilence, VerbNotices:
		return m.answerNotices(verb, request, emit)
	case logs.VerbList, logs.VerbVerify:
		if m.logs == nil {
			return errors.New("the service runs without the log receiver: start 'dtc serve' with --only log, or without --only")
		}
		return m.logs.Answer(ctx, verb, request, emit)
	default:
		return fmt.Errorf("the service does not know the command %q: is it of another version?", verb)
	}
}

func (m *Monitor) invite(ctx context.Context, req InviteRequest) (InviteReply, error) {
	cfg, _ := m.config()
	if !cfg.LocalHost.IsValid() {
		return InviteReply{}, fmt.Errorf("invite: the service listens nowhere: set local_host in %s, then 'dtc reload'", m.opts.ConfigPath)
	}
	token, err := m.authority.Invite(ca.Invitation{Name: req.Name, IPs: req.IPs, TTL: req.TTL})
	if err != nil {
		return InviteReply{}, err
	}
	var toward netip.Addr
	if len(req.IPs) > 0 {
		toward = req.IPs[0]
	}
	return InviteReply{Token: token, Address: Reachable(ctx, cfg.LocalHost, toward)}, nil
}

// Reachable is the address at which a host finds a listener. Of one on every
// interface it is the one that leads to the host, and where that is not known
// the first that is not loopback.
func Reachable(ctx context.Context, at netip.AddrPort, host netip.Addr) netip.AddrPort {
	if !at.Addr().IsUnspecified() {
		return at
	}
	if ip := sourceFor(ctx, host); ip.IsValid() {
		return netip.AddrPortFrom(ip, at.Port())
	}
	best := loopbackAddr()
	addrs, _ := net.InterfaceAddrs() // none is fine: loopback then
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		ip := p.Addr()
		switch {
		case err != nil, ip.IsLoopback(), ip.IsLinkLocalUnicast():
		case ip.Is4():
			return netip.AddrPortFrom(ip, at.Port())
		case best.IsLoopback() && at.Addr().Is6():
			best = ip
		}
	}
	return netip.AddrPortFrom(best, at.Port())
}

func loopbackAddr() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// sourceFor returns this machine's own address on the way to a host; zero if
// there is none.
func sourceFor(ctx context.Context, host netip.Addr) netip.Addr {
	if !host.IsValid() {
		return netip.Addr{}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(host, 9).String()) // sends nothing
	if err != nil {
		return netip.Addr{}
	}
	own, err := netip.ParseAddrPort(conn.LocalAddr().String())
	_ = conn.Close() // nothing was sent over it
	if err != nil {
		return netip.Addr{}
	}
	return own.Addr().Unmap().WithZone("")
}
