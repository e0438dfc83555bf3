package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dtc"
	"dtc/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keys is one certificate for all: who may what is tested elsewhere.
func keys(tb testing.TB) (server, client *tls.Config) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: own, NextProtos: []string{wire.ProtoRPC},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		},
		&tls.Config{MinVersion: tls.VersionTLS13, Certificates: own, RootCAs: pool, ServerName: "127.0.0.1"}
}

// agent is a real agent's server on loopback with made-up answers.
type agent struct {
	wire.Agent

	run string
	get func(ctx context.Context, emit func(*dtc.Report) error) error
}

func (a *agent) Info(context.Context) (dtc.Info, error) { return dtc.Info{Run: a.run}, nil }

func (a *agent) Get(ctx context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
	return a.get(ctx, emit)
}

func (a *agent) Watch(ctx context.Context, _ string, _ dtc.Watching, _ func(dtc.Sighting) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// start serves a at the address (port 0: any) and returns where, and how to end.
func start(tb testing.TB, cfg *tls.Config, at string, a wire.Agent) (netip.AddrPort, func()) {
	tb.Helper()
	var ln net.Listener
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if ln, err = net.Listen("tcp", at); err == nil {
			break
		}
		if time.Now().After(end) {
			tb.Fatal(err)
		}
	}
	s := &wire.Server{
		TLS: cfg, Agent: a, Logger: slog.New(slog.DiscardHandler),
		Identify: func(tls.ConnectionState) (dtc.Peer, error) { return dtc.Peer{ID: "m", Role: dtc.RoleMonitor}, nil },
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, ln) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(stop)
	return netip.MustParseAddrPort(ln.Addr().String()), stop
}

func newFleet(tb testing.TB, cfg *tls.Config) *Fleet {
	tb.Helper()
	d := wire.Dialer{TLS: func(netip.Addr) *tls.Config { return cfg }}
	f := New(func(h Host) *wire.Client {
		return wire.NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, h.Address, wire.ProtoRPC) })
	})
	tb.Cleanup(f.Close)
	return f
}

func one(ctx context.Context, emit func(*dtc.Report) error) error {
	return emit(&dtc.Report{Memory: &dtc.Memory{TotalBytes: 42}})
}

func TestGet(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	good, _ := start(t, server, "127.0.0.1:0", &agent{get: one})
	parts, _ := start(t, server, "127.0.0.1:0", &agent{get: func(_ context.Context, emit func(*dtc.Report) error) error {
		for range 3 {
			if err := emit(&dtc.Report{Partial: true}); err != nil {
				return err
			}
		}
		return errors.New("the middle of it")
	}})
	hang, _ := start(t, server, "127.0.0.1:0", &agent{get: func(ctx context.Context, _ func(*dtc.Report) error) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	gone, stop := start(t, server, "127.0.0.1:0", &agent{get: one})
	stop()
	hosts := []Host{{Name: "gone", Address: gone}, {Name: "hang", Address: hang}, {Name: "good", Address: good}, {Name: "parts", Address: parts}}
	kinds := []dtc.ErrorKind{dtc.KindRefused, dtc.KindTimeout, dtc.KindOther, dtc.KindOther}
	f := newFleet(t, client)
	began := time.Now()
	last := make([]*dtc.Report, len(hosts))
	partial := make([]int, len(hosts))
	var goodAfter time.Duration
	f.Get(t.Context(), hosts, dtc.Query{Status: dtc.StatusMemory}, 2*time.Second, func(i int, part *dtc.Report) {
		if part.Host != hosts[i].Name || part.Address != hosts[i].Address.String() || part.Status != dtc.StatusMemory {
			t.Errorf("part of %s (%s): %+v", part.Host, part.Address, part)
		}
		if part.Partial {
			partial[i]++
			return
		}
		if last[i] != nil {
			t.Errorf("%s ended twice", part.Host)
		}
		if i == 2 {
			goodAfter = time.Since(began)
		}
		last[i] = new(*part)
	})
	if took := time.Since(began); took > 4*time.Second || goodAfter > 1500*time.Millisecond {
		t.Errorf("it took %s, the good one %s", took, goodAfter)
	}
	for i, r := range last {
		switch {
		case r == nil:
			t.Errorf("%s has no end", hosts[i].Name)
		case i == 2 && (r.Err != nil || r.Memory.TotalBytes != 42), i != 2 && (r.Err == nil || dtc.KindOf(r.Err) != kinds[i]):
			t.Errorf("%s: %+v, %v (%s)", hosts[i].Name, r, r.Err, dtc.KindOf(r.Err))
		}
	}
	if partial[3] != 3 {
		t.Errorf("%d parts", partial[3])
	}
}

// Hosts that are dead do not keep a thousand others from being asked in time.
func TestDeadHostsDelayNobody(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	good, _ := start(t, server, "127.0.0.1:0", &agent{get: one})
	d := wire.Dialer{TLS: func(netip.Addr) *tls.Config { return client }}
	const dead, timeout = 1000, 2 * time.Second
	f := New(func(h Host) *wire.Client {
		return wire.NewClient(func(ctx context.Context) (net.Conn, error) {
			if h.Name == "dead" {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return d.Dial(ctx, h.Address, wire.ProtoRPC)
		})
	})
	defer f.Close()
	hosts := make([]Host, dead+1)
	for i := range dead {
		hosts[i] = Host{Name: "dead", Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)}
	}
	hosts[dead] = Host{Name: "good", Address: good}
	began := time.Now()
	answered, failed := 0, 0
	f.Get(t.Context(), hosts, dtc.Query{Status: dtc.StatusMemory}, timeout, func(_ int, part *dtc.Report) {
		if part.Err == nil {
			answered++
		} else if dtc.KindOf(part.Err) == dtc.KindTimeout {
			failed++
		}
	})
	if answered != 1 || failed != dead || time.Since(began) > timeout+3*time.Second {
		t.Errorf("%d answered, %d timed out, after %s", answered, failed, time.Since(began))
	}
}

// A reader that takes its time is not the hosts' fault.
func TestSlowDeliverIsNotTheHostsTime(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	at, _ := start(t, server, "127.0.0.1:0", &agent{get: func(_ context.Context, emit func(*dtc.Report) error) error {
		for range 5 {
			if err := emit(&dtc.Report{Partial: true}); err != nil {
				return err
			}
		}
		return emit(&dtc.Report{})
	}})
	f := newFleet(t, client)
	hosts := []Host{{Name: "a", Address: at}, {Name: "b", Address: at}}
	f.Get(t.Context(), hosts, dtc.Query{Status: dtc.StatusMemory}, time.Second, func(_ int, part *dtc.Report) {
		time.Sleep(150 * time.Millisecond) // twelve times
		if part.Err != nil {
			t.Error(part.Err)
		}
	})
}

func TestGetCanceled(t *testing.T) {
	_, client := keys(t)
	f := newFleet(t, client)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	f.Get(ctx, make([]Host, 600), dtc.Query{}, time.Minute, func(_ int, part *dtc.Report) {
		if n++; part.Err == nil {
			t.Error("answered")
		}
	})
	if n != 600 {
		t.Errorf("%d ended", n)
	}
}

func TestClientIsKept(t *testing.T) {
	made := 0
	f := New(func(Host) *wire.Client {
		made++
		return wire.NewClient(func(context.Context) (net.Conn, error) { return nil, errors.New("x") })
	})
	a, b := Host{Name: "a", Address: netip.MustParseAddrPort("10.0.0.1:1")}, Host{Name: "b", Address: netip.MustParseAddrPort("10.0.0.2:1")}
	first := f.Client(a)
	if f.Client(a) != first || f.Client(b) == first || made != 2 {
		t.Errorf("made %d", made)
	}
	was := f.Client(a)
	f.Forget(a.Address)
	if f.Client(a) == was {
		t.Error("not forgotten")
	}
	f.Close()
	if _, err := f.Client(Host{}).Info(t.Context()); dtc.KindOf(err) != dtc.KindUnavailable {
		t.Errorf("after Close: %v", err)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	at, stop := start(t, server, "127.0.0.1:0", &agent{run: "1"})
	f := newFleet(t, client)
	h := Host{Name: "h", Address: at}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan string, 100)
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer cancel()
	var inside, refusals atomic.Int32
	keeping.Go(func() {
		f.Keep(ctx, h, Keeper{
			Up: func(ctx context.Context, c *wire.Client, info dtc.Info) error {
				if inside.Add(1) > 1 {
					t.Error("up twice at once")
				}
				defer inside.Add(-1)
				told <- "up " + info.Run
				return c.Watch(ctx, dtc.Watching{}, func(dtc.Sighting) error { return nil })
			},
			Down: func(error) error {
				told <- "down"
				if refusals.Add(-1) >= 0 {
					return errors.New("cannot be told now")
				}
				return nil
			},
		})
	})
	next := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("told %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("never told %q", want)
		}
	}
	next("up 1")
	refusals.Store(2)
	if l, ok := f.State(h); !ok || !l.Up || l.Info.Run != "1" || l.Since.IsZero() {
		t.Errorf("State = %+v, %v", l, ok)
	}
	stop()
	for range 3 { // until it is told
		next("down")
	}
	time.Sleep(500 * time.Millisecond) // tries that fail too tell nothing
	l, _ := f.State(h)
	if l.Up || l.Info.Run != "1" || l.Err == nil || time.Since(l.Since) < 500*time.Millisecond {
		t.Errorf("State = %+v", l)
	}
	start(t, server, at.String(), &agent{run: "2"})
	next("up 2")
	cancel()
	keeping.Wait()
	if len(told) > 0 {
		t.Errorf("and told %q", <-told)
	}
}

func TestBackoff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, spread := range []time.Duration{0, 1023} {
		b, last := backoff{spread: spread}, time.Duration(0)
		for range 20 {
			b.wait(ctx)
			if d := b.pause(); d < minBackoff || d > maxBackoff || d < last {
				t.Errorf("pause %s after %s", d, last)
			} else {
				last = d
			}
		}
		if last < maxBackoff*3/4 {
			t.Errorf("it grows to %s only", last)
		}
		if b.reset(); b.next != 0 {
			t.Error("not reset")
		}
	}
}

func TestSelect(t *testing.T) {
	host := func(name, at string, groups ...string) Host {
		return Host{Name: name, Address: netip.MustParseAddrPort(at), Groups: groups}
	}
	hosts := []Host{
		host("web1", "10.0.0.1:7701", "web", "eu/west"), host("web2", "10.0.0.2:7701", "web"),
		host("db", "10.0.0.3:7701"), host("db-2", "10.0.0.3:7702", "db"), host("v6", "[2001:db8::1]:7701"), host("odd[1]", "10.0.1.9:1"),
	}
	tests := []struct{ selectors, want string }{
		{"", "web1 web2 db db-2 v6 odd[1]"},
		{"web2 web1", "web1 web2"},
		{"web", "web1 web2"},
		{"db", "db db-2"},
		{"10.0.0.3", "db db-2"},
		{"10.0.0.3:7702", "db-2"},
		{"web*", "web1 web2"},
		{"10.0.0.*", "web1 web2 db db-2"},
		{"*:7702", "db-2"},
		{"eu*", "web1"},
		{"eu/?est", "web1"},
		{"web[2-9]", "web2"},
		{"odd[1]", "odd[1]"},
		{"[2001:db8::1]:7701", "v6"},
		{"2001:0DB8:0::1", "v6"},
		{"2001:*", "v6"},
		{"web1 web1 web", "web1 web2"},
	}
	for _, test := range tests {
		got, err := Select(hosts, strings.Fields(test.selectors))
		var names []string
		for _, h := range got {
			names = append(names, h.Name)
		}
		if strings.Join(names, " ") != test.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", test.selectors, names, err, test.want)
		}
	}
	for selector, want := range map[string]string{
		"wbe1":      `no host has the name, address or group "wbe1": did you mean "web1" or "web" or "web2"?`,
		"10.0.0.33": `no host has the name, address or group "10.0.0.33": did you mean "10.0.0.3" or "10.0.0.1" or "10.0.0.2"?`,
		"elsewhere": `no host has the name, address or group "elsewhere": see dtc hosts`,
		"[":         `no host has the name, address or group "[": did you mean "db" or "v6"?`,
		"*nothing*": `no host has the name, address or group "*nothing*": see dtc hosts`,
	} {
		if got, err := Select(hosts, []string{"web1", selector}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v\nwant %s", selector, got, err, want)
		}
	}
	if got, err := Select(nil, nil); len(got) != 0 || err != nil {
		t.Errorf("no hosts: %v, %v", got, err)
	}
}
