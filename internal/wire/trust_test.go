package wire_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

var loopback = netip.MustParseAddr("127.0.0.1")

type infoAgent struct{ wire.Agent }

func (infoAgent) Info(context.Context) (dtc.Info, error) { return dtc.Info{Version: "1"}, nil }

func run(t *testing.T, s *wire.Server) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	s.Logger = slog.New(slog.DiscardHandler)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return netip.MustParseAddrPort(ln.Addr().String())
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A fleet from nothing, with its own certificates: an agent joins, is asked,
// sends logs, asks another itself, and is revoked.
func TestFleet(t *testing.T) {
	home := t.TempDir()
	mdir, adir := filepath.Join(home, "monitor"), filepath.Join(home, "agent")
	if err := ca.Init(mdir, []netip.Addr{loopback}); err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Open(mdir)
	must(t, authority, err)
	mine, err := ca.Load(mdir, dtc.RoleMonitor)
	must(t, mine, err)
	revoked := func(p dtc.Peer) bool { return !authority.Valid(p) }
	arrived := make(chan dtc.Peer, 1)
	monitor := &wire.Server{
		TLS: mine.ServerTLS(revoked, wire.ProtoJoin, wire.ProtoRPC, wire.ProtoLog), Identify: ca.Identify,
		Join: func(_ context.Context, remote netip.Addr, req wire.JoinRequest) (wire.JoinReply, error) {
			g, err := authority.Redeem(req.Token, remote, req.CSR, req.Listen)
			return wire.JoinReply{Certificate: g.Certificate, CA: g.CA, Name: g.Name}, err
		},
		Log: func(_ context.Context, peer dtc.Peer, link *wire.Link) error {
			arrived <- peer
			return link.Recv(new(dtc.Frame))
		},
	}
	at := run(t, monitor)

	text, err := authority.Invite(ca.Invitation{Name: "web1", IPs: []netip.Addr{loopback}, TTL: time.Hour})
	must(t, text, err)
	token, err := ca.ParseToken(text)
	must(t, token, err)
	key, csr, err := ca.NewKey()
	must(t, key, err)
	reply, err := wire.Join(t.Context(), at, token.TLS(), wire.JoinRequest{Token: token.Secret, CSR: csr})
	must(t, reply, err)
	if reply.Name != "web1" {
		t.Errorf("it is called %q", reply.Name)
	}
	if err := ca.StoreAgent(adir, key, reply.Certificate, reply.CA); err != nil {
		t.Fatal(err)
	}
	_, other, err := ca.NewKey()
	must(t, other, err)
	if _, err := wire.Join(t.Context(), at, token.TLS(), wire.JoinRequest{Token: token.Secret, CSR: other}); err == nil {
		t.Error("the token can be used twice")
	} else {
		t.Log(err)
	}

	its, err := ca.Load(adir, dtc.RoleAgent)
	must(t, its, err)
	agentAt := run(t, &wire.Server{TLS: its.ServerTLS(nil, "", wire.ProtoRPC), Identify: ca.Identify, Agent: infoAgent{}})
	ask := func(cfg *tls.Config) error {
		d := wire.Dialer{TLS: func(netip.Addr) *tls.Config { return cfg }}
		c := wire.NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, agentAt, wire.ProtoRPC) })
		defer c.Close()
		_, err := c.Info(t.Context())
		return err
	}
	if err := ask(mine.ClientTLS(loopback, dtc.RoleAgent, revoked)); err != nil {
		t.Errorf("the monitor asks: %v", err)
	}
	if err := ask(its.ClientTLS(loopback, dtc.RoleAgent, nil)); dtc.KindOf(err) != dtc.KindDenied {
		t.Errorf("an agent asks: %v", err)
	}
	if err := ask(mine.ClientTLS(netip.MustParseAddr("127.0.0.2"), dtc.RoleAgent, nil)); dtc.KindOf(err) != dtc.KindIdentity {
		t.Errorf("another was meant: %v (%s)", err, dtc.KindOf(err))
	}

	logs := wire.Dialer{TLS: its.ToMonitor()}
	conn, err := logs.Dial(t.Context(), at, wire.ProtoLog)
	link := wire.NewLink(must(t, conn, err))
	defer link.Close()
	if peer := <-arrived; peer.Role != dtc.RoleAgent || peer.IPs[0] != loopback {
		t.Errorf("logs from %+v", peer)
	}
	id, err := authority.Revoke("web1")
	must(t, id, err)
	monitor.Disconnect(func(p dtc.Peer) bool { return p.ID == id })
	if err := link.Recv(new(dtc.Frame)); err == nil {
		t.Error("the link of the revoked agent is still open")
	}
	conn, err = logs.Dial(t.Context(), at, wire.ProtoLog)
	again := wire.NewLink(must(t, conn, err))
	defer again.Close()
	if err := again.Recv(new(dtc.Frame)); dtc.KindOf(err) != dtc.KindCertificate {
		t.Errorf("the revoked agent comes again: %v (%s)", err, dtc.KindOf(err))
	}
	if err := ask(mine.ClientTLS(loopback, dtc.RoleAgent, revoked)); dtc.KindOf(err) != dtc.KindCertificate {
		t.Errorf("the monitor asks the revoked agent: %v (%s)", err, dtc.KindOf(err))
	}
}
