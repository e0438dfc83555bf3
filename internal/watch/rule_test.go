package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"dtc"
	"dtc/internal/proc"
)

func TestRuleTellsItsProcesses(t *testing.T) {
	t.Parallel() // it mostly waits
	a, b, n := start(t, "exit 3"), start(t, "exit 4"), start(t, "exit 5")
	finder := newFakeFinder()
	finder.set("web", a.pid, b.pid)
	w := newWatcher(t, finds(finder))
	r := ruleCalled("web")
	r.Min, r.Max = 2, 2
	f := watchRules(t, w, r)
	first := f.of(t, "web", a.pid, dtc.StateAlive)
	if first.Process != identify(t, a.pid) || first.Name == "" {
		t.Errorf("alive as %+v", first)
	}
	f.all(t, "web", line("alive", b.pid), "normal 2")

	finder.add(t, n.pid, "web")
	if s := f.of(t, "web", n.pid, dtc.StateAlive); s.Process != identify(t, n.pid) {
		t.Errorf("alive as %+v", s)
	}
	f.all(t, "web", "count 3")
	a.end()
	dead := f.of(t, "web", a.pid, dtc.StateDead)
	if want := (dtc.Exit{Kind: dtc.ExitCode, Number: 3}); dead.Exit != want || dead.Lived <= 0 || dead.Process != first.Process {
		t.Errorf("dead as %+v", dead)
	}
	f.all(t, "web", "normal 2")
	b.end()
	f.all(t, "web", line("dead", b.pid), "count 1")
	n.end()
	f.all(t, "web", line("dead", n.pid), "missing 0")
	f.quiet(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) != 0 {
		t.Errorf("%d processes are held that have ended", len(w.held))
	}
}

func TestRuleOverCalls(t *testing.T) {
	a, n := start(t, "exit 0"), start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	w := newWatcher(t, finds(finder))
	f := watchRules(t, w, ruleCalled("web"))
	f.all(t, "web", line("alive", a.pid), "normal 1")
	f.stop()

	// What happens between calls is kept, and is not told a second time as how
	// things stand.
	finder.add(t, n.pid, "web")
	a.kill()
	eventually(t, "the end is noticed", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.sessions["m"].kept) == 2
	})
	scans := finder.countScans()
	f = watchRules(t, w, ruleCalled("web"))
	f.all(t, "web", line("alive", n.pid))
	dead := f.of(t, "web", a.pid, dtc.StateDead)
	f.all(t, "web", "normal 1")
	f.quiet(t)
	f.stop()
	if err := w.Acknowledge(t.Context(), "m", "run1", dead.Number); err != nil {
		t.Error(err)
	}
	f = watchRules(t, w, ruleCalled("web"))
	f.all(t, "web", line("alive", n.pid), "normal 1")
	f.quiet(t)
	f.stop()
	if now := finder.countScans(); now != scans {
		t.Errorf("a rule that goes on was looked for %d times", now-scans)
	}

	n.kill()
	eventually(t, "it is missed", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.sessions["m"].kept) == 2
	})
	f = watchRules(t, w, ruleCalled("web"))
	f.all(t, "web", line("dead", n.pid), "missing 0")
	f.quiet(t)
}

func TestRulesChange(t *testing.T) {
	a, b := start(t, "exit 0"), start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	finder.set("db", b.pid)
	w := newWatcher(t, finds(finder))
	f := watchRules(t, w, ruleCalled("web"), ruleCalled("db"))
	f.all(t, "web", line("alive", a.pid), "normal 1")
	f.all(t, "db", line("alive", b.pid), "normal 1")
	f.stop()

	t.Run("of other bounds", func(t *testing.T) {
		r := ruleCalled("web")
		r.Min = 2
		f := watchRules(t, w, r, ruleCalled("db"))
		f.all(t, "web", line("alive", a.pid), "count 1")
		f.all(t, "db", line("alive", b.pid), "normal 1")
		f.quiet(t)
	})
	t.Run("of another condition", func(t *testing.T) {
		r := ruleCalled("web")
		r.Match, r.KnownBoot, r.Known = "other", w.boot, []dtc.ProcessID{identify(t, a.pid), {PID: 1, Start: 1}}
		finder.set("web", b.pid)
		f := watchRules(t, w, r)
		f.all(t, "web", line("alive", b.pid), "normal 1")
		a.kill() // nobody's
		f.quiet(t)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.held) != 1 {
			t.Errorf("%d processes are held for one", len(w.held))
		}
	})
	t.Run("none", func(t *testing.T) {
		f := watchRules(t, w)
		eventually(t, "it has no rules", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.sessions["m"].rules) == 0
		})
		b.kill()
		f.quiet(t)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.held)+len(w.sessions["m"].rules) != 0 {
			t.Errorf("%d processes are held for nobody", len(w.held))
		}
	})
}

// TestDroppedRuleTellsWhoWaits shows that an end is told even if nobody looks
// for a successor any more.
func TestDroppedRuleTellsWhoWaits(t *testing.T) {
	a := start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	w := newWatcher(t, finds(finder))
	r := ruleCalled("web")
	r.RestartWithin = time.Hour
	f := watchRules(t, w, r)
	f.all(t, "web", line("alive", a.pid), "normal 1")
	a.kill()
	eventually(t, "the end waits", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.sessions["m"].rules["web"].machine.waiting) == 1
	})
	f.quiet(t)
	f = watchRules(t, w)
	f.all(t, "web", line("dead", a.pid))
	f.quiet(t)
}

func TestRuleThatGivesNoTimeAnyMore(t *testing.T) {
	a := start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	w := newWatcher(t, finds(finder))
	r := ruleCalled("web")
	r.RestartWithin = time.Hour
	f := watchRules(t, w, r)
	f.all(t, "web", line("alive", a.pid), "normal 1")
	a.kill()
	f.quiet(t)
	f = watchRules(t, w, ruleCalled("web"))
	f.all(t, "web", line("dead", a.pid), "missing 0")
	f.quiet(t)
}

func TestRuleOfOneAskerAndPIDOfAnother(t *testing.T) {
	a := start(t, "exit 6")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	finder.set("all", a.pid)
	w := newWatcher(t, finds(finder))
	f := watchAll(t, w, "m", dtc.Watching{Targets: pids(a.pid), Rules: []dtc.ProcessRule{ruleCalled("web"), ruleCalled("all")}})
	f.all(t, "", line("alive", a.pid))
	f.all(t, "web", line("alive", a.pid), "normal 1")
	f.all(t, "all", line("alive", a.pid), "normal 1")
	other := watchAll(t, w, "n", dtc.Watching{Rules: []dtc.ProcessRule{ruleCalled("web")}})
	other.all(t, "web", line("alive", a.pid), "normal 1")
	a.end()
	told := map[string]int{}
	for range 5 {
		s := f.next(t)
		if s.State == dtc.StateDead && s.Exit.Number != 6 {
			t.Errorf("saw %+v", s)
		}
		told[s.Rule+" "+string(s.State)]++
	}
	for _, want := range []string{" dead", "web dead", "web missing", "all dead", "all missing"} {
		if told[want] != 1 {
			t.Errorf("told %v", told)
		}
	}
	other.all(t, "web", line("dead", a.pid), "missing 0")
}

func TestRuleRestartedInTime(t *testing.T) {
	a, b := start(t, "exit 0"), start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	finder.set("all", a.pid)
	w := newWatcher(t, finds(finder))
	r := ruleCalled("web")
	r.RestartWithin = time.Hour
	f := watchRules(t, w, r, ruleCalled("all"))
	f.all(t, "web", line("alive", a.pid), "normal 1")
	f.all(t, "all", line("alive", a.pid), "normal 1")
	b.kill()
	a.end()
	f.all(t, "all", line("dead", a.pid), "missing 0")
	f.quiet(t)
	n := start(t, "exit 0")
	finder.add(t, n.pid, "web", "all")
	s := f.of(t, "web", a.pid, dtc.StateRestarted)
	if s.NewPID != n.pid || s.Gap <= 0 || s.Gap > time.Minute || s.Exit != (dtc.Exit{Kind: dtc.ExitCode}) || s.Lived <= 0 || s.Age < s.Gap {
		t.Errorf("restarted as %+v", s)
	}
	f.all(t, "web", line("alive", n.pid))
	f.all(t, "all", line("alive", n.pid), "normal 1")
	f.quiet(t)
}

func TestRuleRestartedTooLate(t *testing.T) {
	t.Parallel() // it mostly waits
	a := start(t, "exit 9")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	w := newWatcher(t, finds(finder))
	r := ruleCalled("web")
	r.RestartWithin = 2 * time.Second
	f := watchRules(t, w, r)
	f.all(t, "web", line("alive", a.pid), "normal 1")
	a.end()
	dead := f.of(t, "web", a.pid, dtc.StateDead)
	if dead.Exit.Number != 9 || dead.Age < r.RestartWithin || dead.Age > 10*time.Second {
		t.Errorf("dead as %+v", dead)
	}
	f.all(t, "web", "missing 0")
	n := start(t, "exit 0")
	finder.add(t, n.pid, "web")
	f.all(t, "web", line("alive", n.pid), "normal 1")

	// And one that comes in time and that nobody has told of.
	n.end()
	m := start(t, "exit 0")
	finder.set("web", m.pid)
	if s := f.of(t, "web", n.pid, dtc.StateRestarted); s.NewPID != m.pid {
		t.Errorf("restarted as %+v", s)
	}
	f.all(t, "web", line("alive", m.pid))
}

func TestRuleOfWhoHasEndedMeanwhile(t *testing.T) {
	a, b := start(t, "exit 0"), start(t, "exit 0")
	finder := newFakeFinder()
	w := newWatcher(t, finds(finder))
	f := watchRules(t, w, ruleCalled("web"))
	f.all(t, "web", "missing 0")
	seen, err := proc.Look(a.pid)
	if err != nil {
		t.Fatal(err)
	}
	a.kill()
	finder.news <- func(came func(*selector, found)) {
		came(finder.wanted[0], found{seen: seen}) // a look of before its end
	}
	f.all(t, "web", line("alive", a.pid), "normal 1", line("dead", a.pid), "missing 0")
	finder.news <- func(came func(*selector, found)) {
		came(finder.wanted[0], found{seen: seen}) // and once more
		came(&selector{}, found{seen: seen})      // for nobody
	}
	finder.add(t, b.pid, "web")
	f.all(t, "web", line("alive", b.pid), "normal 1")
	f.quiet(t)
}

// TestRuleWhileItIsLookedFor shows that who comes during the first look is not
// lost, and that a call which breaks off then leaves it to the next.
func TestRuleWhileItIsLookedFor(t *testing.T) {
	a, n := start(t, "exit 0"), start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	finder.pause = make(chan chan struct{})
	w := newWatcher(t, finds(finder))
	f := watchRules(t, w, ruleCalled("web"))
	goOn := <-finder.pause
	f.cancel()
	close(goOn)
	wantKind(t, f.wait(), 0)

	f = watchRules(t, w, ruleCalled("web"))
	goOn = <-finder.pause
	finder.set("web")
	finder.add(t, a.pid, "web") // as a finder does with those that are there
	finder.add(t, n.pid, "web")
	close(goOn)
	f.all(t, "web", line("alive", n.pid), line("alive", a.pid), "normal 2")
	f.quiet(t)
	w.mu.Lock()
	if kept := len(w.sessions["m"].kept); kept != 1 {
		t.Errorf("%d newcomers are told for one", kept)
	}
	w.mu.Unlock()
	n.kill()
	f.all(t, "web", line("dead", n.pid))
}

func TestRuleIsChecked(t *testing.T) {
	a, b, n := start(t, "exit 0"), start(t, "exit 0"), start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid, b.pid)
	w := newWatcher(t, finds(finder))
	f := watchAll(t, w, "m", dtc.Watching{Targets: pids(b.pid), Rules: []dtc.ProcessRule{ruleCalled("web"), ruleCalled("none")}})
	f.all(t, "", line("alive", b.pid))
	f.all(t, "web", line("alive", a.pid), line("alive", b.pid), "normal 2")
	f.all(t, "none", "missing 0")

	check := func(pids []int, rules []string, want ...string) []dtc.Sighting {
		t.Helper()
		seen, err := w.Check(t.Context(), "m", pids, rules)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range seen {
			if s.Number != 0 {
				t.Errorf("Check tells %+v", s)
			}
			got = append(got, fmt.Sprintf("%s %s %d", s.Rule, s.State, s.Process.PID))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("Check tells %q, want %q", got, want)
		}
		return seen
	}
	webA, webB := "web alive "+fmt.Sprint(a.pid), "web alive "+fmt.Sprint(b.pid)
	check(nil, nil, " alive "+fmt.Sprint(b.pid), "none missing 0", webA, webB)
	check(nil, []string{"web"}, webA, webB)
	check([]int{b.pid}, []string{"none", "nobody's"}, " alive "+fmt.Sprint(b.pid), "none missing 0")
	f.quiet(t)

	// One that came unnoticed is taken in, and told as an event.
	finder.set("web", a.pid, b.pid, n.pid)
	check(nil, []string{"web"}, webA, webB)
	came := f.of(t, "web", n.pid, dtc.StateAlive)
	if err := w.Acknowledge(t.Context(), "m", came.Run, came.Number); err != nil {
		t.Error(err)
	}
	check(nil, []string{"web"}, webA, webB, "web alive "+fmt.Sprint(n.pid))
	n.kill()
	f.all(t, "web", line("dead", n.pid))

	finder.fail("web", errors.New("ask the system: no answer"))
	for _, s := range check(nil, []string{"web"}, webA, webB) {
		if s.Reason != "it cannot be said how many there are: ask the system: no answer" {
			t.Errorf("Check tells %+v", s)
		}
	}
	finder.fail("none", fmt.Errorf("no such unit: %w", fs.ErrNotExist))
	check(nil, []string{"none"}, "none missing 0")
	f.quiet(t)
}

func TestRuleTakesUpKnown(t *testing.T) {
	a, stray, gone, n := start(t, "exit 0"), start(t, "exit 0"), start(t, "exit 0"), start(t, "exit 0")
	goneID := identify(t, gone.pid)
	gone.kill()
	finder := newFakeFinder()
	finder.set("web", a.pid, n.pid)
	w := newWatcher(t, finds(finder))
	r := ruleCalled("web")
	r.KnownBoot = w.boot
	r.Known = []dtc.ProcessID{identify(t, a.pid), identify(t, stray.pid), goneID}
	f := watchRules(t, w, r)
	dead := f.of(t, "web", gone.pid, dtc.StateDead)
	if dead.Process != goneID || dead.AgeMost <= 0 {
		t.Errorf("dead as %+v", dead)
	}
	if s := f.of(t, "web", n.pid, dtc.StateAlive); s.Number < dead.Number {
		t.Errorf("the newcomer is told as %+v, after %+v", s, dead)
	}
	f.all(t, "web", line("alive", a.pid), line("alive", stray.pid), "normal 2")
	f.quiet(t)
	f.stop()

	// Again, with the death on its way, and once it is recorded.
	f = watchRules(t, w, r)
	f.all(t, "web", line("dead", gone.pid), line("alive", n.pid), line("alive", a.pid), line("alive", stray.pid), "normal 2")
	f.quiet(t)
	stray.kill()
	f.all(t, "web", line("dead", stray.pid))
	f.stop()

	// One of another boot is dead, even if there is one like it.
	r = ruleCalled("web")
	r.KnownBoot, r.Known = "another", []dtc.ProcessID{identify(t, a.pid)}
	f = watchAll(t, w, "n", dtc.Watching{Rules: []dtc.ProcessRule{r}})
	if s := f.of(t, "web", a.pid, dtc.StateDead); s.Boot != "another" || s.Lived != dtc.Absent {
		t.Errorf("dead as %+v", s)
	}
	f.all(t, "web", line("alive", a.pid), line("alive", n.pid), "normal 2")
}

// TestRuleTakesUpWhatItMissed shows that an end is told which the agent, killed
// in that moment, never came to write down that it watches.
func TestRuleTakesUpWhatItMissed(t *testing.T) {
	a, late, gone := start(t, "exit 0"), start(t, "exit 0"), start(t, "exit 0")
	goneID := identify(t, gone.pid)
	gone.kill()
	finder := newFakeFinder()
	finder.set("web", a.pid)
	w := newWatcher(t, finds(finder))
	f := watchRules(t, w, ruleCalled("web"))
	f.all(t, "web", line("alive", a.pid), "normal 1")
	r := ruleCalled("web")
	r.KnownBoot, r.Known = w.boot, []dtc.ProcessID{identify(t, a.pid), identify(t, late.pid), goneID}
	finder.set("web", a.pid, late.pid)
	f = watchRules(t, w, r)
	told := map[string]int{}
	for range 4 {
		s := f.next(t)
		told[line(s.State, s.Process.PID)]++
	}
	for _, want := range []string{line("dead", gone.pid), line("alive", a.pid), line("alive", late.pid), "normal 0"} {
		if told[want] != 1 {
			t.Errorf("told %v, want %s once", told, want)
		}
	}
	f.quiet(t)
}

// TestRuleTellsNobodyTwiceOverARestart gives an agent that was started anew a
// process as known whose end is on its way.
func TestRuleTellsNobodyTwiceOverARestart(t *testing.T) {
	a, gone := start(t, "exit 0"), start(t, "exit 0")
	finder, dir := newFakeFinder(), t.TempDir()
	finder.set("web", a.pid)
	r := ruleCalled("web")
	r.Known = []dtc.ProcessID{identify(t, a.pid), identify(t, gone.pid)}
	gone.kill()
	for i := range 3 {
		w := startRun(t, dir, fmt.Sprint("run", i), finds(finder))
		r.KnownBoot = w.boot
		f := watchRules(t, w.Watcher, r)
		if s := f.of(t, "web", gone.pid, dtc.StateDead); s.Run != "run0" {
			t.Errorf("told again as %+v", s)
		}
		f.all(t, "web", line("alive", a.pid), "normal 1")
		f.quiet(t)
		_ = f.stop()
		w.stop()
	}
}

func TestWrongRules(t *testing.T) {
	w := newWatcher(t, finds(newFakeFinder()))
	for name, rules := range map[string][]dtc.ProcessRule{
		"no name":  {{Match: "x"}},
		"twice":    {ruleCalled("a"), ruleCalled("b"), ruleCalled("a")},
		"too many": make([]dtc.ProcessRule, maxRules+1),
	} {
		t.Run(name, func(t *testing.T) {
			err := w.Watch(t.Context(), "m", dtc.Watching{Rules: rules}, func(dtc.Sighting) error { return nil })
			wantKind(t, err, dtc.KindInvalid)
		})
	}
}
