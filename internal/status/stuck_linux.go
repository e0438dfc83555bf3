package status

import (
	"sync"
	"sync/atomic"

	"dtc"
)

// maxStuck is how many processes may be stuck at a time. With more, nothing
// that can block is read of any process: each holds a thread of ours.
const maxStuck = 5

// stuckProcesses are the processes that a reading is blocked on.
type stuckProcesses struct {
	sweepers sync.WaitGroup // all goroutines, the stuck ones too
	any      atomic.Bool    // readers is not empty; changes under mu

	mu      sync.Mutex // guards what follows
	readers map[dtc.ProcessID]stuckReaders
}

// stuckReaders count the goroutines that are blocked on one process. Each holds
// a thread of ours.
type stuckReaders struct{ usual, careful int }

// look says whether the process must be read with care, and whether even that
// is hopeless: it has blocked already.
func (s *stuckProcesses) look(id dtc.ProcessID) (careful, hopeless bool) {
	if !s.any.Load() {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readers[id]
	return r.usual > 0 || len(s.readers) >= maxStuck, r.careful > 0
}

func (s *stuckProcesses) add(id dtc.ProcessID, n stuckReaders) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers == nil {
		s.readers = make(map[dtc.ProcessID]stuckReaders)
	}
	r := s.readers[id]
	s.readers[id] = stuckReaders{r.usual + n.usual, r.careful + n.careful}
	s.any.Store(true)
}

func (s *stuckProcesses) remove(id dtc.ProcessID, n stuckReaders) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readers[id]
	r = stuckReaders{r.usual - n.usual, r.careful - n.careful}
	if s.readers[id] = r; r == (stuckReaders{}) {
		delete(s.readers, id)
	}
	s.any.Store(len(s.readers) > 0)
}
