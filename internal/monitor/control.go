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
// forget) do so themselves and then have the service reload.
const (
	VerbReload = "reload"
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
		return m.Reload()
	case VerbInvite:
		var req InviteRequest
		if err := json.Unmarshal(request, &req); err != nil {
			return fmt.Errorf("invite: %w", err)
		}
		reply, err := m.invite(req)
		if err != nil {
			return err
		}
		return emit(reply)
	case logs.VerbList, logs.VerbVerify:
		if m.logs == nil {
			return errors.New("the service runs without the log receiver (--only)")
		}
		return m.logs.Answer(ctx, verb, request, emit)
	default:
		return fmt.Errorf("the service does not know the command %q: is it of another version?", verb)
	}
}

func (m *Monitor) invite(req InviteRequest) (InviteReply, error) {
	cfg, _ := m.config()
	if !cfg.LocalHost.IsValid() {
		return InviteReply{}, fmt.Errorf("invite: the service listens nowhere: set local_host in %s, then 'dtc reload'", m.opts.ConfigPath)
	}
	token, err := m.authority.Invite(ca.Invitation{Name: req.Name, IPs: req.IPs, TTL: req.TTL})
	if err != nil {
		return InviteReply{}, err
	}
	return InviteReply{Token: token, Address: reachable(cfg.LocalHost)}, nil
}

// reachable is the address at which others find a listener: of one on every
// interface the first that is not loopback.
func reachable(at netip.AddrPort) netip.AddrPort {
	if !at.Addr().IsUnspecified() {
		return at
	}
	addrs, _ := net.InterfaceAddrs() // none is fine: loopback then
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			return netip.AddrPortFrom(p.Addr(), at.Port())
		}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
}
