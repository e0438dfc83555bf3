package logs

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// Retention says how much of a copy is kept. The zero value keeps all.
type Retention struct {
	// Size is how many bytes are kept at least; what is older may go. Holes do
	// not count. 0: it does not matter.
	Size int64

	// Age is for how long a byte is kept at least after it came. 0: it does not
	// matter. Where both are set, bytes go as soon as one of them lets them.
	Age time.Duration
}

// The length of a live file at which it is closed: a part of the size that is
// kept, but not so short that there are many files, nor so long that much more
// is kept than was asked for.
const (
	sizeParts  = 8
	sizeMost   = 48 // of the largest sizes
	ageParts   = 8
	longestLen = 256 << 20
	minLen     = 1 << 20
)

// limits returns when a live file is closed; least is the shortest one.
func (r Retention) limits(least int64) (l limits) {
	if r.Size > 0 {
		l.length = max(min(r.Size/sizeParts, longestLen), r.Size/sizeMost, least)
	}
	if r.Age > 0 {
		l.age = max(int64(r.Age/time.Second)/ageParts, 1)
	}
	return l
}

// retention is what applies to the streams at this moment.
type retention struct {
	rules   atomic.Pointer[retentionRules]
	changed chan struct{} // the rules did
	wake    chan struct{} // there are rolls
	rolls   rolls
}

// retentionRules are what SetRetention was called with.
type retentionRules struct {
	of func(folder, peer, alias string) Retention
}

// SetRetention sets what is kept of each copy, from now on. of is called for a
// stream by its folder, its agent's id and its alias, from several goroutines.
// Where it answers the zero Retention no more is dropped, and the live file is
// no longer closed; what was closed before stays.
func (s *Store) SetRetention(of func(folder, peer, alias string) Retention) {
	s.retention.rules.Store(&retentionRules{of})
	signal(s.retention.changed)
}

// retained brings what applies to a stream up to date. The stream's mutex is
// held.
func (st *stream) retained() {
	rules := st.store.retention.rules.Load()
	if st.rules == rules && st.ruled == st.peer {
		return
	}
	st.rules, st.ruled, st.keep, st.due = rules, st.peer, Retention{}, time.Time{}
	if rules != nil && rules.of != nil {
		st.keep = rules.of(st.folder, st.peer, st.alias)
	}
	st.limits = st.keep.limits(st.store.opts.minSegment)
}

// How often every stream is looked at, and after how long at most one that is
// not loaded.
const (
	retainEvery = time.Minute
	retainAtAll = time.Hour
)

// rolls are the streams whose live file was closed just now.
type rolls struct {
	mu    sync.Mutex
	queue []*stream
}

// rolled has a stream looked at soon.
func (r *retention) rolled(st *stream) {
	r.rolls.mu.Lock()
	defer r.rolls.mu.Unlock()
	r.rolls.queue = append(r.rolls.queue, st)
	signal(r.wake)
}

func (r *retention) take() (all []*stream) {
	r.rolls.mu.Lock()
	defer r.rolls.mu.Unlock()
	all, r.rolls.queue = r.rolls.queue, nil
	return all
}

// runRetention drops what need not be kept any more, until ctx is done.
func (s *Store) runRetention(ctx context.Context) {
	tick := time.NewTicker(s.opts.retainEvery)
	defer tick.Stop()
	all := s.named(nil)
	for {
		now := s.opts.Now()
		for _, st := range all {
			if ctx.Err() != nil {
				return
			}
			st.retain(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			all = s.named(nil)
		case <-s.retention.changed:
			all = s.named(nil)
		case <-s.retention.wake:
			all = s.retention.take()
		}
	}
}

// retain closes and drops what is due of a stream.
func (st *stream) retain(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.retained()
	switch {
	case st.damage != nil, !st.made:
		return
	case st.c == nil && (st.keep == Retention{} || now.Before(st.due)):
		return
	}
	if st.update(func(c *replica) error { return c.retain(st.keep, now) }) != nil {
		return // the stream waits then, and that is told
	}
	st.due = st.c.retainDue(st.keep, now)
}

// retain closes the live file if it is old, and drops what need not be kept.
func (c *replica) retain(keep Retention, now time.Time) error {
	if len(c.segments)+len(c.doomed) == 0 && keep == (Retention{}) {
		return nil
	}
	if err := c.checkSegments(); err != nil {
		return err
	}
	if g := c.receiving(); g != nil && c.data != nil && c.suspect == 0 && c.full(0) {
		if err := c.ready(); err != nil {
			return err
		}
		if err := c.rollIfFull(g, 0); err != nil {
			return err
		}
		c.hasRolled = false // here is who looks
	}
	if err := c.dropOld(c.expired(keep, now)); err != nil {
		return err
	}
	return c.removeDoomed()
}

// expired returns how many of the oldest segments need not be kept.
func (c *replica) expired(keep Retention, now time.Time) (n int) {
	if len(c.segments) == 0 || keep == (Retention{}) {
		return 0
	}
	if c.data != nil {
		c.hollow = c.size - dataBytes(c.data, c.size)
	}
	newer := c.size - c.hollow
	for i := range c.segments {
		newer += c.segments[i].weight
	}
	for i := range c.segments {
		s := &c.segments[i]
		newer -= s.weight
		small := keep.Size == 0 || newer < keep.Size
		young := keep.Age == 0 || now.Unix()-s.last <= int64(keep.Age/time.Second)
		if small && young {
			break
		}
		n++
	}
	return n
}

// dropOld writes down that the oldest segments are dropped. Their files go
// after that: so a crash leaves nothing that a reader would miss, and a load
// removes them.
func (c *replica) dropOld(n int) error {
	if n == 0 {
		return nil
	}
	to := c.segments[n-1].end
	// What proves a generation must outlive the bytes that it was made of.
	var entries []entry
	proven := map[uint64]bool{}
	for i := 0; i < len(c.extents) && c.extents[i].base < to; i++ {
		g := c.find(c.extents[i].generation)
		if g == nil || proven[g.number] {
			continue
		}
		proven[g.number] = true
		c.prove(g)
		if c.durablePosition(g) < g.start+int64(g.head.len) {
			return nil // in a moment it can be
		}
		entries = append(entries, g)
	}
	return c.commit(append(entries, &dropEntry{to: to})...)
}

// removeDoomed removes the files of what was dropped. One that cannot be
// removed now is tried again.
func (c *replica) removeDoomed() error {
	gone := int64(0)
	for i := range c.doomed {
		if c.removeSegment(&c.doomed[i]) != nil {
			break
		}
		gone = c.doomed[i].end
	}
	if gone == 0 {
		return nil
	}
	c.touch()
	return c.record(&dropEntry{c.dropped, gone})
}

// removeSegment removes the file of a segment, if it is there and the
// segment's.
func (c *replica) removeSegment(s *segment) error {
	name := c.segmentPath(s.name)
	now, err := c.fileAt(name)
	if err != nil || !now.found || !s.key.is(now.key) {
		return err
	}
	if err := c.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// retainDue returns when there may be something to be done for retention, if
// no more bytes come.
func (c *replica) retainDue(keep Retention, now time.Time) time.Time {
	due := now.Add(retainAtAll)
	if keep.Age > 0 {
		if len(c.segments) > 0 {
			due = earlier(due, time.Unix(c.segments[0].last, 0).Add(keep.Age))
		}
		if c.length > c.begun.base {
			due = earlier(due, time.Unix(c.liveFirst()+c.limits.age, 0))
		}
	}
	if len(c.doomed) > 0 {
		due = now
	}
	return due
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
