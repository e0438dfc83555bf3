package watch

import (
	"context"
	"testing"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// mourner is an owner that remembers how its processes ended.
type mourner struct{ ends []ending }

func (m *mourner) ended(_ *Watcher, _ *process, end *ending) { m.ends = append(m.ends, *end) }

// TestEndBeforeItIsWaitedFor has a process end after it was looked at, and before
// the system is asked to tell its end: nobody knows when, but for the bounds.
func TestEndBeforeItIsWaitedFor(t *testing.T) {
	c := start(t, "exit 3")
	w := newWatcher(t)
	seen, err := proc.Look(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	looked := now()
	time.Sleep(50 * time.Millisecond)
	c.end()
	died := now()
	o := &mourner{}
	p := w.holdFor(o, seen)
	if len(o.ends) != 1 {
		t.Fatalf("told %d ends", len(o.ends))
	}
	end := o.ends[0]
	if end.since == 0 || end.since > looked || end.since < looked-time.Second || end.at < died {
		t.Errorf("it ended between %v and %v; it was looked at %v, and had ended %v", end.since, end.at, looked, died)
	}
	if want := end.at - p.began; end.lived != want || p.began > looked {
		t.Errorf("lived %v, want %v", end.lived, want)
	}
}

// TestNoCallBeginsAtTheLastWord shows that a call which comes when the agent is
// about to stop is refused, and not waited for.
func TestNoCallBeginsAtTheLastWord(t *testing.T) {
	r := startRun(t, t.TempDir(), "run1")
	r.stop()
	for range 2 { // as two that had found the agent at work
		c, err := r.begin("m")
		if c != nil {
			r.end(c)
		}
		wantKind(t, err, dtc.KindUnavailable)
	}
}

// TestRecordedWhileItIsTold has the asker acknowledge each change at once: what
// it knew when it made the call is then no news, even if it is of another boot.
func TestRecordedWhileItIsTold(t *testing.T) {
	const former = "former-boot"
	a := start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid)
	w := newWatcher(t, finds(finder))
	known := []dtc.ProcessID{{PID: 41, Start: 7}, {PID: 42, Start: 8}}
	s := newSession("m")
	w.mu.Lock()
	w.sessions["m"] = s
	w.mu.Unlock()
	memory := ruleMemory{Boot: former, Begun: true, Told: verdictNormal}
	for _, id := range known {
		memory.Members = append(memory.Members, memberRecord{PID: id.PID, Start: id.Start})
	}
	rule := ruleCalled("web")
	w.restoreRule(s, rule, memory)

	rule.Known, rule.KnownBoot = known, former
	told := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_ = w.Watch(ctx, "m", dtc.Watching{Rules: []dtc.ProcessRule{rule}}, func(s dtc.Sighting) error {
		told[line(s.State, s.Process.PID)]++
		return w.Acknowledge(ctx, "m", s.Run, s.Number)
	})
	for _, id := range known {
		if n := told[line(dtc.StateDead, id.PID)]; n != 1 {
			t.Errorf("the end of %d is told %d times: %v", id.PID, n, told)
		}
	}
}

// TestRuleWithNewBoundsIsRemembered kills an agent that has been given other
// bounds and has not yet looked by them: the end that waits is remembered.
func TestRuleWithNewBoundsIsRemembered(t *testing.T) {
	a, b := start(t, "exit 3"), start(t, "exit 0")
	finder := newFakeFinder()
	finder.set("web", a.pid, b.pid)
	w := newWatcher(t, finds(finder))
	rule := ruleCalled("web")
	rule.RestartWithin = time.Minute
	f := watchRules(t, w, rule)
	f.all(t, "web", line("alive", a.pid), line("alive", b.pid), "normal 2")
	a.end()
	remembered := func() (dtc.ProcessRule, ruleMemory) {
		w.mu.Lock()
		defer w.mu.Unlock()
		r := w.sessions["m"].rules["web"]
		return r.spec, r.memory()
	}
	eventually(t, "the end waits", func() bool {
		_, memory := remembered()
		return len(memory.Waiting) == 1
	})
	w.mu.Lock()
	changed := rule
	changed.Min = 2
	w.rebind(w.sessions["m"].rules["web"], &changed)
	w.mu.Unlock()
	spec, memory := remembered()

	next := newWatcher(t, finds(finder))
	s := newSession("m")
	next.mu.Lock()
	next.sessions["m"] = s
	next.mu.Unlock()
	next.restoreRule(s, spec, memory)
	next.mu.Lock()
	defer next.mu.Unlock()
	r := s.rules["web"]
	if r == nil {
		t.Fatal("the rule is forgotten")
	}
	if m := &r.machine; len(m.waiting) != 1 || m.waiting[0].end.exit.Number != 3 || m.member(identify(t, b.pid)) == nil || m.min != 2 {
		t.Errorf("remembered as %+v", m)
	}
}

// TestCommandOfAMemberThatWasShortLived shows that the command line by which a
// process matched is in its post-mortem, even if it was never sampled.
func TestCommandOfAMemberThatWasShortLived(t *testing.T) {
	n := &member{command: newShared("sleep 5")}
	shared := dtc.NoPostMortem()
	shared.Command = "sleep 6"
	blank := dtc.NoPostMortem()
	blank.RSSBytes = 7
	for _, c := range []struct {
		known *dtc.PostMortem
		want  string
	}{{nil, "sleep 5"}, {&shared, "sleep 6"}, {&blank, "sleep 5"}} {
		if got := n.postMortem(c.known); got == nil || got.Command != c.want || c.known != nil && got.RSSBytes != c.known.RSSBytes {
			t.Errorf("of %+v comes %+v", c.known, got)
		}
	}
	if blank.Command != "" {
		t.Error("what others are told is changed too")
	}
	if got := (&member{}).postMortem(nil); got != nil {
		t.Errorf("of nothing comes %+v", got)
	}
}
