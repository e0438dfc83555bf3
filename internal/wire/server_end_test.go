package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"dtc"
)

func TestServeEndsInTime(t *testing.T) {
	began := make(chan struct{}, 3)
	r := serve(t, &Server{
		Agent: &fakeAgent{
			watch: func(ctx context.Context, _ string, _ dtc.Watching, _ func(dtc.Sighting) error) error {
				began <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			},
			get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
				began <- struct{}{}
				for { // to a client that does not read
					if err := emit(&dtc.Report{Process: processes(1000), Partial: true}); err != nil {
						return err
					}
				}
			},
		},
		Log: func(ctx context.Context, _ dtc.Peer, link *Link) error {
			began <- struct{}{}
			return link.Recv(new(dtc.Frame)) // heeds no context
		},
	})
	c := r.client(t, r.monitor)
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() {
		if err := c.Watch(t.Context(), dtc.Watching{}, nil); dtc.KindOf(err) != dtc.KindUnavailable {
			t.Errorf("Watch = %v (%s)", err, dtc.KindOf(err))
		}
	})
	stop := make(chan struct{})
	asking.Go(func() {
		err := c.Get(t.Context(), dtc.Query{Status: dtc.StatusProcess}, func(*dtc.Report) error { <-stop; return nil })
		if dtc.KindOf(err) != dtc.KindUnavailable {
			t.Errorf("Get = %v (%s)", err, dtc.KindOf(err))
		}
	})
	logs, err := r.dialer(r.agent).Dial(within(t, 5*time.Second), r.at, ProtoLog)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	stuck := r.dialRaw(t) // in the handshake
	defer stuck.Close()
	for range 3 {
		<-began
	}
	at := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(at); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	close(stop)
	if _, err := net.Dial("tcp", r.at.String()); err == nil {
		t.Error("it still listens")
	}
}

func TestServeTellsOfAHandlerThatHangs(t *testing.T) {
	limit := defaultLimits()
	limit.grace, limit.stop = 10*time.Millisecond, 50*time.Millisecond
	release, began := make(chan struct{}), make(chan struct{})
	r := serve(t, &Server{limits: limit, Agent: &fakeAgent{info: func(context.Context) (dtc.Info, error) {
		close(began)
		<-release
		return dtc.Info{}, nil
	}}})
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { r.client(t, r.monitor).Info(within(t, 5*time.Second)) })
	<-began
	if err := r.stop(); err == nil {
		t.Error("no error")
	}
	close(release)
	r.stop = func() error { return nil }
}

func TestGracefulEndTellsTheClient(t *testing.T) {
	began := make(chan struct{})
	r := serve(t, &Server{Agent: &fakeAgent{watch: func(ctx context.Context, _ string, _ dtc.Watching, _ func(dtc.Sighting) error) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}}})
	c := r.client(t, r.monitor)
	ended := make(chan error)
	go func() { ended <- c.Watch(t.Context(), dtc.Watching{}, nil) }()
	<-began
	at := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; dtc.KindOf(err) != dtc.KindUnavailable {
		t.Errorf("Watch = %v", err)
	}
	if took := time.Since(at); took >= 500*time.Millisecond+time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestDisconnect(t *testing.T) {
	ended := make(chan struct{}, 1)
	r := serve(t, &Server{
		Agent: &fakeAgent{},
		Log: func(_ context.Context, _ dtc.Peer, link *Link) error {
			defer func() { ended <- struct{}{} }()
			return link.Recv(new(dtc.Frame))
		},
	})
	c := r.client(t, r.monitor)
	if _, err := c.Info(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	logs, err := r.dialer(r.agent).Dial(within(t, 5*time.Second), r.at, ProtoLog)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	soon(t, "both are open", func() bool { proven, _ := r.holds(); return proven == 2 })
	r.server.Disconnect(func(p dtc.Peer) bool { return p.ID == "a1" })
	<-ended
	if _, err := logs.Read(make([]byte, 1)); dtc.KindOf(err) != dtc.KindUnavailable && !errors.Is(err, io.EOF) {
		t.Errorf("Read = %v", err)
	}
	soon(t, "only the monitor is there", func() bool { proven, _ := r.holds(); return proven == 1 })
	r.server.Disconnect(func(p dtc.Peer) bool { return p.Role == dtc.RoleMonitor })
	soon(t, "nobody is there", func() bool { proven, _ := r.holds(); return proven == 0 })
}

// A peer that is revoked between its handshake and its first call must not slip
// through.
func TestDisconnectMeetsThoseWhoCome(t *testing.T) {
	var p peerConns
	p.init(defaultLimits())
	r := &run{}
	before := &peerConn{peer: dtc.Peer{ID: "x"}, since: time.Now(), run: r}
	p.disconnect(func(c *peerConn) bool { return c.peer.ID == "x" })
	after := &peerConn{peer: dtc.Peer{ID: "x"}, since: time.Now().Add(time.Millisecond), run: r}
	if p.add(before) || !p.add(after) {
		t.Error("the wrong one was let in")
	}
}

// A connection does not outlive the certificate that has proven its peer: neither
// one that was accepted nor one that was dialed.
func TestConnectionEndsWithTheCertificate(t *testing.T) {
	kept := make(chan error, 1)
	r := serve(t, &Server{Agent: &fakeAgent{}, Log: func(_ context.Context, _ dtc.Peer, link *Link) error {
		kept <- link.Recv(new(dtc.Frame))
		return nil
	}})
	brief := r.issue(t, dtc.RoleAgent, "brief", 3*time.Second)
	c, err := r.dialer(brief).Dial(within(t, 5*time.Second), r.at, ProtoLog)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case err := <-kept:
		if err == nil {
			t.Error("a frame came from nowhere")
		}
	case <-time.After(30 * time.Second):
		t.Error("the server keeps the connection")
	}
	soon(t, "it is forgotten", func() bool { proven, _ := r.holds(); return proven == 0 })

	ln, err := tls.Listen("tcp", "127.0.0.1:0", r.serverTLS(r.issue(t, dtc.RoleAgent, "brief2", 3*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			err = c.(*tls.Conn).Handshake()
		}
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	c, err = r.dialer(r.monitor).Dial(within(t, 5*time.Second), netip.MustParseAddrPort(ln.Addr().String()), ProtoLog)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer (<-accepted).Close()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Read(make([]byte, 1)); dtc.KindOf(err) != dtc.KindCertificate {
		t.Errorf("Read = %v (%s)", err, dtc.KindOf(err))
	}
}

func TestServeConn(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	// The roles of TCP and TLS are swapped: who listens asks, who dials answers.
	ln, err := tls.Listen("tcp", "127.0.0.1:0", func() *tls.Config {
		cfg := r.serverTLS(r.monitor)
		cfg.NextProtos = []string{"dtc-back/1"}
		return cfg
	}())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error)
	go func() {
		conn, err := r.dialer(r.agent).Dial(t.Context(), netip.MustParseAddrPort(ln.Addr().String()), "dtc-back/1")
		if err != nil {
			served <- err
			return
		}
		served <- r.server.ServeConn(t.Context(), conn)
	}()
	c := NewClient(func(context.Context) (net.Conn, error) { return ln.Accept() })
	for range 3 {
		if _, err := c.Info(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	a, b := net.Pipe()
	defer a.Close()
	if err := r.server.ServeConn(t.Context(), b); err == nil {
		t.Error("a connection without TLS was served")
	}
}
