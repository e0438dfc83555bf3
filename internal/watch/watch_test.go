package watch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"dtc"
	"dtc/internal/proc"
)

func TestEndsWithExitCode(t *testing.T) {
	w := newWatcher(t)
	for _, code := range []int{0, 3, 255} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			c := start(t, fmt.Sprintf("exit %d", code))
			f := watchFor(t, w, t.Name(), pids(c.pid)...)
			alive := f.is(t, c.pid, dtc.StateAlive)
			if alive.Process != identify(t, c.pid) || alive.Run != "run1" || alive.Boot != w.boot || alive.Name == "" {
				t.Errorf("alive as %+v", alive)
			}
			c.end()
			dead := f.is(t, c.pid, dtc.StateDead)
			if want := (dtc.Exit{Kind: dtc.ExitCode, Number: code}); dead.Exit != want {
				t.Errorf("exit %+v, want %+v", dead.Exit, want)
			}
			if dead.Process != alive.Process || dead.Name != alive.Name || dead.Number <= alive.Number {
				t.Errorf("dead as %+v after %+v", dead, alive)
			}
			if dead.Lived <= 0 || dead.Lived > 30*time.Second || dead.Age < 0 || dead.Age > 5*time.Second {
				t.Errorf("lived %v, %v ago", dead.Lived, dead.Age)
			}
			f.quiet(t)
		})
	}
}

func TestMissingIsWatchedOnceItIsThere(t *testing.T) {
	c := start(t, "exit 0")
	c.kill()
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(c.pid)...)
	missing := f.is(t, c.pid, dtc.StateMissing)
	if missing.Number == 0 {
		t.Error("a sighting of Watch has no number")
	}
	for range 2 {
		seen, err := w.Check(t.Context(), "m", []int{c.pid}, nil)
		if err != nil || len(seen) != 1 || seen[0].State != dtc.StateMissing || seen[0].Number != 0 {
			t.Fatalf("Check = %+v, %v", seen, err)
		}
	}
	f.quiet(t)
}

func TestCheckTellsTheLiving(t *testing.T) {
	a, b := start(t, "exit 0"), start(t, "exit 0")
	w := newWatcher(t)
	if _, err := w.Check(t.Context(), "m", nil, nil); dtc.KindOf(err) != dtc.KindInvalid {
		t.Errorf("Check without a watch: %v", err)
	}
	f := watchFor(t, w, "m", pids(a.pid, b.pid)...)
	f.is(t, a.pid, dtc.StateAlive)
	f.is(t, b.pid, dtc.StateAlive)
	seen, err := w.Check(t.Context(), "m", []int{b.pid, 4_000_000}, nil)
	if err != nil || len(seen) != 1 || seen[0].Process != identify(t, b.pid) || seen[0].State != dtc.StateAlive || seen[0].Number != 0 {
		t.Fatalf("Check of one = %+v, %v", seen, err)
	}
	a.kill()
	f.is(t, a.pid, dtc.StateDead)
	seen, err = w.Check(t.Context(), "m", nil, nil)
	if err != nil || len(seen) != 1 || seen[0].Process.PID != b.pid {
		t.Fatalf("Check of all after a death = %+v, %v", seen, err)
	}
	f.quiet(t)
}

func TestDeathBetweenCalls(t *testing.T) {
	a, b := start(t, "exit 7"), start(t, "exit 0")
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(a.pid, b.pid)...)
	first := f.is(t, a.pid, dtc.StateAlive)
	f.is(t, b.pid, dtc.StateAlive)
	if err := f.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v", err)
	}

	a.end()
	time.Sleep(300 * time.Millisecond)
	f = watchFor(t, w, "m", pids(a.pid, b.pid)...)
	dead := f.is(t, a.pid, dtc.StateDead)
	if dead.Age < 200*time.Millisecond || dead.Age > 5*time.Second || dead.Process != first.Process || dead.Exit.Number != 7 {
		t.Errorf("after the outage: %+v", dead)
	}
	// The target whose death is queued says nothing; the other is there.
	f.is(t, b.pid, dtc.StateAlive)
	f.quiet(t)
	f.stop()

	// Not acknowledged: once more, the same, older.
	f = watchFor(t, w, "m", dtc.WatchTarget{PID: a.pid, Known: first.Process, KnownBoot: w.boot})
	again := f.is(t, a.pid, dtc.StateDead)
	if again.Number != dead.Number || again.Age <= dead.Age || again.Lived != dead.Lived {
		t.Errorf("told again as %+v, first as %+v", again, dead)
	}
	f.quiet(t)
	if err := w.Acknowledge(t.Context(), "m", "another run", again.Number); err != nil {
		t.Error(err)
	}
	f.stop()
	f = watchFor(t, w, "m", dtc.WatchTarget{PID: a.pid, Known: first.Process, KnownBoot: w.boot})
	f.is(t, a.pid, dtc.StateDead) // another run's number acknowledges nothing
	if err := w.Acknowledge(t.Context(), "m", "run1", again.Number); err != nil {
		t.Error(err)
	}
	f.stop()

	// Acknowledged: nothing of the known one, missing to who knows nothing.
	f = watchFor(t, w, "m", dtc.WatchTarget{PID: a.pid, Known: first.Process, KnownBoot: w.boot})
	f.quiet(t)
	f.stop()
	f = watchFor(t, w, "m", pids(a.pid)...)
	f.is(t, a.pid, dtc.StateMissing)
	f.quiet(t)
}

func TestKnownIsGone(t *testing.T) {
	c := start(t, "exit 0")
	id := identify(t, c.pid)
	w := newWatcher(t)

	f := watchFor(t, w, "same", dtc.WatchTarget{PID: c.pid, Known: id, KnownBoot: w.boot})
	f.is(t, c.pid, dtc.StateAlive)
	f.quiet(t)

	t.Run("another process has its pid", func(t *testing.T) {
		known := dtc.ProcessID{PID: c.pid, Start: id.Start - 100}
		f := watchFor(t, w, "taken", dtc.WatchTarget{PID: c.pid, Known: known, KnownBoot: w.boot})
		dead := f.is(t, c.pid, dtc.StateDead)
		if dead.Process != known || dead.Exit.Kind != dtc.ExitUnknown || dead.Boot != w.boot || dead.Lived <= 0 {
			t.Errorf("told %+v", dead)
		}
		f.quiet(t)
		if seen, err := w.Check(t.Context(), "taken", nil, nil); err != nil || len(seen) != 0 {
			t.Errorf("the newcomer is watched: %+v, %v", seen, err)
		}
	})
	t.Run("another boot", func(t *testing.T) {
		f := watchFor(t, w, "boot", dtc.WatchTarget{PID: c.pid, Known: id, KnownBoot: "another"})
		dead := f.is(t, c.pid, dtc.StateDead)
		if dead.Process != id || dead.Boot != "another" || dead.Lived != dtc.Absent || dead.Exit.Kind != dtc.ExitUnknown {
			t.Errorf("told %+v", dead)
		}
		f.stop()
		f = watchFor(t, w, "boot", dtc.WatchTarget{PID: c.pid, Known: id, KnownBoot: "another"})
		if again := f.is(t, c.pid, dtc.StateDead); again.Number != dead.Number {
			t.Errorf("told twice: %+v and %+v", dead, again)
		}
		f.quiet(t)
	})
	c.kill()
	f.is(t, c.pid, dtc.StateDead)
	t.Run("nobody has its pid", func(t *testing.T) {
		f := watchFor(t, w, "nobody", dtc.WatchTarget{PID: c.pid, Known: id, KnownBoot: w.boot})
		dead := f.is(t, c.pid, dtc.StateDead)
		// On Windows somebody's handle may still tell the exit code.
		guessed := dead.Exit.Kind != dtc.ExitUnknown && runtime.GOOS != "windows"
		if dead.Process != id || guessed || dead.Age > 5*time.Second {
			t.Errorf("told %+v", dead)
		}
		f.quiet(t)
	})
}

func TestTwoAskers(t *testing.T) {
	c := start(t, "exit 4")
	w := newWatcher(t)
	a := watchFor(t, w, "a", pids(c.pid)...)
	a.is(t, c.pid, dtc.StateAlive)
	b := watchFor(t, w, "b", pids(c.pid)...)
	b.is(t, c.pid, dtc.StateAlive)
	w.mu.Lock()
	if len(w.held) != 1 {
		t.Errorf("%d processes are held for one", len(w.held))
	}
	w.mu.Unlock()
	c.end()
	x, y := a.is(t, c.pid, dtc.StateDead), b.is(t, c.pid, dtc.StateDead)
	if x.Exit != y.Exit || x.Exit.Number != 4 || x.Number == y.Number {
		t.Errorf("told %+v and %+v", x, y)
	}
	// What one has recorded is still the other's to hear again.
	if err := w.Acknowledge(t.Context(), "a", "run1", max(x.Number, y.Number)); err != nil {
		t.Error(err)
	}
	b.stop()
	b = watchFor(t, w, "b")
	b.is(t, c.pid, dtc.StateDead)
	a.stop()
	a = watchFor(t, w, "a")
	a.quiet(t)
}

func TestNewerCallTakesOver(t *testing.T) {
	c := start(t, "exit 0")
	w := newWatcher(t)
	old := watchFor(t, w, "m", pids(c.pid)...)
	old.is(t, c.pid, dtc.StateAlive)
	f := watchFor(t, w, "m", pids(c.pid)...)
	f.is(t, c.pid, dtc.StateAlive)
	wantKind(t, old.wait(), dtc.KindUnavailable)
	c.kill()
	f.is(t, c.pid, dtc.StateDead)
	if len(old.seen) != 0 {
		t.Errorf("the older call was told too: %+v", <-old.seen)
	}
}

func TestTargetsAreReplaced(t *testing.T) {
	a, b := start(t, "exit 0"), start(t, "exit 0")
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(a.pid)...)
	f.is(t, a.pid, dtc.StateAlive)
	f.stop()
	f = watchFor(t, w, "m", pids(b.pid)...)
	f.is(t, b.pid, dtc.StateAlive)
	a.kill()
	f.quiet(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) != 1 {
		t.Errorf("%d processes are held for one target", len(w.held))
	}
}

func TestAskerAwayLongestMakesRoom(t *testing.T) {
	c := start(t, "exit 0")
	w := newWatcher(t)
	feeds := map[string]*feed{}
	for _, asker := range []string{"1", "2", "3", "4"} {
		feeds[asker] = watchFor(t, w, asker, pids(c.pid)...)
		feeds[asker].is(t, c.pid, dtc.StateAlive)
	}
	fifth := watchFor(t, w, "5", pids(c.pid)...)
	wantKind(t, fifth.wait(), dtc.KindUnavailable)

	feeds["3"].stop()
	time.Sleep(5 * time.Millisecond)
	feeds["2"].stop()
	fifth = watchFor(t, w, "5", pids(c.pid)...)
	fifth.is(t, c.pid, dtc.StateAlive)
	if _, err := w.Check(t.Context(), "2", nil, nil); err != nil {
		t.Errorf("who went last was dropped: %v", err)
	}
	if _, err := w.Check(t.Context(), "3", nil, nil); err == nil {
		t.Error("who went first was kept")
	}
	c.kill()
	fifth.is(t, c.pid, dtc.StateDead)
	feeds["1"].is(t, c.pid, dtc.StateDead)
}

func TestPollsWhereTheSystemDoesNotTell(t *testing.T) {
	a, b := start(t, "exit 0"), start(t, "exit 0")
	w := newWatcher(t, func(w *Watcher) {
		w.newWaiter = func(func(*process, dtc.Exit, string)) (*waiter, error) { return nil, errors.ErrUnsupported }
	})
	f := watchFor(t, w, "m", pids(a.pid, b.pid)...)
	f.is(t, a.pid, dtc.StateAlive)
	f.is(t, b.pid, dtc.StateAlive)
	a.kill()
	f.is(t, a.pid, dtc.StateDead)
	f.stop()
	f = watchFor(t, w, "m")
	f.is(t, a.pid, dtc.StateDead)
	eventually(t, "the poller rests", func() bool {
		w.poll.mu.Lock()
		defer w.poll.mu.Unlock()
		return len(w.poll.procs) == 0
	})
}

func TestEmitFails(t *testing.T) {
	c := start(t, "exit 0")
	w := newWatcher(t)
	err := w.Watch(t.Context(), "m", dtc.Watching{Targets: pids(c.pid)}, func(dtc.Sighting) error { return errEmit })
	if !errors.Is(err, errEmit) {
		t.Errorf("Watch = %v", err)
	}
}

func TestWrongTargets(t *testing.T) {
	w := newWatcher(t)
	for name, targets := range map[string][]dtc.WatchTarget{
		"no pid":   pids(0),
		"negative": pids(-1),
		"twice":    pids(5, 6, 5),
		"too many": make([]dtc.WatchTarget, MaxTargets+1),
	} {
		t.Run(name, func(t *testing.T) {
			err := w.Watch(t.Context(), "m", dtc.Watching{Targets: targets}, func(dtc.Sighting) error { return nil })
			wantKind(t, err, dtc.KindInvalid)
		})
	}
}

func TestStops(t *testing.T) {
	c := start(t, "exit 0")
	w := New(Options{Run: "r", Logger: newWatcher(t).log})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	f := watchFor(t, w, "m", pids(c.pid)...) // waits for Run
	go func() { done <- w.Run(ctx) }()
	f.is(t, c.pid, dtc.StateAlive)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	wantKind(t, f.wait(), dtc.KindUnavailable)
	wantKind(t, w.Watch(t.Context(), "m", dtc.Watching{}, nil), dtc.KindUnavailable)
	_, err := w.Check(t.Context(), "m", nil, nil)
	wantKind(t, err, dtc.KindUnavailable)
}

func TestQueueIsBounded(t *testing.T) {
	w := New(Options{Run: "r", Logger: newWatcher(t).log})
	c, err := w.begin("m")
	if err != nil {
		t.Fatal(err)
	}
	s := c.session
	w.mu.Lock()
	for i := range MaxQueue + 10 {
		w.keepSighting(s, dtc.Sighting{State: dtc.StateDead, Process: dtc.ProcessID{PID: i + 1}}, 0)
	}
	w.mu.Unlock()
	if s.lost != 10 || len(s.kept) != MaxQueue {
		t.Errorf("lost %d, kept %d", s.lost, len(s.kept))
	}
	for want := uint64(11); want <= MaxQueue+10; want++ {
		e, err := w.next(c)
		if err != nil || e == nil || e.sighting.Number != want {
			t.Fatalf("next = %+v, %v; want number %d", e, err, want)
		}
	}
	if err := w.Acknowledge(t.Context(), "m", "r", 15); err != nil {
		t.Error(err)
	}
	if len(s.kept) != MaxQueue-5 || s.given != MaxQueue-5 || s.lost != 0 {
		t.Errorf("after 15 were acknowledged %d are kept, %d given, %d lost", len(s.kept), s.given, s.lost)
	}
}

func TestLookNeverBlocksTheOthers(t *testing.T) {
	c := start(t, "exit 0")
	w := newWatcher(t)
	slow := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- w.Watch(t.Context(), "slow", dtc.Watching{Targets: pids(c.pid)}, func(dtc.Sighting) error {
			<-slow
			return errEmit
		})
	}()
	f := watchFor(t, w, "quick", pids(c.pid)...)
	f.is(t, c.pid, dtc.StateAlive)
	c.kill()
	f.is(t, c.pid, dtc.StateDead)
	close(slow)
	<-done
}

func TestSinceStart(t *testing.T) {
	c := start(t, "exit 0")
	seen, err := proc.Look(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	if got := sinceStart(seen.ID); got < seen.Lived-50*time.Millisecond || got > seen.Lived+2*time.Second {
		t.Errorf("sinceStart = %v, proc says %v", got, seen.Lived)
	}
}
