package events

import (
	"crypto/rand"
	"encoding/hex"
	"hash/maphash"
	"strings"

	"dtc"
)

// How many ids of one series are remembered. Of what an agent keeps until it is
// acknowledged as many as it may keep (100,000), for it sends them again after a
// crash; the others are told once, and only a retry repeats them.
const (
	seenLasting = 1 << 17
	seenPassing = 1 << 12
)

// ownRun begins the ids of events that the monitor makes itself. An agent's
// begin with a hexadecimal digit.
const ownRun = "m"

// NewRun returns an id that no other run of a monitor has. Those of its own
// events begin with it.
func NewRun() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return ownRun + hex.EncodeToString(b[:])
}

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

// ring returns where an event's id belongs. That a process is alive, or missing,
// passes: it is told anew when it is lost. Of a rule it passes if the monitor
// has asked; what an agent tells by itself may be a change, which it keeps.
func (s *seen) ring(e *dtc.Event) *idRing {
	switch e.State {
	case dtc.StateAlive, dtc.StateMissing:
		if e.Rule == "" || strings.HasPrefix(e.ID, ownRun) {
			return &s.passing
		}
	default:
	}
	return &s.lasting
}

// has looks in both: an agent that gives one id to two events has said one of
// them.
func (s *seen) has(e *dtc.Event) bool {
	id := maphash.String(s.seed, e.ID)
	return s.lasting.has(id) || s.passing.has(id)
}

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
