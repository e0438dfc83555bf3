package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/wire"
)

// It answers everything that a monitor asks.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := f.freePort()
	f.set(config.Agent{LocalHost: at})
	f.start(PartStatus)
	c := f.client(at)
	info, err := c.Info(t.Context())
	if err != nil || info.Version != "1.2.3" || info.Boot == "" || len(info.Run) != 16 {
		t.Errorf("Info: %+v, %v", info, err)
	}
	err = c.Get(t.Context(), dtc.Query{Status: dtc.StatusMemory}, func(r *dtc.Report) error {
		if r.Memory == nil || r.Memory.TotalBytes <= 0 {
			t.Errorf("memory: %+v", r.Memory)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	self := os.Getpid()
	done := errors.New("seen")
	err = c.Watch(t.Context(), dtc.Watching{Targets: []dtc.WatchTarget{{PID: self}}}, func(s dtc.Sighting) error {
		if s.State != dtc.StateAlive || s.Process.PID != self || s.Run != info.Run || s.Boot != info.Boot {
			t.Errorf("sighting: %+v", s)
		}
		return done
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
	seen, err := c.Check(t.Context(), []int{self}, nil)
	if err != nil || len(seen) != 1 || seen[0].State != dtc.StateAlive {
		t.Errorf("Check: %+v, %v", seen, err)
	}
	if err := c.Acknowledge(t.Context(), info.Run, 1); err != nil {
		t.Error(err)
	}
}

// What a monitor chooses is chosen at the host, on every list.
func TestSelections(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := f.freePort()
	f.set(config.Agent{LocalHost: at})
	f.start(PartStatus)
	c := f.client(at)
	ask := func(status dtc.Status, s dtc.Selection) (items []any, err error) {
		err = c.Get(t.Context(), dtc.Query{Status: status, Selection: s, Timeout: patience}, func(r *dtc.Report) error {
			for _, p := range r.Process {
				items = append(items, p)
			}
			for _, o := range r.OpenFiles {
				items = append(items, o)
			}
			return nil
		})
		return items, err
	}
	self := []int{os.Getpid()}
	items, err := ask(dtc.StatusProcess, dtc.Selection{PIDs: self})
	if err != nil || len(items) != 1 || items[0].(dtc.Process).PID != self[0] {
		t.Errorf("one process: %+v, %v", items, err)
	}
	for _, sort := range []string{"", "-pid"} {
		items, err = ask(dtc.StatusProcess, dtc.Selection{Sort: sort, Limit: 3})
		if err != nil || len(items) != 3 || (items[0].(dtc.Process).PID == 1) != (sort == "") {
			t.Errorf("three processes by %q: %+v, %v", sort, items, err)
		}
	}
	items, err = ask(dtc.StatusOpenFiles, dtc.Selection{PIDs: self, Ports: []int{int(at.Port())}})
	if err != nil || len(items) == 0 || !strings.Contains(items[0].(dtc.OpenFile).Name, at.String()) {
		t.Errorf("the agent's own socket: %+v, %v", items, err)
	}
	for _, wrong := range []dtc.Selection{{Sort: "nonsense"}, {Names: []string{"/(/"}}, {Paths: []string{"/x"}}, {Limit: -1}} {
		if items, err := ask(dtc.StatusProcess, wrong); dtc.KindOf(err) != dtc.KindInvalid || len(items) != 0 {
			t.Errorf("%+v: %d items, %v", wrong, len(items), err)
		}
	}
}

// An agent asks nobody, also not another agent.
func TestAgentsMayNotAsk(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := f.freePort()
	f.set(config.Agent{LocalHost: at})
	a := f.start()
	d := wire.Dialer{TLS: func(ip netip.Addr) *tls.Config { return a.trust.creds.ClientTLS(ip, dtc.RoleAgent, nil) }}
	c := wire.NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, at, wire.ProtoRPC) })
	defer c.Close()
	if _, err := c.Info(t.Context()); dtc.KindOf(err) != dtc.KindDenied {
		t.Errorf("Info: %v", err)
	}
	f.eventually("the log to tell it", func() bool { return strings.Contains(a.log.String(), "msg=refused") })
}

// A changed local_host is applied: the old one is let go, and what cannot be
// had is told and taken as soon as it can.
func TestLocalHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one, two := f.freePort(), f.freePort()
	f.set(config.Agent{LocalHost: one})
	a := f.start(PartStatus)
	run, err := f.info(one)
	f.check(err)

	f.set(config.Agent{LocalHost: two})
	f.check(f.control(VerbReload))
	if info, err := f.info(two); err != nil || info.Run != run.Run {
		t.Errorf("moved: %+v, %v", info, err)
	}
	blocker := f.listen(one) // the old one is free

	f.set(config.Agent{LocalHost: one})
	err = f.control(VerbReload)
	if err == nil || !strings.Contains(err.Error(), "listen on local_host") || !strings.Contains(err.Error(), "\nreload: all else is applied") {
		t.Errorf("an address that another has: %v", err)
	}
	blocker.Close()
	f.eventually("the address to be taken", func() bool { return strings.Count(a.log.String(), "msg=listening address="+one.String()) == 2 })
	_, err = f.info(one)
	f.check(err)

	// Nowhere, and somewhere again.
	f.set(config.Agent{})
	f.check(f.control(VerbReload))
	f.listen(one).Close()
	f.set(config.Agent{LocalHost: two})
	f.check(f.control(VerbReload))
	_, err = f.info(two)
	f.check(err)

	// A mistake changes nothing.
	f.mu.Lock()
	f.err = errors.New("agent.xml:3: a mistake")
	f.mu.Unlock()
	err = f.control(VerbReload)
	if err == nil || !strings.HasPrefix(err.Error(), "agent.xml:3: a mistake\n") || !strings.HasSuffix(err.Error(), "the running configuration stays") {
		t.Errorf("a bad file: %v", err)
	}
	_, err = f.info(two)
	f.check(err)
	if err := f.control("frobnicate"); err == nil || !strings.Contains(err.Error(), `"frobnicate"`) {
		t.Errorf("an unknown command: %v", err)
	}
}

// A call that goes on does not keep the agent from moving, nor ends it.
func TestMoveDuringWatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one, two := f.freePort(), f.freePort()
	f.set(config.Agent{LocalHost: one})
	f.start()
	c := f.client(one)
	began := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		err := c.Watch(context.Background(), dtc.Watching{Targets: []dtc.WatchTarget{{PID: os.Getpid()}}}, func(dtc.Sighting) error {
			close(began)
			return nil
		})
		if err == nil {
			t.Error("the watch ended without an error")
		}
	})
	<-began
	f.set(config.Agent{LocalHost: two})
	f.check(f.control(VerbReload))
	watch.Wait()
	_, err := f.info(two)
	f.check(err)
}

// Files are shipped to the monitor that the configuration names at the moment.
func TestMonitorHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one, two := f.freePort(), f.freePort()
	first, second := f.receiver(one), f.receiver(two)
	write := func(name, text string) {
		t.Helper()
		file, err := os.OpenFile(filepath.Join(f.home, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		f.check(err)
		_, err = file.WriteString(text)
		f.check(errors.Join(err, file.Close()))
	}
	copied := func(dir, alias string) string {
		data, _ := os.ReadFile(filepath.Join(dir, "web1", alias))
		return string(data)
	}
	write("app.log", "one\n")
	write("other.log", "other\n")
	cfg := config.Agent{MonitorHost: one, ScanFileTime: time.Second, Files: []config.File{{Path: "app.log", Alias: "app.log"}}}
	f.set(cfg)
	a := f.start(PartLog)
	f.eventually("the copy", func() bool { return copied(first, "app.log") == "one\n" })
	if got := copied(first, "other.log"); got != "" {
		t.Errorf("also copied %q", got)
	}

	// A file that is added is followed on the connection that there is.
	cfg.Files = append(cfg.Files, config.File{Path: filepath.Join(f.home, "other.log"), Alias: "other.log"})
	f.set(cfg)
	f.check(a.Reload(t.Context()))
	f.eventually("the other copy", func() bool { return copied(first, "other.log") == "other\n" })
	if n := strings.Count(a.log.String(), "msg=\"connected to the monitor\""); n != 1 {
		t.Errorf("connected %d times", n)
	}

	// Another monitor knows nothing yet, and gets all.
	cfg.MonitorHost = two
	f.set(cfg)
	f.check(a.Reload(t.Context()))
	f.eventually("the copy at the other monitor", func() bool { return copied(second, "app.log") == "one\n" })
	write("app.log", "two\n")
	f.eventually("the end at the other monitor", func() bool { return copied(second, "app.log") == "one\ntwo\n" })
	if got := copied(first, "app.log"); got != "one\n" {
		t.Errorf("the first monitor got %q", got)
	}

	// None: nothing is shipped. And the first again: what it misses.
	cfg.MonitorHost = netip.AddrPort{}
	f.set(cfg)
	f.check(a.Reload(t.Context()))
	cfg.MonitorHost = one
	f.set(cfg)
	f.check(a.Reload(t.Context()))
	f.eventually("the rest", func() bool { return copied(first, "app.log") == "one\ntwo\n" })
}

// A monitor that is away is tried again and again, and told once.
func TestMonitorAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := f.freePort()
	f.check(os.WriteFile(filepath.Join(f.home, "app.log"), []byte("one\n"), 0o600))
	f.set(config.Agent{MonitorHost: at, ScanFileTime: time.Second, Files: []config.File{{Path: "app.log", Alias: "app.log"}}})
	a := f.start()
	time.Sleep(800 * time.Millisecond) // some attempts
	dir := f.receiver(at)
	f.eventually("the copy", func() bool {
		data, _ := os.ReadFile(filepath.Join(dir, "web1", "app.log"))
		return string(data) == "one\n"
	})
	if n := strings.Count(a.log.String(), "no connection to the monitor"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// Each part runs without the other.
func TestParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at, to := f.freePort(), f.freePort()
	ln := f.listen(to)
	f.set(config.Agent{LocalHost: at, MonitorHost: to})
	a := f.start(PartLog)
	conn, err := ln.Accept()
	f.check(err)
	conn.Close()
	if _, err := f.info(at); dtc.KindOf(err) != dtc.KindRefused {
		t.Errorf("it answers, though it shall only ship: %v", err)
	}
	f.set(config.Agent{LocalHost: f.freePort(), MonitorHost: to}) // nothing listens, and nobody waits for it
	began := time.Now()
	f.check(a.Reload(t.Context()))
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the reload took %s", took)
	}
	a.stop()
	f.set(config.Agent{LocalHost: at, MonitorHost: to})
	a = f.start(PartStatus)
	_, err = f.info(at)
	f.check(err)
	if strings.Contains(a.log.String(), "monitor=") {
		t.Error("it ships, though it shall only answer")
	}
}

func TestAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.set(config.Agent{})
	f.start()
	opts, _ := f.options()
	second, err := New(opts)
	f.check(err)
	if err := second.Run(t.Context()); !errors.Is(err, wire.ErrInUse) {
		t.Errorf("a second agent in one home: %v", err)
	}
	f.check(f.control(""))
}

// An address that another program has is an error at the start.
func TestStartOnTakenAddress(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ln := f.listen(netip.AddrPortFrom(loopback, 0))
	f.set(config.Agent{LocalHost: netip.MustParseAddrPort(ln.Addr().String())})
	opts, _ := f.options()
	a, err := New(opts)
	f.check(err)
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "listen on local_host") {
		t.Errorf("Run: %v", err)
	}
}

// It does all but reload by command where its home cannot be written.
func TestWithoutSocket(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.check(os.WriteFile(filepath.Join(f.home, "state"), nil, 0o600)) // a file in the way
	at := f.freePort()
	f.set(config.Agent{LocalHost: at})
	opts, log := f.options()
	a, err := New(opts)
	f.check(err)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	f.eventually("the answer", func() bool { _, err := f.info(at); return err == nil })
	f.eventually("the warning", func() bool { return strings.Contains(log.String(), "no local control socket") })
	cancel()
	run.Wait()
}

func TestNewWithoutCertificate(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Home: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("New: %v", err)
	}
}

// Memory is given back when nobody has asked for a while, once each time.
func TestTrim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var trimmed atomic.Int32
		a := &Agent{asked: make(chan struct{}, 1), free: func() { trimmed.Add(1) }}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = a.trim(ctx) })
		check := func(after time.Duration, want int32) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := trimmed.Load(); got != want {
				t.Errorf("given back %d times, want %d", got, want)
			}
		}
		check(trimAfter-time.Second, 0)
		check(time.Hour, 1) // what its start took
		for range 5 {
			a.noteAsked()
			a.noteAsked() // never blocks
			check(trimAfter-time.Second, 1)
		}
		check(time.Second, 2)
		check(time.Hour, 2)
		a.noteAsked()
		check(trimAfter, 3)
		a.noteAsked()
		cancel()
		run.Wait()
	})
}

// One that an agent has that was killed a moment ago is waited for.
func TestStartOnSoonFreeAddress(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ln := f.listen(netip.AddrPortFrom(loopback, 0))
	at := netip.MustParseAddrPort(ln.Addr().String())
	f.set(config.Agent{LocalHost: at})
	a := f.start(PartStatus)
	f.eventually("it to be told", func() bool { return strings.Contains(a.log.String(), "local_host is still taken") })
	f.check(ln.Close())
	f.eventually("it to listen", func() bool { return strings.Contains(a.log.String(), "msg=listening address="+at.String()) })
}
