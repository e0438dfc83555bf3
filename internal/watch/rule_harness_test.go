package watch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"dtc"
	"dtc/internal/proc"
)

// fakeFinder is told by the test who matches which rule.
type fakeFinder struct {
	mu     sync.Mutex
	there  map[string][]int // pids by the rule's name; who has ended counts no longer
	err    map[string]error // by the rule's name
	wanted []*selector
	scans  int

	pause chan chan struct{} // if it is not nil, a scan that has looked waits for two words on it
	news  chan func(came func(*selector, found))
}

func newFakeFinder() *fakeFinder {
	return &fakeFinder{
		there: map[string][]int{}, err: map[string]error{},
		news: make(chan func(func(*selector, found))),
	}
}

func (f *fakeFinder) scan(ctx context.Context, sels []*selector) ([][]found, []error) {
	lists, errs := make([][]found, len(sels)), make([]error, len(sels))
	f.mu.Lock()
	f.scans++
	for i, sel := range sels {
		name := sel.rule.Name
		errs[i] = f.err[name]
		for _, pid := range f.there[name] {
			if seen, err := proc.Look(pid); err == nil && !seen.Zombie && errs[i] == nil {
				lists[i] = append(lists[i], found{seen: seen, command: "helper"})
			}
		}
	}
	pause := f.pause
	f.mu.Unlock()
	if pause != nil {
		goOn := make(chan struct{})
		select {
		case pause <- goOn:
			<-goOn
		case <-ctx.Done():
		}
	}
	return lists, errs
}

func (f *fakeFinder) want(sels []*selector) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = sels
}

func (f *fakeFinder) run(ctx context.Context, came func(*selector, found)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case tell := <-f.news:
			tell(came)
		}
	}
}

// set has processes match a rule from now on, without a word.
func (f *fakeFinder) set(rule string, pids ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.there[rule] = pids
}

func (f *fakeFinder) fail(rule string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err[rule] = err
}

// add has a process match rules, and tells it as a newcomer.
func (f *fakeFinder) add(t *testing.T, pid int, rules ...string) {
	t.Helper()
	seen, err := proc.Look(pid)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	var sels []*selector
	for _, name := range rules {
		f.there[name] = append(slices.Clone(f.there[name]), pid)
		for _, sel := range f.wanted {
			if sel.rule.Name == name {
				sels = append(sels, sel)
			}
		}
	}
	f.mu.Unlock()
	done := make(chan struct{})
	f.news <- func(came func(*selector, found)) {
		defer close(done)
		for _, sel := range sels {
			came(sel, found{seen: seen, command: "helper"})
			came(sel, found{seen: seen, command: "helper"}) // it may be told twice
		}
	}
	<-done
}

func (f *fakeFinder) countScans() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.scans
}

// finds has a watcher find what the test says.
func finds(f seeker) func(*Watcher) {
	return func(w *Watcher) { w.rules = newRuleWork(f) }
}

func watchAll(t *testing.T, w *Watcher, asker string, want dtc.Watching) *feed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &feed{seen: make(chan dtc.Sighting, 10_000), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = w.Watch(ctx, asker, want, func(s dtc.Sighting) error {
			f.seen <- s
			return nil
		})
	}()
	t.Cleanup(func() { _ = f.stop() })
	return f
}

func watchRules(t *testing.T, w *Watcher, rules ...dtc.ProcessRule) *feed {
	t.Helper()
	return watchAll(t, w, "m", dtc.Watching{Rules: rules})
}

func ruleCalled(name string) dtc.ProcessRule { return dtc.ProcessRule{Name: name, Match: name} }

// of fails unless the next sighting is of this process, rule and state.
func (f *feed) of(t *testing.T, rule string, pid int, state dtc.State) dtc.Sighting {
	t.Helper()
	s := f.is(t, pid, state)
	if s.Rule != rule || s.Number == 0 || s.Boot == "" {
		t.Fatalf("saw %+v, want it of the rule %s", s, rule)
	}
	return s
}

// all fails unless the next sightings are of this rule, of the form "STATE PID".
func (f *feed) all(t *testing.T, rule string, want ...string) {
	t.Helper()
	for _, w := range want {
		var state dtc.State
		var n int
		if _, err := fmt.Sscan(w, &state, &n); err != nil {
			t.Fatal(err)
		}
		s := f.next(t)
		got := s.Process.PID
		if got == 0 {
			got = s.Count
		}
		if s.Rule != rule || s.State != state || got != n {
			t.Fatalf("saw %+v, want %s of %s", s, w, rule)
		}
	}
}

func line(state dtc.State, n int) string { return fmt.Sprintf("%s %d", state, n) }
