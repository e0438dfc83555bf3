package fleet

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"dtc/internal/wire"
)

// phase says what is waited for while a host is asked.
type phase int

const (
	waiting    phase = iota // for the host
	computing               // for this side's processors: a handshake, or its turn
	delivering              // for who takes the answer
	ended
)

// stopwatch measures for how long a host is waited for.
type stopwatch struct {
	mu     sync.Mutex // guards what follows
	phase  phase
	since  time.Time     // what is below is of this time
	taken  time.Duration // all but what delivering took
	waited time.Duration // of that, for the host alone
	alarms []alarm       // that have not rung
	timer  *time.Timer   // for the next one
}

// alarm is what happens when a stopwatch shows both times. ring must not block.
type alarm struct {
	taken, waited time.Duration
	ring          func()
}

// newStopwatch returns a stopwatch that is waiting.
func newStopwatch(alarms ...alarm) *stopwatch {
	s := &stopwatch{since: time.Now(), alarms: alarms}
	s.timer = time.AfterFunc(math.MaxInt64, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.check()
	})
	s.enter(waiting)
	return s
}

// enter begins a phase. After ended there is none.
func (s *stopwatch) enter(p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ended {
		return
	}
	s.advance()
	s.phase = p
	s.check()
}

// advance counts the time since it was last called.
func (s *stopwatch) advance() {
	now := time.Now()
	passed := now.Sub(s.since)
	s.since = now
	switch s.phase {
	case waiting:
		s.taken += passed
		s.waited += passed
	case computing:
		s.taken += passed
	case delivering, ended:
	}
}

// check rings what is due, and sets the timer for what will be.
func (s *stopwatch) check() {
	s.advance()
	s.timer.Stop()
	var next time.Duration
	s.alarms = slices.DeleteFunc(s.alarms, func(a alarm) bool {
		left, comes := s.left(&a)
		if comes && left <= 0 {
			a.ring()
			return true
		}
		if comes && (next == 0 || left < next) {
			next = left
		}
		return false
	})
	if next > 0 {
		s.timer.Reset(next)
	}
}

// left returns when an alarm comes if the phase stays.
func (s *stopwatch) left(a *alarm) (d time.Duration, comes bool) {
	taken, waited := a.taken-s.taken, a.waited-s.waited
	switch s.phase {
	case waiting:
		return max(taken, waited), true
	case computing:
		return taken, waited <= 0
	default:
		return 0, false
	}
}

// Of the hosts that are begun with at once as many are waited for, each for at
// most as long: who has not answered by then is waiting for, and costs little.
const (
	maxStarting = 1024
	startTime   = 100 * time.Millisecond
)

// starts keeps a large fleet from being asked all at once, and a small machine
// from choking on the handshakes.
type starts struct {
	slots chan struct{} // one for each host that has been begun with
	turns chan struct{} // one for each handshake that computes
}

func newStarts(n int) *starts {
	return &starts{slots: make(chan struct{}, n), turns: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
}

// begin waits for a slot, and returns how to give it back.
func (s *starts) begin(ctx context.Context) (free func()) {
	select {
	case s.slots <- struct{}{}:
		return sync.OnceFunc(func() { <-s.slots })
	case <-ctx.Done():
		return func() {}
	}
}

// turn is a host's share of the processors for its handshake, see [wire.Turn].
type turn struct {
	ctx   context.Context //nolint:containedctx // that of the one call that takes turns
	turns chan struct{}
	clock *stopwatch
	held  bool
}

var _ wire.Turn = (*turn)(nil)

// Take implements [wire.Turn].
func (t *turn) Take() {
	t.clock.enter(computing)
	select {
	case t.turns <- struct{}{}:
		t.held = true
	case <-t.ctx.Done():
	}
}

// Give implements [wire.Turn].
func (t *turn) Give() {
	if t.held {
		t.held = false
		<-t.turns
	}
	t.clock.enter(waiting)
}
