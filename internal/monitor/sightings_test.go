package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/events"
)

// bench is a hostWatch without a network, over restarts of its monitor.
type bench struct {
	dir  string
	host config.Host
	m    *Monitor
	w    *hostWatch
}

func (b *bench) start(t *rapid.T) {
	m := &Monitor{
		opts: Options{Home: b.dir}, log: slog.New(slog.DiscardHandler), run: events.NewRun(),
		cfg: config.Monitor{Hosts: []config.Host{b.host}}, changed: make(chan struct{}),
	}
	m.outage = newOutage(m)
	var err error
	if m.memory, err = events.OpenMemory(filepath.Join(b.dir, "state", "watch.json"), m.log); err != nil {
		t.Fatal(err)
	}
	if m.events, err = events.Open(filepath.Join(b.dir, "logs"), events.Options{Logger: m.log}); err != nil {
		t.Fatal(err)
	}
	if err := m.recallEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.m, b.w = m, newHostWatch(m, b.host, func() {})
	b.w.wanted(b.host)
}

// kill ends the monitor before it has written its memory.
func (b *bench) kill(t *rapid.T) {
	if err := b.m.events.Close(); err != nil {
		t.Fatal(err)
	}
}

// stop ends the monitor.
func (b *bench) stop(t *rapid.T) {
	b.kill(t)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.m.memory.Run(done); err != nil {
		t.Fatal(err)
	}
}

// restart ends the monitor in one of the two ways, and starts it again.
func (b *bench) restart(t *rapid.T) {
	if rapid.Bool().Draw(t, "killed") {
		b.kill(t)
	} else {
		b.stop(t)
	}
	b.start(t)
}

func (b *bench) read(t *rapid.T) []dtc.Event {
	var all []dtc.Event
	filter := events.Filter{Bad: func(path string, lines int) { t.Fatalf("%d lines of %s are no events", lines, path) }}
	err := events.Read(t.Context(), filepath.Join(b.dir, "logs"), filter, func(e dtc.Event) error {
		all = append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func newBench(t *rapid.T, hosts ...dtc.ProcessRule) *bench {
	dir, err := os.MkdirTemp("", "dtc-bench")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "state"), 0o750)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := netip.MustParseAddrPort("10.0.0.7:7701")
	b := &bench{dir: dir, host: config.Host{Name: "web1", Address: at, PIDs: []int{1, 2}, Rules: hosts, DetectInterval: time.Hour}}
	b.start(t)
	return b
}

// Whatever an agent sends, right or wrong, in any order and as often as it
// likes, over restarts of the monitor: each line is one that can be read, no
// event stands there twice, and of what it was not asked nothing but ends.
func TestAnySighting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t, web(), dtc.ProcessRule{Name: "db", Exe: "postgres"})
		for range rapid.IntRange(1, 60).Draw(t, "sightings") {
			s := dtc.Sighting{
				Run: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "run"), Number: rapid.Uint64Range(0, 30).Draw(t, "number"),
				State: rapid.SampledFrom([]dtc.State{
					dtc.StateAlive, dtc.StateDead, dtc.StateMissing, dtc.StateRestarted, dtc.StateCount, dtc.StateNormal,
					dtc.StateReplaced, dtc.StateStopped, "",
				}).Draw(t, "state"),
				Process: dtc.ProcessID{PID: rapid.IntRange(0, 3).Draw(t, "pid"), Start: rapid.Uint64Range(0, 3).Draw(t, "start")},
				Boot:    rapid.SampledFrom([]string{"b1", "b2"}).Draw(t, "boot"),
				Name:    rapid.StringN(0, 5, 20).Draw(t, "name"),
				Rule:    rapid.SampledFrom([]string{"", "web", "db", "other"}).Draw(t, "rule"),
				Count:   rapid.IntRange(0, 3).Draw(t, "count"), NewPID: rapid.IntRange(0, 3).Draw(t, "new pid"),
				Gap: time.Duration(rapid.Int64Min(0).Draw(t, "gap")), Lived: time.Duration(rapid.Int64Min(dtc.Absent).Draw(t, "lived")),
				Age: time.Duration(rapid.Int64Min(0).Draw(t, "age")), AgeMost: time.Duration(rapid.Int64Min(0).Draw(t, "most")),
			}
			how := check{}
			if rapid.IntRange(0, 3).Draw(t, "routine") == 0 {
				how = check{routine: true, answered: map[subject]bool{}}
				b.w.beginCheck()
			}
			if err := b.w.saw(t.Context(), s, how); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				b.restart(t)
			}
		}
		b.stop(t)
		told := map[string]bool{}
		for _, e := range b.read(t) {
			if told[e.ID] {
				t.Fatalf("%s is told twice", e.ID)
			}
			told[e.ID] = true
			ends := e.State == dtc.StateDead || e.State == dtc.StateRestarted
			if !ends && (e.Rule == "other" || e.PID > 2 && e.Rule == "") {
				t.Fatalf("told what was not asked: %+v", e)
			}
		}
	})
}

// host is an honest agent with one rule: it numbers what it sees, keeps what
// changes until that is acknowledged, and tells the rest with each call.
type honest struct {
	number  uint64
	start   uint64
	alive   []dtc.ProcessID // of the rule, in the order of their starts
	kept    []dtc.Sighting
	changes []string // all that is to be told, in order
	state   dtc.State
	count   int // when state was told
}

// verdict tells how many there are, if that is news.
func (a *honest) verdict() {
	n, state := len(a.alive), dtc.StateNormal
	switch {
	case n == 0:
		state = dtc.StateMissing
	case n < web().Min || n > web().Max:
		state = dtc.StateCount
	}
	if state != a.state || state == dtc.StateCount && n != a.count {
		a.state, a.count = state, n
		a.keep(dtc.Sighting{State: state, Count: n}, fmt.Sprintf("%s %d of %d", state, n, web().Min))
	}
}

func (a *honest) keep(s dtc.Sighting, change string) {
	a.number++
	s.Run, s.Number, s.Rule, s.Boot, s.Name = "r1", a.number, "web", "b1", "app"
	a.kept = append(a.kept, s)
	a.changes = append(a.changes, change)
}

func (a *honest) begin(pid int) dtc.ProcessID {
	a.start++
	id := dtc.ProcessID{PID: pid, Start: a.start}
	a.alive = append(a.alive, id)
	return id
}

func (a *honest) has(pid int) bool {
	return slices.ContainsFunc(a.alive, func(id dtc.ProcessID) bool { return id.PID == pid })
}

// step does something that can happen to a rule.
func (a *honest) step(t *rapid.T) {
	pid := rapid.IntRange(1, 6).Draw(t, "pid")
	free := !a.has(pid)
	switch what := rapid.IntRange(0, 2).Draw(t, "what"); {
	case what == 0 && free:
		a.keep(dtc.Sighting{State: dtc.StateAlive, Process: a.begin(pid)}, fmt.Sprintf("%d alive", pid))
	case len(a.alive) == 0:
	case what == 1:
		gone := a.alive[0]
		a.alive = a.alive[1:]
		a.keep(dtc.Sighting{State: dtc.StateDead, Process: gone}, fmt.Sprintf("%d dead", gone.PID))
	case free:
		gone := a.alive[0]
		a.alive = a.alive[1:]
		a.keep(dtc.Sighting{State: dtc.StateRestarted, Process: gone, NewPID: pid}, fmt.Sprintf("%d restarted as %d", gone.PID, pid))
		a.keep(dtc.Sighting{State: dtc.StateAlive, Process: a.begin(pid)}, fmt.Sprintf("%d alive", pid))
	}
}

// Over lost links, acknowledgements that come late or never, and restarts of
// the monitor each change that an honest agent has seen is told, once, and in
// order.
func TestEachChangeOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t, web())
		a := honest{state: dtc.StateNormal}
		a.verdict()
		for range rapid.IntRange(1, 8).Draw(t, "calls") {
			for range rapid.IntRange(0, 8).Draw(t, "steps") {
				a.step(t)
				a.verdict()
			}
			for _, s := range a.kept {
				if err := b.w.saw(t.Context(), s, check{}); err != nil {
					t.Fatal(err)
				}
			}
			recorded := len(a.kept)
			a.kept = a.kept[rapid.IntRange(0, recorded).Draw(t, "acknowledged"):]
			if rapid.Bool().Draw(t, "restart") {
				b.restart(t)
			}
		}
		b.stop(t)
		var told []string
		for _, e := range b.read(t) {
			e.Rule = ""
			told = append(told, inShort(&e))
		}
		if !slices.Equal(told, a.changes) {
			t.Fatalf("told     %q\nhappened %q", told, a.changes)
		}
	})
}
