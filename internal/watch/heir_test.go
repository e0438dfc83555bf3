package watch

import (
	"slices"
	"testing"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// tellHeir tells all searches of a process, as a finder would.
func tellHeir(t *testing.T, w *Watcher, pid int) {
	t.Helper()
	seen, err := proc.Look(pid)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "somebody is looked for", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.rules.linesBy) > 0
	})
	w.mu.Lock()
	var sels []*selector
	for sel := range w.rules.linesBy {
		sels = append(sels, sel)
	}
	w.mu.Unlock()
	for _, sel := range sels {
		w.cameTo(sel, found{seen: seen})
		w.cameTo(sel, found{seen: seen})
	}
}

func searches(w *Watcher) (lines, ends int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.rules.lines), w.rules.dying
}

func TestReplaced(t *testing.T) {
	a, b, sibling := start(t, "exit 3"), start(t, "exit 0"), start(t, "exit 0")
	finder := newFakeFinder()
	w := newWatcher(t, finds(finder))
	f := watchFor(t, w, "m", pids(a.pid, b.pid, sibling.pid)...)
	first := f.is(t, a.pid, dtc.StateAlive)
	f.is(t, b.pid, dtc.StateAlive)
	f.is(t, sibling.pid, dtc.StateAlive)
	if lines, _ := searches(w); lines != 0 || finder.countScans() != 0 {
		t.Errorf("somebody is looked for before an end")
	}
	a.end()
	f.is(t, a.pid, dtc.StateDead)
	b.end()
	f.is(t, b.pid, dtc.StateDead)
	if lines, ends := searches(w); lines != 1 || ends != 2 {
		t.Errorf("%d command lines of %d ends are looked for", lines, ends)
	}
	tellHeir(t, w, sibling.pid) // who was there before
	f.quiet(t)

	n := start(t, "exit 0")
	tellHeir(t, w, n.pid)
	s := f.is(t, a.pid, dtc.StateReplaced)
	if s.Process != first.Process || s.NewPID != n.pid || s.Gap <= 0 || s.Gap > time.Minute || s.Name == "" || s.Number == 0 || s.Rule != "" {
		t.Errorf("replaced as %+v", s)
	}
	f.quiet(t)
	f.stop()

	// The search goes on when the asker is away, and even if it gives the target
	// no more. What it finds is kept.
	f = watchFor(t, w, "m", pids(sibling.pid)...)
	f.is(t, a.pid, dtc.StateDead)
	f.is(t, b.pid, dtc.StateDead)
	f.is(t, a.pid, dtc.StateReplaced)
	f.is(t, sibling.pid, dtc.StateAlive)
	f.stop()
	m := start(t, "exit 0")
	tellHeir(t, w, m.pid)
	f = watchFor(t, w, "m")
	f.is(t, a.pid, dtc.StateDead)
	f.is(t, b.pid, dtc.StateDead)
	f.is(t, a.pid, dtc.StateReplaced)
	if s := f.is(t, b.pid, dtc.StateReplaced); s.NewPID != m.pid {
		t.Errorf("replaced as %+v", s)
	}
	eventually(t, "the search is over", func() bool {
		lines, ends := searches(w)
		return lines == 0 && ends == 0
	})
	eventually(t, "the finder is told", func() bool {
		finder.mu.Lock()
		defer finder.mu.Unlock()
		return len(finder.wanted) == 0
	})
}

func TestReplacedForEachAsker(t *testing.T) {
	a := start(t, "exit 0")
	w := newWatcher(t, finds(newFakeFinder()))
	f, g := watchFor(t, w, "m", pids(a.pid)...), watchFor(t, w, "n", pids(a.pid)...)
	f.is(t, a.pid, dtc.StateAlive)
	g.is(t, a.pid, dtc.StateAlive)
	a.kill()
	f.is(t, a.pid, dtc.StateDead)
	g.is(t, a.pid, dtc.StateDead)
	n := start(t, "exit 0")
	tellHeir(t, w, n.pid)
	f.is(t, a.pid, dtc.StateReplaced)
	g.is(t, a.pid, dtc.StateReplaced)
	f.quiet(t)
}

func TestHeirsAreLookedForInTime(t *testing.T) {
	w := New(Options{Run: "r", Logger: newWatcher(t).log})
	c, err := w.begin("m")
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	dies := func(pid int, command string, at time.Duration) {
		p := &process{id: dtc.ProcessID{PID: pid, Start: 1}, vitals: vitals{command: newShared(command)}}
		w.awaitHeir(c.session, p, &ending{at: at})
	}
	dies(1, "", time.Hour) // not known
	dies(2, "a", time.Hour)
	dies(3, "a", time.Hour+time.Second)
	dies(4, "b", time.Hour+2*time.Second)
	if next := w.expireHeirs(time.Hour + heirTime - 1); next != time.Hour+heirTime || w.rules.dying != 3 {
		t.Errorf("of %d ends the next is over at %v", w.rules.dying, next)
	}
	if next := w.expireHeirs(time.Hour + heirTime); next != time.Hour+heirTime+time.Second || w.rules.dying != 2 {
		t.Errorf("of %d ends the next is over at %v", w.rules.dying, next)
	}
	if next := w.expireHeirs(2 * time.Hour); next != never || len(w.rules.lines)+w.rules.dying != 0 {
		t.Errorf("%d searches are not over", len(w.rules.lines))
	}
	for i := range maxLines + 1 {
		dies(i+1, "c"+string(rune('ä'+i)), time.Hour)
	}
	if len(w.rules.lines) != maxLines {
		t.Errorf("%d command lines are looked for", len(w.rules.lines))
	}
	for i := range 2 * maxEnds {
		dies(i+1, "cä", time.Hour)
	}
	if w.rules.dying != maxEnds {
		t.Errorf("%d ends are looked for", w.rules.dying)
	}
	w.dropHeirs(c.session)
	if w.rules.dying != 0 {
		t.Errorf("%d ends are looked for of nobody", w.rules.dying)
	}
}

func TestExactly(t *testing.T) {
	long := slices.Repeat([]byte{'x'}, maxCommand)
	for command, want := range map[string]string{
		"a.out (x) [1]": `^a\.out \(x\) \[1\]$`,
		string(long):    "^" + string(long),
	} {
		if got := exactly(command); got != want {
			t.Errorf("exactly(%q) = %q", command, got)
		}
	}
}
