package logs

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"
)

// syncAt is how many bytes make a stream durable though the next round is not
// due. A sync of many bytes holds everybody up who writes to the file system at
// the time: beside a copy that got 500 MB/s a line of another one took up to
// 260 ms when nothing but rounds bounded that, and 50 ms with this.
const syncAt = 64 << 20

// After a round the syncer rests for restPart times as long as that took, and
// for restStream for each stream that it had, at most maxRest: where much comes
// the disk is left to the writing, which a sync holds up, and where many streams
// get a little they come together, so that one syncfs is enough for them.
const (
	restPart   = 2
	restStream = 20 * time.Millisecond
	maxRest    = time.Second
)

// syncWorkers is how many streams are made durable at a time: more would only
// queue in the disk.
const syncWorkers = 4

// syncMany is how many streams are worth a syncfs: at 200 streams that took
// 2 ms where two fdatasyncs each took 80.
const syncMany = 64

// syncer is the group commit: streams wait in the order in which they got
// bytes that are not durable yet.
type syncer struct {
	mu    sync.Mutex
	queue []*stream // each once
	in    map[*stream]bool
	full  []*stream // of the queue, each once: those that do not wait for a round
	due   time.Time // of the first; zero: at once
	rest  time.Time // no round before, but for who is in a hurry
	slow  int       // rounds that go without syncfs; the syncer's goroutine alone
	wake  chan struct{}
	round chan struct{} // closed at the end of the round under way, or the next
}

// enqueue has a stream made durable soon. The stream's mutex is held.
func (s *Store) enqueue(st *stream, c *replica) {
	q := &s.syncer
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.in == nil {
		q.in = map[*stream]bool{}
	}
	if !q.in[st] {
		q.in[st] = true
		q.queue = append(q.queue, st)
		if len(q.queue) == 1 {
			q.due = s.opts.Now().Add(s.opts.SyncEvery)
			signal(q.wake)
		}
	}
	if !st.syncing && c.length-c.durableBase() >= syncAt && !slices.Contains(q.full, st) {
		q.full = append(q.full, st)
		signal(q.wake)
	}
}

// hurry has everything that waits synced now; the channel is closed when a
// round has ended.
func (q *syncer) hurry() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.round == nil {
		q.round = make(chan struct{})
	}
	q.due, q.rest = time.Time{}, time.Time{}
	signal(q.wake)
	return q.round
}

// roundEnds tells who waits that a round of some streams has ended, which took
// so long.
func (q *syncer) roundEnds(now time.Time, took time.Duration, streams int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rest = now.Add(min(max(restPart*took, time.Duration(streams)*restStream), maxRest))
	if q.round != nil {
		close(q.round)
		q.round = nil
	}
}

// take returns the streams of the round that is due, or else those that have
// too much to wait for it, or else how long there is nothing to do.
func (q *syncer) take(now time.Time) (batch []*stream, round bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		return nil, false, time.Hour
	}
	if wait = max(q.due.Sub(now), q.rest.Sub(now)); wait <= 0 {
		batch, q.queue, q.full = q.queue, nil, nil
		clear(q.in)
		return batch, true, 0
	}
	batch, q.full = q.full, nil
	for _, st := range batch {
		delete(q.in, st)
	}
	if len(batch) > 0 {
		q.queue = slices.DeleteFunc(q.queue, func(st *stream) bool { return !q.in[st] })
	}
	return batch, false, wait
}

// runSyncer makes the streams durable that wait, until ctx is done.
func (s *Store) runSyncer(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		batch, round, wait := s.syncer.take(s.opts.Now())
		if len(batch) > 0 {
			began := s.opts.Now()
			s.syncAll(batch)
			if now := s.opts.Now(); round {
				s.syncer.roundEnds(now, now.Sub(began), len(batch))
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.syncer.wake:
		}
	}
}

// syncAll makes streams durable: many with one syncfs, a few each by itself
// and side by side.
func (s *Store) syncAll(batch []*stream) {
	if len(batch) >= syncMany {
		if batch = s.syncBatch(batch); len(batch) == 0 {
			return
		}
	}
	work := make(chan *stream)
	var wg sync.WaitGroup
	for range min(syncWorkers, len(batch)) {
		wg.Go(func() {
			for st := range work {
				s.syncStream(st)
			}
		})
	}
	for _, st := range batch {
		work <- st
	}
	close(work)
	wg.Wait()
}

// syncStream makes what a stream has durable, without keeping its writer
// waiting, and acknowledges it.
func (s *Store) syncStream(st *stream) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := st.c
	if c == nil || c.dirty.IsZero() || st.syncing {
		return
	}
	st.syncing = true
	st.synced(c, c.sync(&st.mu))
}

// synced ends a sync of a replica that was loaded when it began.
func (st *stream) synced(c *replica, err error) {
	s := st.store
	st.syncing = false
	if st.c != c { // thrown away in the meantime
		if err := c.close(); err != nil {
			s.log.Warn("close copy", "copy", st.dataPath(), "error", err)
		}
		return
	}
	if err == nil && c.bloated() {
		err = c.compact()
	}
	if err != nil {
		s.log.Error("make copy durable", "copy", st.dataPath(), "error", err)
		st.fail(err)
		return
	}
	if !c.dirty.IsZero() {
		s.enqueue(st, c)
	}
	if st.owner != nil && c.last.seq > 0 {
		st.owner.ack(c.last.generation)
	}
}

// begin starts a sync: the mark that it will write.
func (c *replica) begin() syncMark {
	m := syncMark{slot: slot{boots: c.boots, extent: c.last.seq, base: c.length, physical: c.size - c.suspect}}
	if g := c.receiving(); g != nil {
		c.prove(g)
		m.sum, m.marker = g.sum, g.marker
	}
	c.dirty = time.Time{}
	return m
}

// syncMark is a durable slot on its way.
type syncMark struct {
	slot
	side    *os.File // the side record that the sync covers
	journal int64    // length of it
	fresh   bool     // the sync covers the folder's names too
}

// mark writes the durable slot, after the data was synced and before the side
// record is. A newer extent is a mark of its own.
func (c *replica) mark(m *syncMark) error {
	m.side, m.journal, m.fresh = c.side, c.journal, c.fresh
	if m.extent != c.last.seq || m.extent == 0 {
		return nil
	}
	return c.writeSlot(durable, &m.slot)
}

// end notes what is durable now.
func (c *replica) end(m *syncMark) {
	if m.side != c.side {
		// It was written anew in the meantime, safely, with the mark of then.
		c.touch()
		return
	}
	c.synced = max(c.synced, m.journal)
	if m.fresh {
		c.fresh = false
	}
	if m.extent == c.last.seq {
		c.durable, c.unsafe = m.slot, false
	}
}

// unlocker is a mutex that is given up for the time of an fsync.
type unlocker interface {
	Lock()
	Unlock()
}

// sync makes data and record durable and writes the mark that says so. It
// gives the lock up while the disk works.
func (c *replica) sync(lock unlocker) error {
	m := c.begin()
	if c.unsafe { // no mark may be safe before the extent that it belongs to
		if err := c.syncUnlocked(lock, c.side); err != nil {
			return err
		}
	}
	if c.data != nil && m.base != c.durableBase() {
		if err := c.syncBytes(lock, &m); err != nil {
			return err
		}
	}
	if err := c.mark(&m); err != nil {
		return err
	}
	if err := c.syncUnlocked(lock, c.side); err != nil {
		return err
	}
	if m.fresh {
		if err := syncDir(c.root, c.folder); err != nil {
			return err
		}
	}
	c.end(&m)
	return nil
}

// syncUnlocked syncs a file without the lock.
func (c *replica) syncUnlocked(lock unlocker, f *os.File) error {
	return c.unlocked(lock, func() error { return c.place.sync(f) })
}

// unlocked has the disk work without the lock.
func (c *replica) unlocked(lock unlocker, work func() error) error {
	c.inHand = true
	lock.Unlock()
	err := work()
	lock.Lock()
	c.inHand = false
	if err != nil {
		return &syncError{err}
	}
	return c.closeRetired()
}

// nothing is an unlocker for who keeps the lock.
type nothing struct{}

func (nothing) Lock()   {}
func (nothing) Unlock() {}

// makeDurable is sync for a caller that keeps the lock.
func (c *replica) makeDurable() error {
	if c.dirty.IsZero() {
		return nil
	}
	return c.sync(nothing{})
}
