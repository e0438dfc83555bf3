package logs

import "time"

// used marks a stream as the one used last.
func (s *Store) used(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.element == nil {
		st.element = s.loaded.PushFront(st)
		return
	}
	s.loaded.MoveToFront(st.element)
}

// unused takes a stream off the list of the loaded ones.
func (s *Store) unused(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.element != nil {
		s.loaded.Remove(st.element)
		st.element = nil
	}
}

// How often a load waits for the syncer, and for how long, when far more
// streams are loaded than may be and all of them have bytes to sync.
const (
	roomTries = 20
	roomWait  = 50 * time.Millisecond
)

// makeRoom lets the streams go that were not used for the longest time, until
// one more may be loaded. Those that are in use or not durable yet are passed
// over: up to twice as many may be loaded for a moment. Beyond that the load
// waits for the syncer, or at last syncs by itself.
func (s *Store) makeRoom() {
	for range roomTries {
		over := s.letGo(passDirty)
		if over <= 0 {
			return
		}
		round := s.syncer.hurry()
		if over <= s.opts.MaxOpen {
			return
		}
		timer := time.NewTimer(roomWait)
		select {
		case <-round:
		case <-timer.C:
		}
		timer.Stop()
	}
	s.letGo(syncDirty)
}

// dirtyMode says what is to be done with a stream that is not durable yet.
type dirtyMode int

const (
	passDirty dirtyMode = iota
	syncDirty
)

// letGo lets streams go, and returns how many are loaded still beyond what
// may be.
func (s *Store) letGo(mode dirtyMode) int {
	victims := s.victims()
	for _, st := range victims {
		if !st.mu.TryLock() {
			continue
		}
		if st.c != nil && (mode == syncDirty || st.c.dirty.IsZero()) {
			st.release()
		}
		st.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded.Len() + 1 - s.opts.MaxOpen
}

// victims returns the streams that were not used for the longest time, if
// there are too many: a few more than that, so that not every load has to look.
func (s *Store) victims() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.loaded.Len() + 1 - s.opts.MaxOpen
	if over <= 0 {
		return nil
	}
	over += s.opts.MaxOpen / 4
	out := make([]*stream, 0, over)
	for e := s.loaded.Back(); e != nil && len(out) < over; e = e.Prev() {
		out = append(out, e.Value.(*stream))
	}
	return out
}
