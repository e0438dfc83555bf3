package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"dtc"
)

// listen accepts connections and hands each to f.
func listen(t *testing.T, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String())
}

func TestDialTellsWhy(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	monitor, agent := a.issue(t, dtc.RoleMonitor, "m1", time.Hour), a.issue(t, dtc.RoleAgent, "a1", time.Hour)
	plain := func(cfg *tls.Config) Dialer { return Dialer{TLS: func(netip.Addr) *tls.Config { return cfg }} }
	serving := func(cfg *tls.Config) netip.AddrPort {
		return listen(t, func(c net.Conn) {
			c = tls.Server(c, cfg)
			io.Copy(io.Discard, c)
		})
	}
	picky := a.clientTLS(monitor)
	picky.VerifyConnection = func(tls.ConnectionState) error {
		return fmt.Errorf("verify: %w", &dtc.Error{Kind: dtc.KindIdentity, Err: errors.New("it is 10.0.0.9")})
	}
	silent := make(chan struct{})
	defer close(silent)
	tests := []struct {
		name string
		d    Dialer
		at   netip.AddrPort
		kind dtc.ErrorKind
		text string
	}{
		{"nobody listens", a.dialer(monitor), freePort(t), dtc.KindRefused, "refused"},
		{"no handshake", a.dialer(monitor), listen(t, func(net.Conn) { <-silent }), dtc.KindTimeout, "in time"},
		{"foreign certificate", a.dialer(monitor), serving(other.serverTLS(other.issue(t, dtc.RoleAgent, "a1", time.Hour))), dtc.KindCertificate, "certificate"},
		{"expired certificate", a.dialer(monitor), serving(a.serverTLS(a.issue(t, dtc.RoleAgent, "a1", -time.Hour))), dtc.KindCertificate, "expired"},
		{"wrong identity", plain(picky), serving(a.serverTLS(agent)), dtc.KindIdentity, "it is 10.0.0.9"},
		{"another program", a.dialer(monitor), listen(t, func(c net.Conn) { io.WriteString(c, "220 smtp.example.org ESMTP\r\n"); io.Copy(io.Discard, c) }), dtc.KindOther, "does not speak TLS"},
		{"another server", a.dialer(monitor), serving(&tls.Config{Certificates: []tls.Certificate{agent}, NextProtos: []string{"h3"}}), dtc.KindOther, "protocol"},
		{"a server without ALPN", a.dialer(monitor), serving(&tls.Config{Certificates: []tls.Certificate{agent}}), dtc.KindOther, "does not speak h2"},
		{"closed", a.dialer(monitor), listen(t, func(c net.Conn) { c.Read(make([]byte, 1<<16)) }), dtc.KindUnavailable, "closed"},
		{"reset", a.dialer(monitor), listen(t, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }), dtc.KindUnavailable, ""},
	}
	for _, test := range tests {
		patience := 10 * time.Second
		if test.kind == dtc.KindTimeout {
			patience = 100 * time.Millisecond
		}
		c, err := test.d.Dial(within(t, patience), test.at, ProtoRPC)
		if err == nil {
			c.Close()
		}
		if !isError(err) || dtc.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v (%s), want %s", test.name, err, dtc.KindOf(err), test.kind)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "connect to "+test.at.String()+": ") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// isError reports whether err is a *dtc.Error itself.
func isError(err error) bool {
	return fmt.Sprintf("%T", err) == "*dtc.Error"
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return netip.MustParseAddrPort(ln.Addr().String())
}

func TestDialCanceled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&dtc.Error{Kind: dtc.KindUnavailable, Err: errors.New("never mind")})
	_, err := newAuthority(t).dialer().Dial(ctx, freePort(t), ProtoRPC)
	if dtc.KindOf(err) != dtc.KindUnavailable || !strings.HasSuffix(err.Error(), ": never mind") {
		t.Errorf("Dial = %v (%s)", err, dtc.KindOf(err))
	}
}

// With TLS 1.3 the server's refusal comes after the client's handshake.
func TestRefusalOfOurCertificate(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}, Log: func(_ context.Context, _ dtc.Peer, link *Link) error { return link.Recv(new(dtc.Frame)) }})
	stranger := newAuthority(t).issue(t, dtc.RoleMonitor, "m1", time.Hour)
	forced := &tls.Config{RootCAs: r.roots, ServerName: "127.0.0.1", GetClientCertificate: give(stranger)}
	d := Dialer{TLS: func(netip.Addr) *tls.Config { return forced }}
	for range 20 { // it must not depend on who is faster
		c := NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, r.at, ProtoRPC) })
		if _, err := c.Info(within(t, 5*time.Second)); dtc.KindOf(err) != dtc.KindCertificate {
			t.Errorf("Info = %v (%s)", err, dtc.KindOf(err))
		}
		c.Close()
		conn, err := d.Dial(within(t, 5*time.Second), r.at, ProtoLog)
		if err != nil {
			t.Fatal(err)
		}
		link := NewLink(conn)
		link.Send(&dtc.Frame{Kind: dtc.FrameHello, ID: 1})
		link.Flush()
		if err := link.Recv(new(dtc.Frame)); dtc.KindOf(err) != dtc.KindCertificate {
			t.Errorf("Recv = %v (%s)", err, dtc.KindOf(err))
		}
		link.Close()
	}
}

func TestLostConnection(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	conn, err := r.dialer(r.monitor).Dial(within(t, 5*time.Second), r.at, ProtoRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := conn.Read(make([]byte, 1)); dtc.KindOf(err) != dtc.KindTimeout {
		t.Errorf("Read = %v (%s)", err, dtc.KindOf(err))
	}
	conn.(interface{ NetConn() net.Conn }).NetConn().Close()
	if _, err := conn.Write(make([]byte, 1)); dtc.KindOf(err) != dtc.KindUnavailable || !strings.Contains(err.Error(), r.at.String()) {
		t.Errorf("Write = %v (%s)", err, dtc.KindOf(err))
	}
}

func TestClassify(t *testing.T) {
	tests := []struct {
		err  error
		want dtc.ErrorKind
	}{
		{errors.New("x"), dtc.KindOther},
		{fmt.Errorf("x: %w", &dtc.Error{Kind: dtc.KindDenied, Err: errors.New("y")}), dtc.KindDenied},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), dtc.KindTimeout},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, dtc.KindCertificate},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, dtc.KindCertificate},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(116)}, dtc.KindCertificate},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, dtc.KindOther},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EPERM)}, dtc.KindNoRoute},
		{&os.PathError{Op: "open", Err: syscall.EPERM}, dtc.KindOther},
		{&net.OpError{Op: "local error", Err: tls.AlertError(42)}, dtc.KindOther},
	}
	for _, errnos := range []struct {
		list []error
		want dtc.ErrorKind
	}{{refusedErrnos(), dtc.KindRefused}, {timeoutErrnos(), dtc.KindTimeout}, {noRouteErrnos(), dtc.KindNoRoute}, {lostErrnos(), dtc.KindUnavailable}} {
		for _, errno := range errnos.list {
			tests = append(tests, struct {
				err  error
				want dtc.ErrorKind
			}{&net.OpError{Op: "dial", Err: errno}, errnos.want})
		}
	}
	for _, test := range tests {
		if got := classify(test.err); got != test.want {
			t.Errorf("classify(%v) = %s, want %s", test.err, got, test.want)
		}
	}
}
