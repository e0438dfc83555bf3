package watch

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// adders are the ways in which a process comes.
func adders() map[bool]func(*recent, int, time.Time) {
	return map[bool]func(*recent, int, time.Time){false: (*recent).add, true: (*recent).addForked}
}

// TestRecentSteps shows when newcomers are looked at.
func TestRecentSteps(t *testing.T) {
	for forked, steps := range map[bool][]time.Duration{
		false: {0, 220 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute},
		true:  {220 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute},
	} {
		r, start := newRecent(), time.Now()
		adders()[forked](&r, 7, start)
		var got []time.Duration
		for now := start; !r.next().IsZero(); now = r.next() {
			if list := r.due(now); len(list) > 0 {
				got = append(got, list[0].came.Add(steps[len(got)]).Sub(start))
			}
		}
		if !slices.Equal(got, steps) || len(r.known) != 0 {
			t.Errorf("forked %t: looked at after %v, want %v", forked, got, steps)
		}
	}
}

func TestRecentOfOnePID(t *testing.T) {
	r, now := newRecent(), time.Now()
	sel := new(selector)
	r.addForked(7, now)
	r.known[7].told = []*selector{sel}
	r.add(7, now) // it executes a program
	list := r.due(now.Add(time.Hour))
	if len(list) != 1 || len(list[0].told) != 1 {
		t.Errorf("executed: %+v", list)
	}
	r.addForked(7, now) // another process
	if list := r.due(now.Add(time.Hour)); len(list) != 1 || len(list[0].told) != 0 {
		t.Errorf("another one: %+v", list)
	}
	r.drop(r.known[7])
	if list := r.due(now.Add(24 * time.Hour)); list != nil || !r.next().IsZero() {
		t.Errorf("dropped: %+v", list)
	}
}

func TestRecentIsBounded(t *testing.T) {
	r, now := newRecent(), time.Now()
	for pid := range maxRecent {
		r.add(pid, now)
	}
	if r.full {
		t.Error("it is full")
	}
	r.add(maxRecent, now)
	if !r.full || len(r.known) != maxRecent {
		t.Error("it is not full")
	}
}

// TestRecentByProperty adds, drops and looks at random, and compares with a
// plain list.
func TestRecentByProperty(t *testing.T) {
	type entry struct {
		who  *newcomer
		left []time.Time // when it is to be looked at
	}
	rapid.Check(t, func(t *rapid.T) {
		r, now := newRecent(), time.Unix(1e9, 0)
		model := map[int]*entry{}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				pid, forked := rapid.IntRange(1, 5).Draw(t, "pid"), rapid.Bool().Draw(t, "forked")
				adders()[forked](&r, pid, now)
				e := &entry{who: r.known[pid]}
				for i, step := range recentSteps() {
					if i > 0 || !forked {
						e.left = append(e.left, now.Add(step))
					}
				}
				model[pid] = e
			},
			"drop": func(t *rapid.T) {
				pid := rapid.IntRange(1, 5).Draw(t, "pid")
				if e := model[pid]; e != nil {
					r.drop(e.who)
					delete(model, pid)
				}
			},
			"look": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms")) * time.Millisecond)
				var want []int
				for pid, e := range model {
					if len(e.left) > 0 && !e.left[0].After(now) {
						want = append(want, pid)
						if e.left = e.left[1:]; len(e.left) == 0 {
							delete(model, pid)
						}
					}
				}
				var got []int
				for _, who := range r.due(now) {
					got = append(got, who.pid)
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Fatalf("due %v, want %v", got, want)
				}
			},
			"": func(t *rapid.T) {
				if len(r.known) != len(model) {
					t.Fatalf("%d are known, want %d", len(r.known), len(model))
				}
				if due := r.next(); due.IsZero() && len(model) > 0 {
					t.Fatal("nothing is due")
				}
			},
		})
	})
}
