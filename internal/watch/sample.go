package watch

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"dtc/internal/proc"
)

// How many processes are looked at at once, and how often: with four processes
// each every two seconds, with 1,000 each within half an hour, with 5,000 within
// four hours, as an idle agent is to cost next to nothing.
const (
	few     = 16 // processes
	fewOnce = 4
	fewEach = 2 * time.Second

	manyOnce = 8
	manyEach = 10 * time.Second
	mostEach = 20 * time.Second // from beatMany processes on

	// sampleFrom is among how many those are chosen whose last look is longest
	// ago, where there are many. They are others each time.
	sampleFrom = 64
)

// sampler looks at what the watched processes use, a few at a time. It costs
// nothing while there are none.
type sampler struct {
	wake     chan struct{} // of capacity 1: there is a process
	fewEach  time.Duration
	commands commands
	parents  parents
}

func newSampler() *sampler {
	return &sampler{wake: make(chan struct{}, 1), fewEach: fewEach}
}

func (s *sampler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// runSampler samples until ctx is done.
func (w *Watcher) runSampler(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.sampler.wake:
		}
		w.sampleWhileAny(ctx)
	}
}

func (w *Watcher) sampleWhileAny(ctx context.Context) {
	timer := time.NewTimer(w.sampler.fewEach)
	defer timer.Stop()
	for {
		all := w.sampleSome(ctx)
		switch {
		case all == 0:
			return
		case all <= few || w.oom.counts():
			timer.Reset(w.sampler.fewEach)
		case all < beatMany:
			timer.Reset(untilNext(manyEach))
		default:
			timer.Reset(untilNext(mostEach))
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// sampleSome samples some processes, and returns how many there are in all.
func (w *Watcher) sampleSome(ctx context.Context) (all int) {
	w.oom.refresh()
	some, all := w.longestUnseen()
	for _, p := range some {
		if ctx.Err() == nil {
			w.sample(p, maxCounted)
		}
	}
	return all
}

// longestUnseen returns the processes whose last look is longest ago, and how
// many there are in all.
func (w *Watcher) longestUnseen() (some []*process, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all = len(w.held)
	if all == 0 {
		w.oom.rest()
	}
	some = make([]*process, 0, min(all, sampleFrom))
	for _, p := range w.held { // in an order that is another one each time
		if some = append(some, p); len(some) == sampleFrom {
			break
		}
	}
	slices.SortFunc(some, func(a, b *process) int { return cmp.Compare(a.vitals.tried, b.vitals.tried) })
	once := fewOnce
	if all > few {
		once = manyOnce
	}
	return some[:min(len(some), once)], all
}

// parents knows the names of processes that have many children. The zero value
// is ready.
type parents struct {
	mu   sync.Mutex // guards what follows
	pid  int
	said string
	at   time.Duration // since boot
}

// parentFor is how long the name of a parent is good for: it may end, or exec.
const parentFor = time.Second

// name returns the short name of a process that is somebody's parent, "" if it
// cannot be said.
func (c *parents) name(pid int) string {
	if pid <= 0 {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := now(); c.pid != pid || at-c.at > parentFor {
		c.pid, c.said, c.at = pid, "", at
		if seen, err := proc.Look(pid); err == nil {
			c.said = seen.Name
		}
	}
	return c.said
}
