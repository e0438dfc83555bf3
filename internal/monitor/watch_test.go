package monitor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/wire"
)

// Every state is told once at the start of a watch; what is sent again is
// acknowledged again, and not told.
func TestTold(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1, 2, 3)}})
	f.start()
	w := a.watch()
	if len(w.targets) != 3 || w.asker == "" || w.targets[0] != (dtc.WatchTarget{PID: 1}) {
		t.Fatalf("targets %+v of %q", w.targets, w.asker)
	}
	w.emit(t, alive("run1", 1, 1))
	w.emit(t, missing("run1", 2, 2))
	w.emit(t, alive("run1", 3, 3))
	w.emit(t, dead("run1", 4, 1, 0))
	w.emit(t, dead("run1", 4, 1, 0))
	w.emit(t, dead("run1", 5, 3, time.Minute))
	w.emit(t, missing("run1", 6, 2))
	f.wantTold("web1", "1 alive", "2 missing", "3 alive", "1 dead", "3 dead")
	a.acknowledged(6)
	f.wantTold("web1", "1 alive", "2 missing", "3 alive", "1 dead", "3 dead")
	var ids []string
	f.read(func(e dtc.Event) {
		ids = append(ids, e.ID)
		if e.State != dtc.StateDead {
			return
		}
		late := e.PID == 3
		if e.Exit == nil || *e.Exit != (dtc.Exit{Kind: dtc.ExitSignal, Number: 9}) || e.Lived != time.Minute || e.DiedAt.IsZero() == late || e.Name != "app" {
			t.Errorf("dead: %+v", e)
		}
		if ago := e.Time.Sub(e.DiedAt); late && (ago < time.Minute-time.Second || ago > time.Minute+time.Second) {
			t.Errorf("died %s before it was told, not a minute", ago)
		}
	})
	if want := []string{"run1-1", "run1-2", "run1-3", "run1-4", "run1-5"}; !slices.Equal(ids, want) {
		t.Errorf("ids %q, want %q", ids, want)
	}
	names, _ := filepath.Glob(filepath.Join(f.dir, "logs", "127.0.0.11", "*"))
	if len(names) != 1 || !strings.Contains(names[0], "127.0.0.11_"+a.at.String()[len("127.0.0.11:"):]+"_process_") {
		t.Errorf("files %q", names)
	}
}

// A routine check tells alive and missing again, and asks nothing of the dead.
func TestRoutine(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	a.alive[1] = alive("", 0, 1).Process
	h := a.host(1, 2, 3)
	h.DetectInterval = time.Second
	f.set(config.Monitor{Hosts: []config.Host{h}})
	m := f.start()
	w := a.watch()
	w.emit(t, alive("run1", 1, 1))
	w.emit(t, missing("run1", 2, 2))
	w.emit(t, alive("run1", 3, 3))
	w.emit(t, dead("run1", 4, 3, 0))
	for range 2 {
		select {
		case pids := <-a.checks:
			if !slices.Equal(pids, []int{1, 2}) {
				t.Errorf("asked for %d", pids)
			}
		case <-time.After(patience):
			t.Fatal("no routine check")
		}
		if err := m.Reload(t.Context()); err != nil { // puts nothing off
			t.Fatal(err)
		}
	}
	f.wantTold("web1", "1 alive", "2 missing", "3 alive", "3 dead", "1 alive", "2 missing", "1 alive", "2 missing")
	if len(a.watches) > 0 {
		t.Error("a reload that changes nothing has disturbed the watch")
	}
	seen := map[string]bool{}
	f.read(func(e dtc.Event) {
		if seen[e.ID] {
			t.Errorf("the id %s twice", e.ID)
		}
		seen[e.ID] = true
	})
}

// The routine check comes when it is due, however often the connection breaks.
func TestRoutineIsNotPutOff(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	h := a.host(1)
	h.DetectInterval = 3 * time.Second
	f.set(config.Monitor{Hosts: []config.Host{h}})
	f.start()
	began := time.Now()
	for a.watch(); time.Since(began) < 2*time.Second; a.watch() {
		a.restart(dtc.Info{Boot: "boot1", Run: "run2"})
	}
	began = time.Now()
	select {
	case <-a.checks:
	case <-time.After(patience):
		t.Fatal("no routine check")
	}
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("it came %s after the last connection", took)
	}
}

// An outage is one line at its begin and one at its end, and no process is
// called dead for it. What ended meanwhile is told with its time.
func TestOutage(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	f.start()
	w := a.watch()
	w.emit(t, alive("run1", 1, 1))
	f.wantTold("web1", "1 alive")
	a.stop()
	f.wantTold("web1", "1 alive", "unreachable")
	time.Sleep(700 * time.Millisecond) // some attempts
	f.wantTold("web1", "1 alive", "unreachable")

	// The agent that comes back is another run and knows nothing.
	a.restart(dtc.Info{Boot: "boot1", Run: "run2"})
	w = a.watch()
	known := alive("", 0, 1).Process
	if want := (dtc.WatchTarget{PID: 1, Known: known, KnownBoot: "boot1"}); len(w.targets) != 1 || w.targets[0] != want {
		t.Fatalf("targets %+v, want %+v", w.targets, want)
	}
	w.emit(t, dead("run2", 1, 1, 10*time.Second))
	f.wantTold("web1", "1 alive", "unreachable", "reachable", "1 dead")
	a.acknowledged(1)
	f.read(func(e dtc.Event) {
		switch {
		case e.State == dtc.StateUnreachable && !strings.Contains(e.Reason, "refused"):
			t.Errorf("the reason is %q", e.Reason)
		case e.State == dtc.StateDead && e.Time.Sub(e.DiedAt) < 9*time.Second:
			t.Errorf("told at %s, died at %s", e.Time, e.DiedAt)
		}
	})
	// The dead one is asked for no more.
	a.restart(dtc.Info{Boot: "boot1", Run: "run3"})
	if w = a.watch(); len(w.targets) != 0 {
		t.Errorf("targets %+v", w.targets)
	}
}

// A host that cannot be asked at the start is told so, once over restarts of
// the monitor.
func TestUnreachableOverRestarts(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11))
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	m := f.start()
	f.wantTold("web1", "unreachable")
	m.stop()

	m = f.start()
	f.eventually("an attempt", func() bool {
		l, ok := m.fleet.State(fleet.Host{Address: a.at})
		return ok && !l.Up
	})
	m.stop()
	// As after a kill that came before the memory was written.
	if err := os.Remove(filepath.Join(f.dir, "state", "watch.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "state", "watch.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	m = f.start()
	f.eventually("an attempt", func() bool {
		l, ok := m.fleet.State(fleet.Host{Address: a.at})
		return ok && !l.Up
	})
	f.wantTold("web1", "unreachable")
	a.start()
	f.wantTold("web1", "unreachable", "reachable")
}

// A monitor that starts anew knows who was alive, so that an end that fell into
// the absence of both it and the agent's last run is told as one. What an agent
// sends again stands there once.
func TestMonitorRestart(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1, 2)}})
	m := f.start()
	w := a.watch()
	w.emit(t, alive("run1", 1, 1))
	w.emit(t, alive("run1", 2, 2))
	f.wantTold("web1", "1 alive", "2 alive")
	f.eventually("the memory", func() bool {
		data, _ := os.ReadFile(filepath.Join(f.dir, "state", "watch.json"))
		return strings.Contains(string(data), `"start":1002`)
	})
	before, err := os.ReadFile(filepath.Join(f.dir, "state", "watch.json"))
	if err != nil {
		t.Fatal(err)
	}
	w.emit(t, dead("run1", 3, 1, 0))
	f.wantTold("web1", "1 alive", "2 alive", "1 dead")
	m.stop()
	w.ended(t)
	// As after a kill that came between the line and the memory.
	if err := os.WriteFile(filepath.Join(f.dir, "state", "watch.json"), before, 0o600); err != nil {
		t.Fatal(err)
	}

	f.start()
	w = a.watch()
	want := []dtc.WatchTarget{{PID: 1}, {PID: 2, Known: alive("", 0, 2).Process, KnownBoot: "boot1"}}
	if !slices.Equal(w.targets, want) {
		t.Errorf("targets %+v, want %+v", w.targets, want)
	}
	w.emit(t, dead("run1", 3, 1, time.Minute)) // not acknowledged before the stop
	a.acknowledged(3)
	w.emit(t, alive("run1", 4, 2))
	w.emit(t, dead("run1", 5, 2, 0))
	f.wantTold("web1", "1 alive", "2 alive", "1 dead", "2 alive", "2 dead")
}

func TestReboot(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host()}})
	m := f.start()
	a.watch()
	a.restart(dtc.Info{Boot: "boot2", Run: "run2"})
	a.watch()
	told := f.told("web1")
	told = slices.DeleteFunc(told, func(s string) bool { return s == "unreachable" || s == "reachable" })
	if !slices.Equal(told, []string{"rebooted"}) {
		t.Errorf("told %q", told)
	}
	m.stop()

	// Over a restart of the monitor, too.
	a.restart(dtc.Info{Boot: "boot3", Run: "run3"})
	f.start()
	a.watch()
	told = slices.DeleteFunc(f.told("web1"), func(s string) bool { return s != "rebooted" })
	if len(told) != 2 {
		t.Errorf("told %q", told)
	}
}

// Hosts and pids come and go with a reload, and the others do not notice.
func TestReloadHosts(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a, b := f.newAgent("web1", loopback(11)).start(), f.newAgent("web2", loopback(12)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1, 2)}})
	m := f.start()
	reload := func(hosts ...config.Host) {
		t.Helper()
		f.set(config.Monitor{Hosts: hosts})
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first := a.watch()
	first.emit(t, alive("run1", 1, 1))
	first.emit(t, alive("run1", 2, 2))
	f.wantTold("web1", "1 alive", "2 alive")

	moved := a.host(1, 2)
	moved.Line = 77 // in the file, no more
	reload(moved, b.host(1))
	wb := b.watch()
	wb.emit(t, missing("run1", 1, 1))
	f.wantTold("web2", "1 missing")
	first.emit(t, dead("run1", 3, 1, 0))
	f.wantTold("web1", "1 alive", "2 alive", "1 dead")

	// A pid that goes is not watched, one that comes is, one that stays is known.
	reload(a.host(2, 3), b.host(1))
	second := a.watch()
	first.ended(t)
	if want := []dtc.WatchTarget{{PID: 2, Known: alive("", 0, 2).Process, KnownBoot: "boot1"}, {PID: 3}}; !slices.Equal(second.targets, want) {
		t.Errorf("targets %+v, want %+v", second.targets, want)
	}
	reload(a.host(1), b.host(1)) // and one that comes again is new, whatever became of it
	third := a.watch()
	if want := []dtc.WatchTarget{{PID: 1}}; !slices.Equal(third.targets, want) {
		t.Errorf("targets %+v, want %+v", third.targets, want)
	}
	third.emit(t, alive("run1", 4, 1))
	f.wantTold("web1", "1 alive", "2 alive", "1 dead", "1 alive")

	// The name is the configuration's of the moment.
	named := a.host(1)
	named.Name = "front"
	reload(named, b.host(1))
	fourth := a.watch()
	fourth.emit(t, dead("run1", 5, 1, 0))
	f.wantTold("front", "1 dead")

	// A mistake changes nothing.
	f.err = errors.New("monitor.xml:3: a mistake")
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "monitor.xml:3: a mistake\n") || !strings.HasSuffix(err.Error(), "the running configuration stays") {
		t.Errorf("a bad file: %v", err)
	}
	f.err = nil
	if len(a.watches)+len(b.watches) > 0 {
		t.Error("the watch was disturbed")
	}

	// A host that goes is let go of, connection and memory.
	reload(b.host(1))
	fourth.ended(t)
	f.eventually("the host to be forgotten", func() bool { return m.memory.Host(a.at.String()).Boot == "" })
	if _, ok := m.fleet.State(fleet.Host{Address: a.at}); ok {
		t.Error("its connection is kept")
	}
	if len(b.watches) > 0 {
		t.Error("the other host was disturbed")
	}
	reload(a.host(1), b.host(1))
	if w := a.watch(); !slices.Equal(w.targets, []dtc.WatchTarget{{PID: 1}}) {
		t.Errorf("targets %+v", w.targets)
	}
}

// A revoked agent is out at once, on the connection that it has opened and on
// that to it, and a mistake in monitor.xml does not keep it in.
func TestRevoke(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a, b := f.newAgent("web1", loopback(11)).start(), f.newAgent("web2", loopback(12)).start()
	at := freePort(t, loopback(1))
	f.set(config.Monitor{LocalHost: at, Hosts: []config.Host{a.host(1), b.host(1)}})
	f.start()
	wa, wb := a.watch(), b.watch()
	la, lb := a.logLink(at), b.logLink(at)
	f.mu.Lock()
	f.err = errors.New("monitor.xml:3: a mistake")
	f.mu.Unlock()
	if _, err := f.authority.Revoke("web1"); err != nil {
		t.Fatal(err)
	}
	if err := f.control(VerbTrust, nil); err != nil {
		t.Fatal(err)
	}
	closedWithin(t, la, time.Second)
	wa.ended(t)
	f.wantTold("web1", "unreachable")
	f.read(func(e dtc.Event) {
		if e.State == dtc.StateUnreachable && !strings.HasPrefix(e.Reason, "certificate not accepted: ") {
			t.Errorf("the reason is %q", e.Reason)
		}
	})
	wb.emit(t, missing("run1", 1, 1))
	f.wantTold("web2", "1 missing")
	link := wire.NewLink(lb)
	if err := errors.Join(link.Send(&dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boot1"}), link.Flush()); err != nil {
		t.Error(err)
	}

	// A reload does the same, also of a bad file.
	if _, err := f.authority.Revoke("web2"); err != nil {
		t.Fatal(err)
	}
	if err := f.control(VerbReload, nil); err == nil {
		t.Error("a bad file was taken")
	}
	closedWithin(t, lb, time.Second)
	wb.ended(t)
}

// A pid that nobody has is called as who had it last, over any number of
// restarts, and whoever has it then is watched as a new one.
func TestNameOfMissing(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	m := f.start(PartProcess)
	w := a.watch()
	w.emit(t, alive("run1", 1, 1))
	w.emit(t, dead("run1", 2, 1, 0))
	a.acknowledged(2)
	for number := uint64(3); number < 6; number++ {
		m.stop()
		m = f.start(PartProcess)
		w = a.watch()
		if len(w.targets) != 1 || w.targets[0].Known != (dtc.ProcessID{}) || w.targets[0].KnownBoot != "" {
			t.Errorf("watched are %+v", w.targets)
		}
		w.emit(t, missing("run1", number, 1))
		a.acknowledged(number)
	}
	w.emit(t, alive("run1", 6, 1))
	w.emit(t, dead("run1", 7, 1, 0))
	a.acknowledged(7)
	f.wantTold("web1", "1 alive", "1 dead", "1 missing", "1 missing", "1 missing", "1 alive", "1 dead")
	f.read(func(e dtc.Event) {
		if e.Name != "app" {
			t.Errorf("%s is called %q", e.State, e.Name)
		}
	})
}

// An event that cannot be written is not lost: the agent is not told that it
// is, and gives it again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	f.start(PartProcess)
	w := a.watch()
	w.emit(t, alive("run1", 1, 1))
	a.acknowledged(1)
	f.wantTold("web1", "1 alive")
	clear := f.obstruct("127.0.0.11")
	w.emit(t, dead("run1", 2, 1, 0))
	w.ended(t)
	clear()
	for { // until it is written
		w = a.watch()
		if err := sendOr(t.Context(), w, dead("run1", 2, 1, time.Minute)); err == nil {
			break
		}
	}
	a.acknowledged(2)
	f.wantTold("web1", "1 alive", "1 dead")
}

func sendOr(ctx context.Context, w watchCall, s dtc.Sighting) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case w.see <- s:
		return nil
	case <-w.over:
		return errors.New("over")
	case <-ctx.Done():
		return ctx.Err()
	}
}
