package logs

import "time"

// batched is a stream in a syncfs of many.
type batched struct {
	st   *stream
	c    *replica
	mark syncMark
	err  error
}

// syncBatch makes many streams durable with a syncfs of the data and one of
// the side records. It returns those that are to be done one by one: all of
// them where there is no syncfs, where it fails, or where it was found to be
// slow, because others write much to the same file system.
func (s *Store) syncBatch(batch []*stream) []*stream {
	if s.syncer.slow > 0 {
		s.syncer.slow--
		return batch
	}
	work := make([]*batched, 0, len(batch))
	for _, st := range batch {
		if b := st.beginBatched(); b != nil {
			work = append(work, b)
		}
	}
	start := time.Now()
	err := s.opts.syncfs(s.lock)
	if err == nil {
		for _, b := range work {
			b.writeMark()
		}
		err = s.opts.syncfs(s.lock)
	}
	if took := time.Since(start); took > time.Duration(len(work))*slowSync {
		s.syncer.slow = slowRounds
	}
	var again []*stream
	for _, b := range work {
		if b.end(err) {
			again = append(again, b.st)
		}
	}
	return again
}

// A syncfs is slow that takes longer than so much for each stream: then the
// next rounds do without.
const (
	slowSync   = 2 * time.Millisecond
	slowRounds = 50
)

// beginBatched takes a stream into a batch, if it has something to sync.
func (st *stream) beginBatched() *batched {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := st.c
	if c == nil || c.dirty.IsZero() || st.syncing {
		return nil
	}
	st.syncing = true
	return &batched{st: st, c: c, mark: c.begin()}
}

// writeMark writes the durable slot between the two.
func (b *batched) writeMark() {
	b.st.mu.Lock()
	defer b.st.mu.Unlock()
	if b.st.c == b.c {
		b.err = b.c.mark(&b.mark)
	}
}

// end ends the sync of one stream. It answers true when that is to be done
// again by itself, which tells what is wrong with which file.
func (b *batched) end(err error) bool {
	b.st.mu.Lock()
	defer b.st.mu.Unlock()
	if err != nil && b.st.c == b.c {
		b.st.syncing = false
		b.c.touch()
		return true
	}
	if b.err == nil {
		b.c.end(&b.mark)
	}
	b.st.synced(b.c, b.err)
	return false
}
