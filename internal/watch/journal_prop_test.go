package watch

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dtc"
)

func jsonNumber(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// kept is what the test expects to be kept for one asker, as run and number.
type kept []string

func keptOf(s *session) (list kept) {
	for _, e := range s.kept {
		list = append(list, fmt.Sprintf("%s-%d %s", e.sighting.Run, e.sighting.Number, e.sighting.Name))
	}
	return list
}

// world is a watcher whose journal is written when the test says so, and what
// it should remember.
type world struct {
	t       *rapid.T
	dir     string
	runs    int
	w       *Watcher
	now     map[string]kept // what is queued
	saved   map[string]kept // what was when the journal was written last
	told    map[string]string
	changes int
}

func (x *world) start() {
	x.runs++
	x.w = New(Options{Run: fmt.Sprintf("r%d", x.runs), Dir: x.dir, Logger: slog.New(slog.DiscardHandler)})
	x.w.boot = "this boot"
	if f := x.w.journal.load(); f != nil {
		if f.faults != 0 {
			x.t.Fatalf("%d lines make no sense: %v", f.faults, f.fault)
		}
		x.w.restore(f)
	}
	x.w.journal.begin(newHead(x.w.boot))
	x.saved = clone(x.now)
}

func clone(m map[string]kept) map[string]kept {
	c := map[string]kept{}
	for k, v := range m {
		if len(v) > 0 {
			c[k] = slices.Clone(v)
		}
	}
	return c
}

func (x *world) session(asker string) *session {
	if s := x.w.sessions[asker]; s != nil {
		return s
	}
	s := newSession(asker)
	x.w.sessions[asker] = s
	x.w.noteLeft(s)
	return s
}

func (x *world) keep(asker string) {
	s := x.session(asker)
	x.changes++
	name := fmt.Sprintf("change%d", x.changes)
	if rapid.Bool().Draw(x.t, "odd bytes") {
		name += "\xff"
	}
	if rapid.Bool().Draw(x.t, "passing before it") {
		x.w.passSighting(s, dtc.Sighting{State: dtc.StateAlive}, now())
	}
	x.w.keepSighting(s, dtc.Sighting{State: dtc.StateDead, Boot: x.w.boot, Name: name, Process: dtc.ProcessID{PID: x.changes}}, now())
	id := fmt.Sprintf("%s-%d", x.w.run, x.w.number)
	if other, twice := x.told[id]; twice {
		x.t.Fatalf("the id %s is of %s and of %s", id, other, name)
	}
	x.told[id] = name
	x.now[asker] = append(x.now[asker], id+" "+name)
}

// acknowledge drops some of the oldest.
func (x *world) acknowledge(asker string) {
	list := x.now[asker]
	if len(list) == 0 {
		return
	}
	n := rapid.IntRange(1, len(list)).Draw(x.t, "acknowledged")
	e := x.session(asker).kept[n-1].sighting
	if err := x.w.Acknowledge(x.t.Context(), asker, e.Run, e.Number); err != nil {
		x.t.Fatal(err)
	}
	x.now[asker] = list[n:]
}

func (x *world) save() {
	x.w.journal.save()
	x.saved = clone(x.now)
}

func (x *world) end() {
	if x.w.journal.file != nil {
		_ = x.w.journal.file.Close()
	}
}

func (x *world) check() {
	for asker, want := range x.now {
		if got := keptOf(x.session(asker)); !slices.Equal(got, want) {
			x.t.Fatalf("%s has %q, want %q", asker, got, want)
		}
	}
	for asker, s := range x.w.sessions {
		if len(s.kept) != len(x.now[asker]) {
			x.t.Fatalf("%s has %q, want %q", asker, keptOf(s), x.now[asker])
		}
		if !slices.IsSortedFunc(s.kept, func(a, b entry) int { return compare(a.place, b.place) }) {
			x.t.Fatalf("the places of %s are out of order", asker)
		}
	}
}

// TestNothingIsLostNothingTwice keeps, acknowledges, writes and restarts at
// random: what was written is there after a restart, in order, with its id, and
// what was acknowledged is not.
func TestNothingIsLostNothingTwice(t *testing.T) {
	dirs := t.TempDir
	rapid.Check(t, func(t *rapid.T) {
		x := &world{t: t, dir: dirs(), now: map[string]kept{}, told: map[string]string{}}
		x.start()
		defer func() { x.end() }()
		askers := rapid.SampledFrom([]string{"a", "b", strings.Repeat("c", 200)})
		t.Repeat(map[string]func(*rapid.T){
			"keep": func(t *rapid.T) { x.t = t; x.keep(askers.Draw(t, "asker")) },
			"burst": func(t *rapid.T) {
				x.t = t
				for asker := askers.Draw(t, "asker"); x.changes%7 != 6; {
					x.keep(asker)
				}
			},
			"acknowledge": func(t *rapid.T) { x.t = t; x.acknowledge(askers.Draw(t, "asker")) },
			"write":       func(t *rapid.T) { x.t = t; x.save() },
			"write anew":  func(t *rapid.T) { x.t = t; x.w.journal.begin(newHead(x.w.boot)); x.saved = clone(x.now) },
			"crash": func(t *rapid.T) {
				x.t = t
				x.end()
				x.now = clone(x.saved)
				x.start()
			},
			"stop": func(t *rapid.T) {
				x.t = t
				x.save()
				x.end()
				x.start()
			},
			"forget": func(t *rapid.T) {
				x.t = t
				asker := askers.Draw(t, "asker")
				if s := x.w.sessions[asker]; s != nil {
					x.w.forget(s, "of the test")
					delete(x.now, asker)
				}
			},
			"": func(t *rapid.T) { x.t = t; x.check() },
		})
	})
}
