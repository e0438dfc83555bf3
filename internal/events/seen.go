package events

import (
	"hash/maphash"

	"dtc"
)

// How many ids of one series are remembered. Of ends and of what befell a log
// as many as an agent may hold unacknowledged (100,000), for it sends them again
// after a crash; the others are told once, and only a retry repeats them.
const (
	seenLasting = 1 << 17
	seenPassing = 1 << 12
)

// seen remembers which events stand in a series of files.
type seen struct {
	seed    maphash.Seed
	lasting idRing
	passing idRing
}

func newSeen() *seen {
	return &seen{
		seed:    maphash.MakeSeed(),
		lasting: idRing{limit: seenLasting},
		passing: idRing{limit: seenPassing},
	}
}

func (s *seen) ring(e *dtc.Event) *idRing {
	if e.State == dtc.StateAlive || e.State == dtc.StateMissing {
		return &s.passing
	}
	return &s.lasting
}

func (s *seen) has(e *dtc.Event) bool { return s.ring(e).has(maphash.String(s.seed, e.ID)) }

func (s *seen) add(e *dtc.Event) { s.ring(e).add(maphash.String(s.seed, e.ID)) }

// idRing is a set of the last limit ids. It holds their 64-bit hashes, of a
// seed that nobody outside knows, for a tenth of the memory.
type idRing struct {
	limit int
	ids   map[uint64]struct{}
	order []uint64
	next  int // where in order the oldest stands once it is full
}

func (r *idRing) has(id uint64) bool {
	_, ok := r.ids[id]
	return ok
}

func (r *idRing) add(id uint64) {
	if r.has(id) {
		return
	}
	if r.ids == nil {
		r.ids = map[uint64]struct{}{}
	}
	if len(r.order) < r.limit {
		r.order = append(r.order, id)
	} else {
		delete(r.ids, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % r.limit
	}
	r.ids[id] = struct{}{}
}
