package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/events"
	"dtc/internal/wire"
)

func TestMain(m *testing.M) {
	if os.Getenv(agentHome) != "" {
		os.Exit(runAgent(os.Getenv(agentHome), os.Getenv(agentAt)))
	}
	if os.Getenv(monitorHome) != "" {
		os.Exit(runMonitor(os.Getenv(monitorHome)))
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait for something that takes milliseconds on an idle
// machine.
const patience = 60 * time.Second

// fleetHome is a monitor's home with a CA.
type fleetHome struct {
	t         *testing.T
	dir       string
	authority *ca.Authority

	mu  sync.Mutex
	cfg config.Monitor // what the next reload reads, guarded by mu
	err error          // or what is wrong with it, guarded by mu
}

func newHome(t *testing.T) *fleetHome {
	t.Helper()
	f := &fleetHome{t: t, dir: t.TempDir()}
	tls := filepath.Join(f.dir, "conf", "tls")
	if err := ca.Init(tls, []netip.Addr{loopback(1)}); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.authority, err = ca.Open(tls); err != nil {
		t.Fatal(err)
	}
	return f
}

func loopback(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }

func freePort(t *testing.T, ip netip.Addr) netip.AddrPort {
	t.Helper()
	ln := listen(t, netip.AddrPortFrom(ip, 0))
	defer ln.Close()
	return netip.MustParseAddrPort(ln.Addr().String())
}

// listen listens at an address that may have been let go a moment ago.
func listen(t *testing.T, at netip.AddrPort) net.Listener {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		ln, err := net.Listen("tcp", at.String())
		if err == nil {
			return ln
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (f *fleetHome) set(cfg config.Monitor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg = cfg
}

func (f *fleetHome) load() (config.Monitor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cfg, f.err
}

// path of monitor.xml, for the tests that have one.
func (f *fleetHome) path() string { return filepath.Join(f.dir, "conf", "monitor.xml") }

func (f *fleetHome) loadFile() (config.Monitor, error) { return config.LoadMonitor(f.path()) }

// running is a monitor that runs until stop.
type running struct {
	*Monitor
	stop func()
	log  *syncBuffer
}

// start runs a monitor with the configuration that was set.
func (f *fleetHome) start(parts ...string) *running {
	f.t.Helper()
	return f.startWith(f.load, parts...)
}

func (f *fleetHome) startWith(load func() (config.Monitor, error), parts ...string) *running {
	f.t.Helper()
	cfg, err := load()
	if err != nil {
		f.t.Fatal(err)
	}
	log := &syncBuffer{}
	m, err := New(Options{
		Home: f.dir, ConfigPath: f.path(), Config: cfg, Load: load, Parts: parts, Version: "1.0.0",
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	r := &running{Monitor: m, log: log}
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				f.t.Error(err)
			}
		case <-time.After(15 * time.Second): // it promises 5, on a machine that is not busy
			f.t.Error("the monitor did not stop in time")
		}
		if f.t.Failed() {
			f.t.Log(log.String())
		}
	})
	f.t.Cleanup(r.stop)
	f.eventually("the control socket", func() bool { return f.control("", nil) == nil })
	return r
}

func (f *fleetHome) control(verb string, request any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return wire.Control(ctx, SocketPath(f.dir), verb, request, nil)
}

func (f *fleetHome) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

// told returns the events of a host in short, oldest first.
func (f *fleetHome) told(name string) []string {
	f.t.Helper()
	var all []string
	f.read(func(e dtc.Event) {
		if e.Host != name {
			return
		}
		all = append(all, inShort(&e))
	})
	return all
}

// inShort says what an event is in a few words.
func inShort(e *dtc.Event) string {
	text := string(e.State)
	switch {
	case e.Kind == dtc.EventProcess && e.PID == 0:
		text = fmt.Sprintf("%s %d of %d", e.State, e.Count, e.Min)
	case e.Kind == dtc.EventProcess:
		text = fmt.Sprintf("%d %s", e.PID, e.State)
	}
	if e.NewPID != 0 {
		text += fmt.Sprintf(" as %d", e.NewPID)
	}
	if e.Rule != "" {
		text = e.Rule + " " + text
	}
	return text
}

func (f *fleetHome) read(each func(dtc.Event)) {
	f.t.Helper()
	err := events.Read(f.t.Context(), filepath.Join(f.dir, "logs"), events.Filter{}, func(e dtc.Event) error {
		each(e)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// wantTold waits until these and no other events of a host are told.
func (f *fleetHome) wantTold(name string, want ...string) {
	f.t.Helper()
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = f.told(name); len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		f.t.Fatalf("of %s was told %q, want %q", name, got, want)
	}
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

// agent is a real server with a real certificate, whose answers are the test's.
type agent struct {
	f     *fleetHome
	name  string
	at    netip.AddrPort
	creds *ca.Credentials

	watches chan watchCall
	acks    chan uint64
	checks  chan []int
	asks    chan []string // names of the rules of a check

	mu    sync.Mutex
	info  dtc.Info              // guarded by mu
	alive map[int]dtc.ProcessID // what Check finds, guarded by mu
	found []dtc.Sighting        // what it finds of rules, guarded by mu
	stop  func()
}

// watchCall is one call of Watch: what is sent to see is emitted.
type watchCall struct {
	asker   string
	targets []dtc.WatchTarget
	rules   []dtc.ProcessRule
	see     chan dtc.Sighting
	over    chan struct{}
}

func (f *fleetHome) newAgent(name string, ip netip.Addr) *agent {
	f.t.Helper()
	return f.newAgentAt(name, freePort(f.t, ip))
}

func (f *fleetHome) newAgentAt(name string, at netip.AddrPort) *agent {
	f.t.Helper()
	key, cert, root, _, err := f.authority.Issue(name, []netip.Addr{at.Addr()})
	if err != nil {
		f.t.Fatal(err)
	}
	a := &agent{
		f: f, name: name, at: at, info: dtc.Info{Version: "1.0.0", Boot: "boot1", Run: "run1"},
		watches: make(chan watchCall, 10), acks: make(chan uint64, 100), checks: make(chan []int, 100), asks: make(chan []string, 100),
		alive: map[int]dtc.ProcessID{},
	}
	dir := filepath.Join(f.t.TempDir(), "tls")
	if err := ca.StoreAgent(dir, key, cert, root); err != nil {
		f.t.Fatal(err)
	}
	if a.creds, err = ca.Load(dir, dtc.RoleAgent); err != nil {
		f.t.Fatal(err)
	}
	return a
}

// host returns the agent's host for the configuration.
func (a *agent) host(pids ...int) config.Host {
	return config.Host{Name: a.name, Address: a.at, PIDs: pids, DetectInterval: time.Hour}
}

// start serves until the agent's stop is called.
func (a *agent) start() *agent {
	a.f.t.Helper()
	return a.startOn(listen(a.f.t, a.at))
}

func (a *agent) startOn(ln net.Listener) *agent {
	a.f.t.Helper()
	srv := &wire.Server{
		TLS: a.creds.ServerTLS(nil, "", wire.ProtoRPC), Identify: ca.Identify, Agent: a, Logger: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, ln) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			a.f.t.Error(err)
		}
	})
	a.f.t.Cleanup(a.stop)
	return a
}

func (a *agent) restart(info dtc.Info) {
	a.f.t.Helper()
	a.stop()
	a.mu.Lock()
	a.info = info
	a.mu.Unlock()
	a.start()
}

func (a *agent) Info(context.Context) (dtc.Info, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.info, nil
}

func (a *agent) Get(context.Context, dtc.Query, func(*dtc.Report) error) error {
	return errors.New("not asked here")
}

func (a *agent) Watch(ctx context.Context, asker string, want dtc.Watching, emit func(dtc.Sighting) error) error {
	c := watchCall{asker: asker, targets: want.Targets, rules: want.Rules, see: make(chan dtc.Sighting), over: make(chan struct{})}
	defer close(c.over)
	a.watches <- c
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-c.see:
			if err := emit(s); err != nil {
				return err
			}
		}
	}
}

func (a *agent) Check(_ context.Context, _ string, pids []int, rules []string) ([]dtc.Sighting, error) {
	a.checks <- pids
	a.asks <- rules
	a.mu.Lock()
	defer a.mu.Unlock()
	var seen []dtc.Sighting
	for _, pid := range pids {
		s := dtc.Sighting{State: dtc.StateMissing, Process: dtc.ProcessID{PID: pid}, Boot: a.info.Boot}
		if id, ok := a.alive[pid]; ok {
			s.State, s.Process, s.Name = dtc.StateAlive, id, "app"
		}
		seen = append(seen, s)
	}
	return append(seen, a.found...), nil
}

func (a *agent) Acknowledge(_ context.Context, _, run string, number uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if run == a.info.Run {
		a.acks <- number
	}
	return nil
}

// watch returns the next call of Watch.
func (a *agent) watch() watchCall {
	a.f.t.Helper()
	select {
	case c := <-a.watches:
		return c
	case <-time.After(patience):
		a.f.t.Fatalf("%s: nobody watches", a.name)
		return watchCall{}
	}
}

// acknowledged waits until the sighting of that number is.
func (a *agent) acknowledged(number uint64) {
	a.f.t.Helper()
	for end := time.After(patience); ; {
		select {
		case n := <-a.acks:
			if n == number {
				return
			}
		case <-end:
			a.f.t.Fatalf("%s: sighting %d is not acknowledged", a.name, number)
		}
	}
}

func (c watchCall) emit(t *testing.T, s dtc.Sighting) {
	t.Helper()
	select {
	case c.see <- s:
	case <-c.over:
		t.Fatal("the watch is over")
	case <-time.After(patience):
		t.Fatal("the watch takes nothing")
	}
}

// ended waits for the end of the call.
func (c watchCall) ended(t *testing.T) {
	t.Helper()
	select {
	case <-c.over:
	case <-time.After(patience):
		t.Fatal("the watch goes on")
	}
}

func alive(run string, number uint64, pid int) dtc.Sighting {
	return dtc.Sighting{
		Run: run, Number: number, State: dtc.StateAlive, Process: dtc.ProcessID{PID: pid, Start: uint64(1000 + pid)}, Boot: "boot1", Name: "app",
	}
}

func missing(run string, number uint64, pid int) dtc.Sighting {
	return dtc.Sighting{Run: run, Number: number, State: dtc.StateMissing, Process: dtc.ProcessID{PID: pid}, Boot: "boot1"}
}

func dead(run string, number uint64, pid int, age time.Duration) dtc.Sighting {
	s := alive(run, number, pid)
	s.State, s.Exit, s.Lived, s.Age = dtc.StateDead, dtc.Exit{Kind: dtc.ExitSignal, Number: 9}, time.Minute, age
	return s
}

// logLink opens the connection on which an agent ships its logs.
func (a *agent) logLink(to netip.AddrPort) net.Conn {
	a.f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := wire.Dialer{TLS: a.creds.ToMonitor()}.Dial(ctx, to, wire.ProtoLog)
	if err != nil {
		a.f.t.Fatal(err)
	}
	a.f.t.Cleanup(func() { c.Close() })
	return c
}

// closedWithin fails unless the other side ends a connection in time.
func closedWithin(t *testing.T, c net.Conn, d time.Duration) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) || dtc.KindOf(err) == dtc.KindTimeout {
		t.Errorf("the connection is open after %s", d)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (*agent) Preview(context.Context, dtc.Watching) ([]dtc.RuleMatches, error) { return nil, nil }
