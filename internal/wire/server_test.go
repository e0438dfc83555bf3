package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// dialRaw opens a TCP connection to the server.
func (r *rig) dialRaw(tb testing.TB) net.Conn {
	tb.Helper()
	c, err := net.Dial("tcp", r.at.String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// idle waits until the server holds no connection and no unproven one.
func (r *rig) idle(tb testing.TB) {
	tb.Helper()
	soon(tb, "the server holds no connection", func() bool {
		proven, unproven := r.holds()
		return proven == 0 && unproven == 0
	})
}

func (r *rig) holds() (proven, unproven int) {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	for run := range r.server.runs {
		run.peers.mu.Lock()
		proven += len(run.peers.open)
		run.peers.mu.Unlock()
		run.door.mu.Lock()
		unproven += run.door.inside
		run.door.mu.Unlock()
	}
	return proven, unproven
}

func TestStrangersLearnNothing(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}, Log: func(context.Context, dtc.Peer, *Link) error { return nil }})
	other := newAuthority(t)
	stranger := other.issue(t, dtc.RoleMonitor, "m1", time.Hour)
	expired := r.issue(t, dtc.RoleMonitor, "m1", -time.Minute)

	talk := func(cfg *tls.Config) error {
		c := tls.Client(r.dialRaw(t), cfg)
		if err := c.Handshake(); err != nil {
			return err
		}
		b, err := io.ReadAll(c)
		if len(b) > 0 {
			t.Errorf("a stranger was told %q", b)
		}
		if err == nil {
			err = io.EOF
		}
		return err
	}
	tests := map[string]*tls.Config{
		"no certificate":           r.clientTLS(),
		"certificate of another":   {RootCAs: r.roots, ServerName: "127.0.0.1", NextProtos: []string{ProtoRPC}, GetClientCertificate: give(stranger)},
		"expired certificate":      {RootCAs: r.roots, ServerName: "127.0.0.1", NextProtos: []string{ProtoRPC}, GetClientCertificate: give(expired)},
		"TLS 1.2":                  {RootCAs: r.roots, ServerName: "127.0.0.1", NextProtos: []string{ProtoRPC}, MaxVersion: tls.VersionTLS12, GetClientCertificate: give(r.monitor)},
		"no ALPN":                  {RootCAs: r.roots, ServerName: "127.0.0.1", GetClientCertificate: give(r.monitor)},
		"http/1.1":                 {RootCAs: r.roots, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}, GetClientCertificate: give(r.monitor)},
		"unknown ALPN":             {RootCAs: r.roots, ServerName: "127.0.0.1", NextProtos: []string{"h3"}, GetClientCertificate: give(r.monitor)},
		"join where it is not":     {RootCAs: r.roots, ServerName: "127.0.0.1", NextProtos: []string{ProtoJoin}},
		"join and h2, no identity": {RootCAs: r.roots, ServerName: "127.0.0.1", NextProtos: []string{ProtoJoin, ProtoRPC}},
	}
	for name, cfg := range tests {
		if err := talk(cfg); err == nil {
			t.Errorf("%s: served", name)
		}
	}
	r.idle(t)
}

func give(c tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
}

func TestNoise(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(rand.N(256))
	}
	hello := []byte{22, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xfb} // the start of a client hello that never ends
	for _, noise := range [][]byte{random, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), hello, []byte(http2Preface), nil} {
		c := r.dialRaw(t)
		c.Write(noise)
		c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c)
		if len(b) > 7 || bytes.Contains(b, []byte("HTTP")) {
			t.Errorf("answer to %.10q: %q", noise, b)
		}
	}
	r.idle(t)
}

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// A proven peer can send noise too.
func TestNoiseInside(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	for _, noise := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		http2Preface + strings.Repeat("\xff", 100),
		http2Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", 3) + "\x00\x00\x00\x01\x05\x00\x00\x00\x00",
	} {
		c, err := r.dialer(r.monitor).Dial(within(t, 5*time.Second), r.at, ProtoRPC)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, noise)
		if b, err := io.ReadAll(c); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%.10q: not closed, %q", noise, b)
		}
		c.Close()
	}
	r.idle(t)
}

func TestUnprovenConnectionsAreCapped(t *testing.T) {
	limit := defaultLimits()
	limit.perSource, limit.handshake = 3, 300*time.Millisecond
	r := serve(t, &Server{Agent: &fakeAgent{}, limits: limit})
	began := time.Now()
	var held []net.Conn
	for range limit.perSource {
		held = append(held, r.dialRaw(t))
	}
	soon(t, "all are held", func() bool { _, unproven := r.holds(); return unproven == limit.perSource })
	over := r.dialRaw(t)
	if _, err := over.Read(make([]byte, 1)); err == nil || time.Since(began) > limit.handshake {
		t.Errorf("one too many: %v after %s", err, time.Since(began))
	}
	for _, c := range held {
		c.Read(make([]byte, 1))
	}
	if took := time.Since(began); took < limit.handshake {
		t.Errorf("closed after %s", took)
	}
	r.idle(t)
	if _, err := r.client(t, r.monitor).Info(within(t, 5*time.Second)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q quiet
		for i, want := range []bool{true, false, false, true} {
			if got := q.once("a"); got != want {
				t.Errorf("%d: %v", i, got)
			}
			time.Sleep(20 * time.Second)
		}
		said := 0
		for i := range 5000 {
			if q.once(strconv.Itoa(i)) {
				said++
			}
		}
		if said > 1000 || len(q.said) > 1000 {
			t.Errorf("said %d, holds %d", said, len(q.said))
		}
		time.Sleep(time.Minute)
		if !q.once("b") || len(q.said) != 1 {
			t.Errorf("holds %d", len(q.said))
		}
	})
}

func TestOnePeerHasOnlySoManyConnections(t *testing.T) {
	limit := defaultLimits()
	limit.perMonitor = 2
	r := serve(t, &Server{Agent: &fakeAgent{}, limits: limit})
	for range 2 {
		if _, err := r.client(t, r.monitor).Info(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.client(t, r.monitor).Info(within(t, 5*time.Second)); dtc.KindOf(err) != dtc.KindUnavailable {
		t.Errorf("the third: %v", err)
	}
}

func TestRoles(t *testing.T) {
	var mu sync.Mutex
	denied := map[string]int{}
	logs := make(chan dtc.Peer, 1)
	r := serve(t, &Server{
		Agent: &fakeAgent{},
		Log: func(_ context.Context, peer dtc.Peer, _ *Link) error {
			logs <- peer
			return nil
		},
		Denied: func(peer dtc.Peer, what string) {
			mu.Lock()
			defer mu.Unlock()
			denied[peer.ID+" "+what]++
		},
	})
	c := r.client(t, r.agent)
	ctx := within(t, 5*time.Second)
	_, infoErr := c.Info(ctx)
	_, checkErr := c.Check(ctx, []int{1}, nil)
	for what, err := range map[string]error{
		"Info": infoErr, "Check": checkErr, "Acknowledge": c.Acknowledge(ctx, "r", 1),
		"Get":   c.Get(ctx, dtc.Query{Status: dtc.StatusCPU}, func(*dtc.Report) error { return nil }),
		"Watch": c.Watch(ctx, dtc.Watching{}, func(dtc.Sighting) error { return nil }),
	} {
		if dtc.KindOf(err) != dtc.KindDenied || err.Error() != "not permitted" {
			t.Errorf("an agent asks %s: %v", what, err)
		}
		if mu.Lock(); denied["a1 call "+what] != 1 {
			t.Errorf("%s was not told: %v", what, denied)
		}
		mu.Unlock()
	}
	for role, own := range map[dtc.Role]tls.Certificate{dtc.RoleMonitor: r.monitor, dtc.RoleAgent: r.agent} {
		conn, err := r.dialer(own).Dial(ctx, r.at, ProtoLog)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("a %s was told %q", role, b)
		}
		conn.Close()
	}
	if peer := <-logs; peer.Role != dtc.RoleAgent || peer.ID != "a1" || len(logs) > 0 {
		t.Errorf("logs from %v, and %d more", peer, len(logs))
	}
	if mu.Lock(); denied["m1 send logs"] != 1 {
		t.Errorf("not told: %v", denied)
	}
	mu.Unlock()
}

func TestUnknownPathsAndPlainHTTP(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	conn, err := r.dialer(r.monitor).Dial(within(t, 5*time.Second), r.at, ProtoRPC)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newSession(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, path := range []string{"/", "/debug/pprof/", AgentServiceInfoProcedure} {
		req, _ := http.NewRequestWithContext(within(t, 5*time.Second), http.MethodGet, "http://agent"+path, nil)
		resp, err := h.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode/100 != 4 {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
		resp.Body.Close()
	}
}

func TestHugeRequestIsRefused(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	conn, err := r.dialer(r.monitor).Dial(within(t, 5*time.Second), r.at, ProtoRPC)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newSession(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	body := io.LimitReader(zeros{}, 1<<30)
	req, _ := http.NewRequestWithContext(within(t, 20*time.Second), http.MethodPost, "http://agent"+AgentServiceCheckProcedure, body)
	req.Header.Set("Content-Type", "application/proto")
	resp, err := h.RoundTrip(req)
	if err == nil {
		if resp.StatusCode == http.StatusOK {
			t.Errorf("it was taken: %s", resp.Status)
		}
		resp.Body.Close()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
