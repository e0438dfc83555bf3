package watch

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"dtc"
)

// unseen fails unless a sighting tells an end that nobody saw, between two
// moments.
func unseen(t *testing.T, s dtc.Sighting, after, before time.Time) {
	t.Helper()
	earliest, latest := time.Now().Add(-s.AgeMost), time.Now().Add(-s.Age)
	if s.AgeMost <= s.Age || earliest.After(after) || latest.Before(before.Add(-time.Second)) {
		t.Errorf("ended between %v and %v, want it around %v to %v: %+v", earliest, latest, after, before, s)
	}
	guessed := s.Exit.Kind != dtc.ExitUnknown && runtime.GOOS != "windows"
	if guessed || s.Lived <= 0 {
		t.Errorf("told %+v", s)
	}
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "watch")
	a, b, c := start(t, "exit 3"), start(t, "exit 0"), start(t, "exit 0")
	w := startRun(t, dir, "run1")
	f := watchFor(t, w.Watcher, "m", pids(a.pid, b.pid, c.pid)...)
	for _, child := range []*child{a, b, c} {
		f.is(t, child.pid, dtc.StateAlive)
	}
	a.end()
	first := f.is(t, a.pid, dtc.StateDead)
	w.stop()
	if s := f.is(t, 0, dtc.StateStopped); s.Number != 0 || s.Run != "run1" || s.Boot != w.boot {
		t.Errorf("the last word is %+v", s)
	}
	wantKind(t, f.wait(), dtc.KindUnavailable)

	id, died := identify(t, b.pid), time.Now()
	b.kill()
	time.Sleep(300 * time.Millisecond)
	w = startRun(t, dir, "run2")
	restarted := time.Now()
	w.mu.Lock()
	if n := len(w.held); n != 1 {
		t.Errorf("%d processes are held, want the one that is there", n)
	}
	w.mu.Unlock()
	f = watchFor(t, w.Watcher, "m", pids(a.pid, b.pid, c.pid)...)
	again := f.is(t, a.pid, dtc.StateDead)
	if again.Run != "run1" || again.Number != first.Number || again.Exit != first.Exit || again.Lived != first.Lived ||
		again.Name != first.Name || again.Boot != first.Boot || again.AgeMost != 0 {
		t.Errorf("told again as %+v, first as %+v", again, first)
	}
	if again.Age < 300*time.Millisecond || again.Age > time.Since(died)+5*time.Second {
		t.Errorf("it was %v ago", again.Age)
	}
	gone := f.is(t, b.pid, dtc.StateDead)
	unseen(t, gone, died, restarted)
	if gone.Run != "run2" || gone.Process != id || gone.Boot != w.boot || gone.Reason != "" || gone.Name == "" {
		t.Errorf("found gone: %+v", gone)
	}
	f.is(t, c.pid, dtc.StateAlive)
	f.quiet(t)

	// What is seen from now on is exact again. Another restart tells the same.
	c.kill()
	exact := f.is(t, c.pid, dtc.StateDead)
	if exact.AgeMost != 0 || exact.Run != "run2" {
		t.Errorf("told %+v", exact)
	}
	w.ack(t, "m", again)
	w.stop()
	w = startRun(t, dir, "run3")
	f = watchFor(t, w.Watcher, "m", pids(a.pid, b.pid, c.pid)...)
	if s := f.is(t, b.pid, dtc.StateDead); s.Run != "run2" || s.Number != gone.Number || s.AgeMost-s.Age-(gone.AgeMost-gone.Age) > time.Millisecond {
		t.Errorf("told again as %+v, first as %+v", s, gone)
	}
	if s := f.is(t, c.pid, dtc.StateDead); s.Run != "run2" || s.Number != exact.Number || s.Exit != exact.Exit {
		t.Errorf("told again as %+v, first as %+v", s, exact)
	}
	f.is(t, a.pid, dtc.StateMissing) // recorded, and no process any more
	w.ack(t, "m", exact)
	f.stop()
	w.stop()
	w = startRun(t, dir, "run4")
	f = watchFor(t, w.Watcher, "m", pids(b.pid)...)
	f.is(t, b.pid, dtc.StateMissing)
	f.quiet(t)
}

func TestAcknowledgeOverRuns(t *testing.T) {
	add := func(w *Watcher, s *session, run string, numbers ...uint64) {
		for _, n := range numbers {
			w.restoreKept(s, entry{sighting: dtc.Sighting{Run: run, Number: n, State: dtc.StateDead}})
		}
	}
	for _, c := range []struct {
		run    string
		number uint64
		left   int
	}{
		{"one", 3, 7},
		{"one", 4, 7},
		{"one", 5, 6},
		{"one", 2, 8},
		{"one", 9, 6},
		{"two", 0, 6},
		{"two", 1, 5},
		{"two", 2, 4},
		{"two", 100, 4},
		{"this", 1, 4},
		{"this", 5, 3},
		{"this", 7, 2},
		{"this", 9, 0},
		{"this", 100, 0},
		{"none", 100, 8},
	} {
		w := New(Options{Run: "this", Logger: slog.New(slog.DiscardHandler)})
		s := newSession("m")
		w.sessions["m"] = s
		add(w, s, "one", 3, 5)
		add(w, s, "two", 1, 2)
		add(w, s, "this", 5, 7, 8, 9)
		if err := w.Acknowledge(t.Context(), "m", c.run, c.number); err != nil {
			t.Error(err)
		}
		if len(s.kept) != c.left {
			t.Errorf("%s-%d leaves %d, want %d", c.run, c.number, len(s.kept), c.left)
		}
	}
}

func TestAnotherBoot(t *testing.T) {
	dir, a, b, dead := ended(t)
	id := identify(t, b.pid)
	boot := dead.Boot
	rename := func(data []byte) []byte { return bytes.ReplaceAll(data, []byte(boot), []byte("former-boot")) }
	editJournal(t, dir, rename)
	alive, err := os.ReadFile(filepath.Join(dir, aliveName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, aliveName), rename(alive), 0o600); err != nil {
		t.Fatal(err)
	}

	w := startRun(t, dir, "run2")
	f := watchFor(t, w.Watcher, "m", pids(a.pid, b.pid)...)
	again := f.is(t, a.pid, dtc.StateDead)
	if again.Run != "run1" || again.Exit.Number != 3 || again.Boot != "former-boot" || again.AgeMost != 0 || again.Age < now()-time.Second {
		t.Errorf("told again as %+v, %v after the boot", again, now())
	}
	gone := f.is(t, b.pid, dtc.StateDead)
	if gone.Process != id || gone.Boot != "former-boot" || gone.Reason != reasonRebooted || gone.Exit.Kind != dtc.ExitUnknown {
		t.Errorf("told %+v", gone)
	}
	// The process is told to be of a former boot, and was there in this one, so
	// that its bounds are as narrow as can be: the begin of this boot.
	if gone.Age < now()-time.Second || gone.AgeMost <= gone.Age || gone.AgeMost > gone.Age+time.Minute {
		t.Errorf("told %+v, %v after the boot", gone, now())
	}
	f.quiet(t)
}

func TestLongAwayIsForgotten(t *testing.T) {
	dir, _, b, dead := ended(t)
	ago := time.Now().Add(-forgetAfter - time.Hour).UnixNano()
	editJournal(t, dir, func(data []byte) []byte {
		var out []byte
		for line := range bytes.Lines(data) {
			if !bytes.Contains(line, []byte(`"session"`)) {
				out = append(out, line...)
			}
		}
		return append(out, []byte("{\"asker\":\"m\",\"session\":{\"left_ns\":"+jsonNumber(ago)+"}}\n{\"done\":true}\n")...)
	})
	w := startRun(t, dir, "run2")
	w.mu.Lock()
	if len(w.sessions)+len(w.held) != 0 {
		t.Errorf("%d sessions, %d processes are held", len(w.sessions), len(w.held))
	}
	w.mu.Unlock()
	f := watchFor(t, w.Watcher, "m", dtc.WatchTarget{PID: b.pid, Known: identify(t, b.pid), KnownBoot: dead.Boot})
	f.is(t, b.pid, dtc.StateAlive)
	f.quiet(t)
	f.stop()

	// While it runs, too.
	w.mu.Lock()
	w.sessions["m"].left = now() - forgetAfter - time.Hour
	w.mu.Unlock()
	w.forgetOld()
	w.mu.Lock()
	if len(w.sessions)+len(w.held) != 0 {
		t.Errorf("%d sessions, %d processes are held", len(w.sessions), len(w.held))
	}
	w.mu.Unlock()
	w.stop()
	w = startRun(t, dir, "run3")
	if len(w.sessions) != 0 {
		t.Error("it is remembered")
	}
}

func TestLastWord(t *testing.T) {
	c := start(t, "exit 0")
	w := startRun(t, t.TempDir(), "run1")
	block := make(chan struct{})
	blocked := make(chan error, 1)
	go func() { // somebody who takes nothing does not keep the others waiting for ever
		blocked <- w.Watch(t.Context(), "slow", dtc.Watching{Targets: pids(c.pid)}, func(dtc.Sighting) error {
			<-block
			return errEmit
		})
	}()
	a, b := watchFor(t, w.Watcher, "a", pids(c.pid)...), watchFor(t, w.Watcher, "b", pids(c.pid)...)
	a.is(t, c.pid, dtc.StateAlive)
	b.is(t, c.pid, dtc.StateAlive)
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	for _, f := range []*feed{a, b} {
		if s := f.is(t, 0, dtc.StateStopped); s.Process != (dtc.ProcessID{}) || s.Number != 0 || s.Run != "run1" || s.Boot == "" {
			t.Errorf("the last word is %+v", s)
		}
		wantKind(t, f.wait(), dtc.KindUnavailable)
	}
	close(block)
	<-blocked
}
