package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// authority is a fleet's CA with as little as a test needs: the role and the id
// stand in the certificate's common name.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	a := &authority{key: key, cert: cert, roots: x509.NewCertPool()}
	a.roots.AddCert(cert)
	return a
}

func (a *authority) issue(tb testing.TB, role dtc.Role, id string, life time.Duration) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: string(role) + "/" + id},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IPAddresses: []net.IP{loopback.AsSlice()}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func identify(state tls.ConnectionState) (dtc.Peer, error) {
	if len(state.PeerCertificates) == 0 {
		return dtc.Peer{}, errors.New("no certificate")
	}
	role, id, _ := strings.Cut(state.PeerCertificates[0].Subject.CommonName, "/")
	return dtc.Peer{ID: id, Role: dtc.Role(role), IPs: []netip.Addr{loopback}}, nil
}

func (a *authority) serverTLS(own tls.Certificate) *tls.Config {
	strict := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientCAs: a.roots,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{ProtoRPC, ProtoLog}, SessionTicketsDisabled: true,
	}
	join := strict.Clone()
	join.NextProtos, join.ClientAuth = []string{ProtoJoin}, tls.NoClientCert
	strict.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Equal(hello.SupportedProtos, []string{ProtoJoin}) {
			return join, nil
		}
		return nil, nil
	}
	return strict
}

func (a *authority) clientTLS(own ...tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: a.roots, ServerName: loopback.String(), Certificates: own}
}

func (a *authority) dialer(own ...tls.Certificate) Dialer {
	return Dialer{TLS: func(netip.Addr) *tls.Config { return a.clientTLS(own...) }}
}

// rig is a server on loopback with a CA, a monitor and an agent.
type rig struct {
	*authority
	server  *Server
	at      netip.AddrPort
	monitor tls.Certificate
	agent   tls.Certificate
	logged  *logText
	stop    func() error // ends Serve and returns its result
}

// serve starts s, with what it lacks filled in.
func serve(tb testing.TB, s *Server) *rig {
	tb.Helper()
	a := newAuthority(tb)
	r := &rig{authority: a, server: s, logged: new(logText)}
	r.monitor, r.agent = a.issue(tb, dtc.RoleMonitor, "m1", time.Hour), a.issue(tb, dtc.RoleAgent, "a1", time.Hour)
	s.TLS, s.Identify = a.serverTLS(r.agent), identify
	s.Logger = slog.New(slog.NewTextHandler(r.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r.at = netip.MustParseAddrPort(ln.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	tb.Cleanup(func() {
		if err := r.stop(); err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	return r
}

// client returns a client with the certificate.
func (r *rig) client(tb testing.TB, own tls.Certificate) *Client {
	tb.Helper()
	c := NewClient(func(ctx context.Context) (net.Conn, error) {
		return r.dialer(own).Dial(ctx, r.at, ProtoRPC)
	})
	tb.Cleanup(func() { c.Close() })
	return c
}

type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fakeAgent is an Agent of functions; what is nil fails.
type fakeAgent struct {
	info  func(context.Context) (dtc.Info, error)
	get   func(context.Context, dtc.Query, func(*dtc.Report) error) error
	watch func(context.Context, string, dtc.Watching, func(dtc.Sighting) error) error
	check func(context.Context, string, []int, []string) ([]dtc.Sighting, error)
	look  func(context.Context, dtc.Watching) ([]dtc.RuleMatches, error)
	ack   func(context.Context, string, string, uint64) error
}

var errFake = errors.New("not in this test")

func (f *fakeAgent) Info(ctx context.Context) (dtc.Info, error) {
	if f.info == nil {
		return dtc.Info{Version: "1", Boot: "boot", Run: "run"}, nil
	}
	return f.info(ctx)
}

func (f *fakeAgent) Get(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
	if f.get == nil {
		return errFake
	}
	return f.get(ctx, q, emit)
}

func (f *fakeAgent) Watch(ctx context.Context, asker string, targets dtc.Watching, emit func(dtc.Sighting) error) error {
	if f.watch == nil {
		return errFake
	}
	return f.watch(ctx, asker, targets, emit)
}

func (f *fakeAgent) Check(ctx context.Context, asker string, pids []int, rules []string) ([]dtc.Sighting, error) {
	if f.check == nil {
		return nil, errFake
	}
	return f.check(ctx, asker, pids, rules)
}

func (f *fakeAgent) Preview(ctx context.Context, want dtc.Watching) ([]dtc.RuleMatches, error) {
	if f.look == nil {
		return nil, errFake
	}
	return f.look(ctx, want)
}

func (f *fakeAgent) Acknowledge(ctx context.Context, asker, run string, number uint64) error {
	if f.ack == nil {
		return errFake
	}
	return f.ack(ctx, asker, run, number)
}

// within returns a context for what must not take long.
func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

// soon waits until ok is true.
func soon(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("never: %s", what)
		}
	}
}

// processes returns n processes that differ.
func processes(n int) []dtc.Process {
	all := make([]dtc.Process, n)
	zone := time.FixedZone("CST", 8*3600)
	for i := range all {
		all[i] = dtc.Process{
			PID: i + 1, PPID: i, User: []string{"root", "www-data", "postgres"}[i%3], CPUPercent: float64(i) / 7, MemPercent: 0.1,
			VSZBytes: int64(i) << 20, RSSBytes: int64(i) << 16, TTY: "?", State: "Ssl", CPUSeconds: float64(i) * 3,
			StartedAt: time.Unix(1_700_000_000+int64(i), 250_000_000).In(zone),
			Name:      fmt.Sprintf("proc-%d", i), Threads: 1 + i%9,
			Command: fmt.Sprintf("/usr/sbin/proc-%d --config /etc/proc/%d.conf --verbose --listen 0.0.0.0:%d", i, i, 1024+i),
		}
	}
	return all
}
