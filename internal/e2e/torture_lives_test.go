//go:build linux

package e2e

import (
	"sync"
	"testing"
	"time"
)

// sight is how long bytes must be there while the agent runs until it has seen
// them for certain: by far longer than it takes.
const sight = 5 * time.Second

// lives says when an agent ran, and when it was stopped.
type lives struct {
	mu  sync.Mutex
	all []life

	pulse *pulse
}

// pulse says when the machine was so busy that nobody can be blamed for what he
// did not see.
type pulse struct {
	mu     sync.Mutex
	stalls []span
}

const (
	beatEvery = 20 * time.Millisecond
	stalled   = 150 * time.Millisecond
)

// beat watches how the machine runs until the test ends.
func (l *lives) beat(tb testing.TB) {
	tb.Helper()
	l.pulse = &pulse{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.pulse.watch(stop) })
	tb.Cleanup(func() {
		close(stop)
		wg.Wait()
	})
}

func (p *pulse) watch(stop <-chan struct{}) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) > stalled {
			p.mu.Lock()
			p.stalls = append(p.stalls, span{last, now})
			p.mu.Unlock()
		}
		last = now
	}
}

// lost returns how much of a time the machine was too busy.
func (p *pulse) lost(s span) (all time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stall := range p.stalls {
		all += overlap(stall, s)
	}
	return all
}

// life is one process of the agent.
type life struct {
	from, to time.Time // to is zero as long as it lives
	stops    []span    // the last is open as long as it is stopped
}

func (l *lives) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.all); n > 0 && l.last().to.IsZero() {
		l.last().to = time.Now()
	}
	l.all = append(l.all, life{from: time.Now()})
}

func (l *lives) last() *life { return &l.all[len(l.all)-1] }

func (l *lives) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.all); n > 0 && l.last().to.IsZero() {
		l.last().to = time.Now()
	}
}

func (l *lives) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) > 0 {
		l.last().stops = append(l.last().stops, span{from: time.Now()})
	}
}

func (l *lives) cont() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return
	}
	if s := l.last().stops; len(s) > 0 {
		s[len(s)-1].to = time.Now()
	}
}

// ran returns how long the agent ran between two times, without a break by a
// new process.
func (l *lives) ran(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var most time.Duration
	for _, one := range l.all {
		most = max(most, one.ran(from, to)-l.pulse.lost(span{from, to}))
	}
	return most
}

func (l life) ran(from, to time.Time) time.Duration {
	all := overlap(span{l.from, l.to}, span{from, to})
	for _, s := range l.stops {
		all -= overlap(s, span{from, to})
	}
	return all
}

// overlap returns how much of b lies in a, of which an end that is zero is open.
func overlap(a, b span) time.Duration {
	if a.to.IsZero() || a.to.After(b.to) {
		a.to = b.to
	}
	if a.from.Before(b.from) {
		a.from = b.from
	}
	return max(a.to.Sub(a.from), 0)
}

// held reports whether the agent that runs now had for certain opened what was
// there from the one time to the other, and has held it since.
func (l *lives) held(from, to time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 || !l.last().to.IsZero() {
		return false
	}
	return l.last().ran(from, to)-l.pulse.lost(span{from, to}) >= sight
}

// same reports whether the agent that runs now ran at the time t already.
func (l *lives) same(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all) > 0 && l.last().to.IsZero() && l.last().from.Before(t)
}

// away reports whether no agent ran at the time t.
func (l *lives) away(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		if !t.Before(one.from) && (one.to.IsZero() || t.Before(one.to)) {
			return false
		}
	}
	return true
}

// begins returns when agents began to run after the time t.
func (l *lives) begins(t time.Time) (all []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		if one.from.After(t) {
			all = append(all, one.from)
		}
	}
	return all
}
