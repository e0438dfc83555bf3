package ship

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"dtc/internal/follow"
)

const (
	finders     = 2                // archives that are read at a time
	finderIdle  = 30 * time.Second // without a read: another stream's archive has its turn
	finderCheck = time.Second
)

// finder looks for generations in archives, beside everything else: it may take
// long to read one. What it finds it holds on to until it was sent, so that no
// more archives are open than finders are at work.
type finder struct {
	s        *Shipper
	unpacker *follow.Unpacker
	wake     chan struct{}
	hold     time.Duration // holdForSearch; tests have another
	doubt    time.Duration // maxHold, while an archive may hold nothing new; likewise

	mu   sync.Mutex // guards all below
	due  map[*stream]time.Time
	busy map[*stream]bool
	used bool // memory was taken since it was last given back
}

func newFinder(s *Shipper) *finder {
	return &finder{
		s: s, unpacker: follow.NewUnpacker(), wake: make(chan struct{}, finders), hold: holdForSearch, doubt: maxHold,
		due: map[*stream]time.Time{}, busy: map[*stream]bool{},
	}
}

// add has st's searches looked at when it is time. It may be called by anyone.
func (f *finder) add(st *stream, at time.Time) {
	f.mu.Lock()
	if old, ok := f.due[st]; !ok || at.Before(old) {
		f.due[st] = at
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run looks at what is due until ctx is done.
func (f *finder) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		st, next := f.next(time.Now())
		if st != nil {
			f.work(ctx, st)
			f.done(st)
			continue
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-timer.C:
		}
	}
}

// next takes the stream that waited longest, nil if there is none; then it
// returns when to ask again.
func (f *finder) next(now time.Time) (*stream, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first *stream
	at := now.Add(time.Hour)
	for st, due := range f.due {
		if !f.busy[st] && due.Before(at) {
			first, at = st, due
		}
	}
	if first == nil || at.After(now) {
		return nil, at
	}
	delete(f.due, first)
	f.busy[first], f.used = true, true
	return first, now
}

// done gives the memory that decompressing took back to the system when there
// is nothing more to decompress.
func (f *finder) done(st *stream) {
	f.mu.Lock()
	delete(f.busy, st)
	trim := f.used && len(f.busy) == 0 && len(f.due) == 0
	f.used = f.used && !trim
	f.mu.Unlock()
	if trim {
		debug.FreeOSMemory()
	}
}

// crowded reports whether another stream waits for its turn.
func (f *finder) crowded(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for st, due := range f.due {
		if !f.busy[st] && !due.After(now) {
			return true
		}
	}
	return false
}

// work looks for one generation of st after the other, and waits for each that
// was found until it was read.
func (f *finder) work(ctx context.Context, st *stream) {
	for ctx.Err() == nil {
		t, next := f.begin(st, time.Now())
		if t == nil {
			if !next.IsZero() {
				f.add(st, next)
			}
			return
		}
		t.run(ctx)
		found := t.apply(time.Now())
		t.close()
		if x := f.s.session.Load(); x != nil {
			x.enqueue(st)
		}
		if found != nil {
			f.await(ctx, st, found)
		}
	}
}

// await waits until the archive was read to its end or closed, or until nothing
// is read of it while others wait.
func (f *finder) await(ctx context.Context, st *stream, file *follow.File) {
	timer := time.NewTicker(finderCheck)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-file.Drained():
			return
		case now := <-timer.C:
			if file.Idle(now) < finderIdle || !f.crowded(now) {
				continue
			}
			st.mu.Lock()
			if !st.closed {
				st.shelve(now.Add(finderIdle))
			}
			st.mu.Unlock()
		}
	}
}
