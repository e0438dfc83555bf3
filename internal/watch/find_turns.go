package watch

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// turnStall is how long a look at one thing may take before it counts as
	// stuck. A command line is read out of the memory of its process, a file from
	// a server perhaps: both can block for ever.
	turnStall = 700 * time.Millisecond

	// maxStuck is how many looks may be stuck at a time: each holds a thread.
	maxStuck = 5
)

// turns are looks at things, one after the other, that may never end. They go on
// in goroutines that are left behind when they get stuck; what one is stuck on is
// not looked at until it lets go.
type turns[K comparable] struct {
	stall time.Duration
	all   sync.WaitGroup // goroutines, the stuck ones too

	mu    sync.Mutex
	stuck map[K]struct{} // guarded by mu
}

func newTurns[K comparable]() *turns[K] {
	return &turns[K]{stall: turnStall, stuck: map[K]struct{}{}}
}

// looker looks at the thing with an index, and passes what it finds to put. It
// is used by one goroutine, which calls done at its end.
type looker[R any] interface {
	look(at int, put func(R))

	// glance is a look that does nothing that can block: somebody is stuck on that
	// thing, or on too many others.
	glance(at int, put func(R))

	done()
}

// turn is one goroutine of turns.
type turn[K comparable, R any] struct {
	*turns[K]
	keys   []K
	skip   map[K]struct{} // what others are stuck on
	looker looker[R]

	at  atomic.Int64 // index of what is being looked at
	out chan R       // closed after the last
	end chan struct{}

	// Guarded by turns.mu.
	over bool // it is past all that can block
	left bool // it was left behind, stuck on key
	key  K
}

// inTurn has lookers look at each of the keys, and passes what they find to put
// in this goroutine. The error is that of ctx.
func inTurn[K comparable, R any](ctx context.Context, t *turns[K], keys []K, open func() looker[R], put func(R)) error {
	for next := 0; next < len(keys); {
		w := &turn[K, R]{
			turns: t, keys: keys, skip: t.held(), looker: open(),
			out: make(chan R), end: make(chan struct{}),
		}
		w.at.Store(int64(next))
		t.all.Go(w.run)
		var err error
		if next, err = w.follow(ctx, put); err != nil {
			return err
		}
		if next < len(keys) && w.careful(next) {
			next++ // it cannot be looked at in any way
		}
	}
	return ctx.Err()
}

// held returns what somebody is stuck on.
func (t *turns[K]) held() map[K]struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.stuck) == 0 {
		return nil
	}
	return maps.Clone(t.stuck)
}

// run looks at the keys from the present one on.
func (w *turn[K, R]) run() {
	for i := int(w.at.Load()); i < len(w.keys) && !w.ended(); i++ {
		w.at.Store(int64(i))
		if w.careful(i) {
			w.looker.glance(i, w.put)
		} else {
			w.looker.look(i, w.put)
		}
	}
	w.looker.done()
	w.mu.Lock()
	w.over = true
	if w.left {
		delete(w.stuck, w.key)
	}
	w.mu.Unlock()
	close(w.out)
}

// careful says whether a look could get stuck.
func (w *turn[K, R]) careful(at int) bool {
	_, held := w.skip[w.keys[at]]
	return held || len(w.skip) >= maxStuck
}

func (w *turn[K, R]) put(r R) {
	select {
	case w.out <- r:
	case <-w.end:
	}
}

// ended says whether nobody takes what is found any more.
func (w *turn[K, R]) ended() bool {
	select {
	case <-w.end:
		return true
	default:
		return false
	}
}

// follow takes what the goroutine finds until it is through, and returns the
// index at which it got stuck: the number of keys if it did not.
func (w *turn[K, R]) follow(ctx context.Context, put func(R)) (last int, err error) {
	tick := time.NewTicker(w.stall / 4)
	defer tick.Stop()
	seen, since := w.at.Load(), time.Now()
	for {
		select {
		case r, ok := <-w.out:
			if !ok {
				return len(w.keys), nil
			}
			put(r)
			since = time.Now() // put may have taken long
		case <-ctx.Done():
			w.leave(int(w.at.Load()))
			return 0, ctx.Err()
		case now := <-tick.C:
			if at := w.at.Load(); at != seen {
				seen, since = at, now
			} else if now.Sub(since) >= w.stall && w.leave(int(at)) {
				return int(at), nil
			}
		}
	}
}

// leave leaves the goroutine behind, unless it is through at last.
func (w *turn[K, R]) leave(at int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.left, w.key = true, w.keys[at]
	w.stuck[w.key] = struct{}{}
	close(w.end)
	return true
}
