package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/logs"
	"dtc/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that takes milliseconds on an idle
// machine.
const patience = 60 * time.Second

// fixture is a fleet of one agent, and the monitor's half that its test needs.
type fixture struct {
	t       *testing.T
	home    string // of the agent
	dir     string // of the CA
	monitor *ca.Credentials

	mu  sync.Mutex
	cfg config.Agent // what the next reload reads, guarded by mu
	err error        // or what is wrong with it, guarded by mu
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, home: t.TempDir(), dir: filepath.Join(t.TempDir(), "tls")}
	f.check(ca.Init(f.dir, []netip.Addr{loopback}))
	authority, err := ca.Open(f.dir)
	f.check(err)
	key, cert, root, _, err := authority.Issue("web1", []netip.Addr{loopback})
	f.check(err)
	f.check(ca.StoreAgent(filepath.Join(f.home, "conf", "tls"), key, cert, root))
	f.monitor, err = ca.Load(f.dir, dtc.RoleMonitor)
	f.check(err)
	return f
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// listen listens at an address that may have been let go a moment ago.
func (f *fixture) listen(at netip.AddrPort) net.Listener {
	f.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		ln, err := net.Listen("tcp", at.String())
		if err == nil {
			f.t.Cleanup(func() { ln.Close() })
			return ln
		}
		if time.Now().After(end) {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) freePort() netip.AddrPort {
	f.t.Helper()
	ln := f.listen(netip.AddrPortFrom(loopback, 0))
	defer ln.Close()
	return netip.MustParseAddrPort(ln.Addr().String())
}

func (f *fixture) set(cfg config.Agent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg, f.err = cfg, nil
}

func (f *fixture) load() (config.Agent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cfg, f.err
}

type running struct {
	*Agent
	stop func()
	log  *syncBuffer
}

func (f *fixture) options(parts ...string) (Options, *syncBuffer) {
	cfg, _ := f.load()
	log := &syncBuffer{}
	return Options{Home: f.home, Config: cfg, Load: f.load, Parts: parts, Version: "1.2.3", Logger: slog.New(slog.NewTextHandler(log, nil))}, log
}

func (f *fixture) start(parts ...string) *running {
	f.t.Helper()
	opts, log := f.options(parts...)
	a, err := New(opts)
	f.check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	r := &running{Agent: a, log: log}
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				f.t.Error(err)
			}
		case <-time.After(15 * time.Second): // it promises 5, on a machine that is not busy
			f.t.Error("the agent did not stop in time")
		}
		if f.t.Failed() {
			f.t.Log(log.String())
		}
	})
	f.t.Cleanup(r.stop)
	f.eventually("the control socket", func() bool { return f.control("") == nil })
	return r
}

func (f *fixture) control(verb string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return wire.Control(ctx, SocketPath(f.home), verb, nil, nil)
}

func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

// client asks the agent at an address as the monitor does.
func (f *fixture) client(at netip.AddrPort) *wire.Client {
	d := wire.Dialer{TLS: f.monitor.ToAgents(nil)}
	c := wire.NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, at, wire.ProtoRPC) })
	f.t.Cleanup(func() { c.Close() })
	return c
}

func (f *fixture) info(at netip.AddrPort) (dtc.Info, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return f.client(at).Info(ctx)
}

// receiver is a monitor's log receiver with real copies.
func (f *fixture) receiver(at netip.AddrPort) (dir string) {
	f.t.Helper()
	dir = f.t.TempDir()
	store, err := logs.OpenStore(dir, logs.Options{Folder: func(dtc.Peer) (string, error) { return "web1", nil }, FreeFloorPercent: -1})
	f.check(err)
	srv := &wire.Server{
		TLS: f.monitor.ServerTLS(nil, "", wire.ProtoLog), Identify: ca.Identify, Logger: slog.New(slog.DiscardHandler),
		Log: func(ctx context.Context, peer dtc.Peer, link *wire.Link) error { return store.Serve(ctx, peer, link) },
	}
	ctx, cancel := context.WithCancel(context.Background())
	ln := f.listen(at)
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ctx, ln) })
	wg.Go(func() { store.Run(ctx) })
	f.t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := store.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return dir
}

type syncBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
