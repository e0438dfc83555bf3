package watch

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// pollInterval is how often a process is looked at where the system does not
// tell of its end.
const pollInterval = time.Second

// poller looks at the processes that the waiter cannot wait for. It costs
// nothing while there are none.
type poller struct {
	ended func(*process, dtc.Exit, string)
	wake  chan struct{} // of capacity 1: there is a first process

	mu    sync.Mutex
	procs map[*process]struct{} // guarded by mu
}

func newPoller(ended func(*process, dtc.Exit, string)) *poller {
	return &poller{ended: ended, wake: make(chan struct{}, 1), procs: map[*process]struct{}{}}
}

// add takes a process on, and says whether it is the only one.
func (l *poller) add(p *process) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.procs[p] = struct{}{}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return len(l.procs) == 1
}

// any says whether there is a process to look at.
func (l *poller) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.procs) > 0
}

func (l *poller) remove(p *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.procs, p)
}

func (l *poller) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.lookWhileAny(ctx)
	}
}

func (l *poller) lookWhileAny(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for l.look() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look looks at each process once, and returns how many are left.
func (l *poller) look() int {
	l.mu.Lock()
	procs := slices.Collect(maps.Keys(l.procs))
	l.mu.Unlock()
	left := 0
	for _, p := range procs {
		seen, err := proc.Look(p.id.PID)
		same := err == nil && seen.ID == p.id
		switch {
		case same && seen.Zombie:
			l.remove(p)
			p.last(seen.Usage)
			l.ended(p, seen.Exit, seen.Name)
		case same, err != nil && !errors.Is(err, fs.ErrNotExist):
			left++
		default:
			l.remove(p)
			l.ended(p, dtc.Exit{}, "")
		}
	}
	return left
}
