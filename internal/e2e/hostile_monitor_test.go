//go:build linux

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

// processorTime is what a process has used of the processors: see proc_pid_stat(5).
func processorTime(tb testing.TB, d *daemon) time.Duration {
	tb.Helper()
	stat := readFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	ticks := int64(0)
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// children are the processes that a process has started.
func children(d *daemon) (all []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.cmd.Process.Pid))
	for _, file := range files {
		all = append(all, strings.Fields(readFile(file))...)
	}
	return all
}

// TestHostileMonitor gives an agent to whoever has the monitor's key, and to those
// who stole an operator's or a viewer's: it writes nothing but what it remembers,
// starts nothing, sends nothing but what is followed, and its memory is bounded.
func TestHostileMonitor(t *testing.T) {
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "app.log"), filepath.Join(t.TempDir(), "target", "secret")
	writeFile(t, file, strings.Repeat("a line\n", 10_000))
	writeFile(t, secret+".log", "SECRET\n")
	if err := os.MkdirAll(secret, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil { // leads out of the pattern's folder
		t.Fatal(err)
	}
	l := newLone(t, file)
	writeFile(t, filepath.Join(l.agentHome, "conf", "agent.xml"), fmt.Sprintf(
		"<agent><local_host>%s</local_host><monitor_host>%s</monitor_host><monitor_files><file_alias>%s,app.log</file_alias><file_alias>%s/*.txt,{name}</file_alias><file_alias>%s/*,all-{name}</file_alias></monitor_files></agent>",
		l.agentAt, l.monitorAt, file, dir, dir))
	namespace("").must(t, agentPath(), "reload", "--home", l.agentHome)
	viewer, operator := l.person(t, "eve", dtc.RoleViewer), l.person(t, "mallory", dtc.RoleOperator)
	monitor, err := ca.Load(filepath.Join(l.home, "conf", "tls"), dtc.RoleMonitor)
	if err != nil {
		t.Fatal(err)
	}
	l.serve.kill9()

	before := listing(t, l.agentHome, "state")
	base := usageOf(t, l.agent)
	forget(t, l.agent)
	evil := &hostileLog{dir: dir, aliases: map[string]bool{}}
	evil.serve(t, monitor, l.monitorAt)
	for name, creds := range map[string]*ca.Credentials{"viewer": viewer, "operator": operator, "monitor": monitor} {
		t.Run(name, func(t *testing.T) { abuse(t, creds, l.agentAt) })
		if started := children(l.agent); len(started) > 0 {
			t.Errorf("the agent started %v", started)
		}
	}
	eventually(t, func() string { return "an attack over the log protocol" }, func() bool { return evil.done() })
	evil.check(t)
	select {
	case <-l.agent.done:
		t.Fatal("the agent ended")
	default:
	}
	if started := children(l.agent); len(started) > 0 {
		t.Errorf("the agent started %v", started)
	}
	grown := usageOf(t, l.agent).peak - base.now
	t.Logf("RSS %.1f MiB before, at most %+.1f MiB", float64(base.now)/(1<<20), float64(grown)/(1<<20))
	if grown > 160<<20 {
		t.Errorf("the agent grew by %d MiB", grown>>20)
	}
	if after := listing(t, l.agentHome, "state"); !slices.Equal(before, after) {
		t.Errorf("the agent wrote:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	evil.quiet.Store(true)
	eventually(t, func() string { return "rest" }, func() bool {
		was := processorTime(t, l.agent)
		time.Sleep(time.Second)
		return processorTime(t, l.agent)-was < 300*time.Millisecond
	})
}

// person issues a certificate of a person, and returns what that proves.
func (l *lone) person(t *testing.T, name string, role dtc.Role) *ca.Credentials {
	t.Helper()
	dir := t.TempDir()
	l.dtc(t, "issue", "--operator", "--role", string(role), name, "--out", dir)
	creds, err := ca.Load(filepath.Join(dir, "conf", "tls"), role)
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// abuse asks an agent for whatever takes much or is not to be had.
func abuse(t *testing.T, creds *ca.Credentials, at string) {
	t.Helper()
	all := creds.Peer().Role == dtc.RoleMonitor
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	client := func() *wire.Client {
		c := wire.NewClient(func(ctx context.Context) (net.Conn, error) {
			return wire.Dialer{TLS: creds.ToAgents(nil)}.Dial(ctx, netip.MustParseAddrPort(at), wire.ProtoRPC)
		})
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := client()
	if _, err := c.Info(ctx); err != nil {
		t.Fatal(err)
	}
	get := func(c *wire.Client, q dtc.Query) (items int, err error) {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err = c.Get(limited, q, func(r *dtc.Report) error {
			items += len(r.Process) + len(r.OpenFiles) + len(r.Sockets)
			return nil
		})
		return items, err
	}
	stars, many := strings.Repeat("*a", 2000)+"b", func(one string, n int) []string { return slices.Repeat([]string{one}, n) }
	for name, q := range map[string]dtc.Query{
		"a regular expression of millions": {Status: dtc.StatusProcess, Selection: dtc.Selection{Names: []string{"/((((a{99}){99}){99}){99}){99}/"}}},
		"1024 regular expressions":         {Status: dtc.StatusProcess, Selection: dtc.Selection{Names: many("/(x+x+)+y/", 1024)}},
		"1025 names":                       {Status: dtc.StatusProcess, Selection: dtc.Selection{Names: many("a", 1025)}},
		"stars":                            {Status: dtc.StatusProcess, Selection: dtc.Selection{Names: many(stars, 1000)}},
		"stars in paths":                   {Status: dtc.StatusOpenFiles, Selection: dtc.Selection{Paths: many("/"+strings.Repeat("**a", 1300), 1000)}},
		"10,000 pids":                      {Status: dtc.StatusProcess, Selection: dtc.Selection{PIDs: make([]int, 10_000)}},
		"a negative limit":                 {Status: dtc.StatusProcess, Selection: dtc.Selection{Limit: -1}},
		"no such field":                    {Status: dtc.StatusProcess, Selection: dtc.Selection{Sort: "-\x1b[2J"}},
		"no such status":                   {Status: "../../etc/passwd"},
		"an endless time":                  {Status: dtc.StatusMemory, Timeout: math.MaxInt64},
	} {
		began := time.Now()
		items, err := get(c, q)
		t.Logf("%s: %d items after %s, %.200v", name, items, time.Since(began).Round(time.Millisecond), err)
	}
	var flood sync.WaitGroup
	var answered atomic.Int64
	for range 2 {
		c := client()
		for range 32 {
			flood.Go(func() {
				if _, err := get(c, dtc.Query{Status: dtc.StatusOpenFiles, Selection: dtc.Selection{Sort: "-size_bytes"}}); err == nil {
					answered.Add(1)
				}
			})
		}
	}
	flood.Wait()
	t.Logf("%d of 64 sorted answers at a time were given", answered.Load())

	watch := func(want dtc.Watching) error {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return c.Watch(limited, want, func(dtc.Sighting) error { return nil })
	}
	targets := make([]dtc.WatchTarget, 20_001)
	for i := range targets {
		targets[i].PID = i + 1
	}
	rules := make([]dtc.ProcessRule, 1001)
	for i := range rules {
		rules[i] = dtc.ProcessRule{Name: strconv.Itoa(i), Match: "(.*a){100}"}
	}
	for name, want := range map[string]dtc.Watching{
		"20,001 targets":  {Targets: targets},
		"20,000 targets":  {Targets: targets[:20_000]},
		"1001 rules":      {Rules: rules},
		"1000 rules":      {Rules: rules[:1000]},
		"a pidfile":       {Rules: []dtc.ProcessRule{{Name: "a", PIDFile: "/etc/shadow"}}},
		"a device":        {Rules: []dtc.ProcessRule{{Name: "a", PIDFile: "/dev/zero"}, {Name: "b", PIDFile: "/dev/watchdog"}, {Name: "c", PIDFile: "/proc/kmsg"}}},
		"another program": {Rules: []dtc.ProcessRule{{Name: "a", Exe: "../../../bin/sh"}, {Name: "b", Unit: "../../x"}}},
	} {
		err := watch(want)
		t.Logf("watch %s: %.200v", name, err)
		if !all && dtc.KindOf(err) != dtc.KindDenied {
			t.Errorf("watch %s: %v", name, err)
		}
		if matches, err := c.Preview(ctx, want); err == nil {
			for _, m := range matches {
				if strings.Contains(m.Problem, "root:") {
					t.Errorf("it tells what is in a file: %+v", m)
				}
			}
		}
	}
	_, checkErr := c.Check(ctx, []int{1}, nil)
	ackErr := c.Acknowledge(ctx, "run", math.MaxUint64)
	_, trustErr := c.Trust(ctx, dtc.TrustGrant{List: noise(1 << 20), Bundle: noise(1 << 20), Certificate: noise(1 << 20)})
	if trustErr == nil {
		t.Error("it takes whom to trust from noise")
	}
	if _, err := c.Renew(ctx, dtc.TrustState{}); err == nil {
		t.Error("an agent certifies")
	}
	if err := c.Control(ctx, "reload", nil, nil); err == nil {
		t.Error("an agent is commanded")
	}
	for _, err := range []error{checkErr, ackErr, trustErr} {
		if !all && dtc.KindOf(err) != dtc.KindDenied {
			t.Errorf("not denied: %v", err)
		}
	}
	_ = watch(dtc.Watching{}) // forgets what it watched
}

// hostileLog is a monitor that claims and asks what it likes over the log
// protocol.
type hostileLog struct {
	dir   string
	quiet atomic.Bool

	mu       sync.Mutex
	aliases  map[string]bool // that the agent attached
	received []string        // bytes of streams and answers
	rounds   int
}

func (h *hostileLog) done() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rounds >= 8
}

func (h *hostileLog) serve(t *testing.T, creds *ca.Credentials, at string) {
	t.Helper()
	var ln net.Listener
	eventually(t, func() string { return "the monitor's address" }, func() (ok bool) {
		var err error
		ln, err = net.Listen("tcp", at)
		return err == nil
	})
	s := &wire.Server{
		TLS: creds.ServerTLS(nil, "", wire.ProtoRPC, wire.ProtoLog), Identify: ca.Identify, Logger: slog.New(slog.DiscardHandler),
		Log: func(ctx context.Context, _ dtc.Peer, link *wire.Link) error { return h.attack(ctx, link) },
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ctx, ln) })
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
}

// identityOf is how an agent writes whose bytes a generation has: see
// docs/ARCHITECTURE.md.
func identityOf(path string) []byte {
	return append([]byte{1, 1, 1, 0, 0, 0, 0}, path...)
}

// attack is one connection.
func (h *hostileLog) attack(ctx context.Context, link *wire.Link) error {
	h.mu.Lock()
	round := h.rounds
	h.rounds++
	h.mu.Unlock()
	defer context.AfterFunc(ctx, func() { link.Close() })()
	var f dtc.Frame
	if err := link.Recv(&f); err != nil { // its hello
		return err
	}
	for i, path := range []string{
		"/etc/shadow", filepath.Join(h.dir, "link") + "/../secret.log", h.dir + "/../target/secret.log", "/dev/zero", "\x00", h.dir + "/./app.log",
	} {
		state := dtc.GenerationState{Generation: uint64(i + 1), Identity: identityOf(path), Position: 1 << 40, Durable: 1 << 41}
		name := "all-" + filepath.Base(path)
		if err := link.Send(&dtc.Frame{Kind: dtc.FrameKnown, Text: name, States: []dtc.GenerationState{state}}); err != nil {
			return err
		}
	}
	if err := link.Send(&dtc.Frame{Kind: dtc.FrameReady, ID: math.MaxUint64}); err != nil {
		return err
	}
	if err := link.Flush(); err != nil || h.quiet.Load() {
		<-ctx.Done()
		return err
	}
	end := time.Now().Add(time.Second)
	for time.Now().Before(end) {
		if err := link.Recv(&f); err != nil {
			return err
		}
		h.note(&f)
		if f.Kind != dtc.FrameAttach && f.Kind != dtc.FrameAppend {
			continue
		}
		for _, answer := range h.claims(round, &f) {
			if err := link.Send(&answer); err != nil {
				return err
			}
		}
		if err := link.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (h *hostileLog) note(f *dtc.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.Kind == dtc.FrameAttach {
		h.aliases[f.Text] = true
	}
	if len(f.Data) > 0 && len(h.received) < 10_000 {
		h.received = append(h.received, string(f.Data))
	}
}

// claims are what is said to a frame of the agent.
func (h *hostileLog) claims(round int, f *dtc.Frame) (all []dtc.Frame) {
	of := func(g dtc.GenerationState) dtc.Frame {
		return dtc.Frame{Kind: dtc.FrameState, Stream: f.Stream, Epoch: uint64(round + 1), States: []dtc.GenerationState{g}}
	}
	app := identityOf(filepath.Join(h.dir, "app.log"))
	state := of(dtc.GenerationState{Generation: 1, Identity: app, Position: 7, Durable: 7})
	switch round % 8 {
	case 0:
		return []dtc.Frame{of(dtc.GenerationState{Generation: math.MaxUint64, Identity: app, Position: math.MaxInt64 - 1, Durable: math.MaxInt64 - 1, Start: math.MaxInt64 - 1})}
	case 1:
		return []dtc.Frame{of(dtc.GenerationState{Generation: 1, Identity: identityOf("/etc/shadow"), Position: 7, Sealed: true})}
	case 2: // again and again
		for range 100 {
			all = append(all, state, dtc.Frame{Kind: dtc.FrameNack, Stream: f.Stream, Epoch: uint64(round + 1), Generation: 1, Offset: 3})
		}
		return all
	case 3:
		all = append(all, state)
		for i := range 2000 {
			all = append(all, dtc.Frame{Kind: dtc.FrameAsk, Stream: f.Stream, Epoch: uint64(round + 1), ID: uint64(i + 1), Generation: uint64(i % 3), Offset: 0, End: math.MaxInt64 - 1})
		}
		return all
	case 4:
		return []dtc.Frame{state, {Kind: dtc.FrameAck, Stream: f.Stream, Epoch: uint64(round + 1), Generation: 1, Offset: 1 << 60, End: 1 << 61}}
	case 5:
		return []dtc.Frame{state, {Kind: dtc.FrameRewind, Stream: f.Stream, Epoch: uint64(round + 1), Generation: 1, Offset: 1}}
	case 6:
		for range 64 {
			all = append(all, dtc.Frame{Kind: dtc.FrameFenced, Stream: f.Stream}, dtc.Frame{Kind: dtc.FrameRefused, Stream: f.Stream, Text: "\x1b[2J\n"}, state)
		}
		return all
	default:
		states := make([]dtc.GenerationState, dtc.MaxGenerations)
		for i := range states {
			states[i] = dtc.GenerationState{Generation: uint64(i), Identity: make([]byte, dtc.MaxIdentity), Position: int64(i), HeadLen: 4096, MarkerLen: 4096}
		}
		return []dtc.Frame{{Kind: dtc.FrameState, Stream: f.Stream, Epoch: uint64(round + 1), States: states}}
	}
}

// check looks at what the agent gave away.
func (h *hostileLog) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for alias := range h.aliases {
		if alias != "app.log" && alias != "all-app.log" {
			t.Errorf("the agent follows %q", alias)
		}
	}
	for _, data := range h.received {
		if strings.Contains(data, "SECRET") || strings.Contains(data, "root:") {
			t.Errorf("the agent sent %.100q", data)
		}
	}
	t.Logf("%d connections, aliases %v, %d pieces of data", h.rounds, h.aliases, len(h.received))
}
