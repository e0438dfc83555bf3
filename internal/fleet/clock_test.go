package fleet

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

const second = time.Second

func TestStopwatch(t *testing.T) {
	type step struct {
		phase phase
		takes time.Duration
	}
	for _, test := range []struct {
		name  string
		steps []step
		rings time.Duration // after the beginning; 0: never
	}{
		{"a host that is waited for", nil, 10 * second},
		{"nothing but delivering", []step{{delivering, 100 * second}, {ended, second}}, 0},
		{"delivering does not count", []step{{waiting, 4 * second}, {delivering, 100 * second}, {waiting, 100 * second}}, 110 * second},
		{"delivering again and again", []step{{waiting, 4 * second}, {delivering, second}, {waiting, 4 * second}, {delivering, second}, {waiting, 100 * second}}, 12 * second},
		{"computing counts", []step{{computing, 4 * second}, {waiting, 100 * second}}, 10 * second},
		{"computing is half of it at most", []step{{computing, 9 * second}, {waiting, 100 * second}}, 14 * second},
		{"computing for long", []step{{waiting, second}, {computing, 60 * second}, {waiting, 100 * second}}, 65 * second},
		{"computing at the end", []step{{waiting, 6 * second}, {computing, 60 * second}}, 10 * second},
		{"in turns", []step{{computing, second}, {waiting, 2 * second}, {computing, second}, {waiting, second}, {delivering, 7 * second}, {waiting, 100 * second}}, 17 * second},
		{"ended", []step{{waiting, 9 * second}, {ended, 100 * second}, {waiting, 100 * second}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var rang time.Duration
				s := newStopwatch(alarm{10 * second, 5 * second, func() { rang = time.Since(began) }})
				for _, step := range test.steps {
					s.enter(step.phase)
					time.Sleep(step.takes)
				}
				time.Sleep(1000 * second)
				synctest.Wait()
				s.enter(ended)
				if rang != test.rings {
					t.Errorf("it rang after %s, not %s", rang, test.rings)
				}
			})
		})
	}
}

// A slot is free again when its host has been waited for, whatever this side
// computes meanwhile, and at the end at the latest.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(nil)
		f.starts = newStarts(1)
		ctx, clock, end := f.begin(t.Context(), time.Minute)
		began := time.Now()
		clock.enter(computing)
		time.AfterFunc(3*second, func() { clock.enter(waiting) })
		_, other, endOther := f.begin(t.Context(), time.Minute)
		if took := time.Since(began); took != 3*second+startTime {
			t.Errorf("the slot was free after %s", took)
		}
		other.enter(delivering)
		time.AfterFunc(second, endOther)
		_, _, endThird := f.begin(t.Context(), time.Minute)
		if took := time.Since(began); took != 4*second+startTime {
			t.Errorf("the slot was free after %s", took)
		}
		end() // gives nothing back a second time
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, endFourth := f.begin(canceled, time.Minute)
		endFourth()
		if len(f.starts.slots) != 1 {
			t.Errorf("%d slots are taken", len(f.starts.slots))
		}
		endThird()
		if len(f.starts.slots) != 0 || ctx.Err() == nil {
			t.Error("not ended")
		}
	})
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		turns := make(chan struct{}, 1)
		a := &turn{ctx: ctx, turns: turns, clock: newStopwatch()}
		b := &turn{ctx: ctx, turns: turns, clock: newStopwatch()}
		a.Take()
		time.AfterFunc(second, a.Give)
		b.Take()
		if !b.held || a.held || b.clock.taken != 0 {
			t.Error("two at once")
		}
		b.Give()
		if b.clock.taken != second || b.clock.waited != 0 {
			t.Errorf("the turn took %s, of which the host %s", b.clock.taken, b.clock.waited)
		}
		a.Take()
		cancel(&dtc.Error{Kind: dtc.KindTimeout})
		b.Take() // returns all the same
		b.Give()
		if len(turns) != 1 {
			t.Error("b gave what it did not have")
		}
		a.Give()
		a.clock.enter(ended)
		b.clock.enter(ended)
	})
}
