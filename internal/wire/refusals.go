package wire

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"dtc"
)

// maxRefusals is how many different refusals are remembered at a time.
const maxRefusals = 1000

// Refusals counts what peers with a certificate of the fleet's CA were refused,
// so that each is told, and none fills a log. It may be used by any number of
// goroutines.
type Refusals struct {
	// Told means that who calls Note tells the first of the same at once: it is
	// not counted then.
	Told bool

	mu   sync.Mutex
	seen map[refusalKey]*refusal
}

type refusalKey struct{ id, what string }

type refusal struct {
	peer  dtc.Peer
	last  time.Time
	count uint64
}

// Note counts a refusal and reports whether it is the first of the same since
// a [Refusals.Take] that found none. Beyond a thousand different ones it counts
// what is new as one of nobody in particular.
func (r *Refusals) Note(peer dtc.Peer, what string) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refusalKey{peer.ID, what}
	if r.seen[key] == nil && len(r.seen) >= maxRefusals {
		peer, key = dtc.Peer{ID: "many", Role: peer.Role}, refusalKey{what: "many different things"}
	}
	at := r.seen[key]
	if first = at == nil; first {
		at = &refusal{peer: peer}
		if r.seen == nil {
			r.seen = map[refusalKey]*refusal{}
		}
		r.seen[key] = at
	}
	at.last = time.Now()
	if !first || !r.Told {
		at.count++
	}
	return first
}

// Take returns what was counted since it was called last.
func (r *Refusals) Take() []dtc.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []dtc.Refusal
	for key, at := range r.seen {
		if at.count == 0 {
			delete(r.seen, key)
			continue
		}
		out = append(out, dtc.Refusal{Peer: at.peer, What: key.what, Count: at.count, Age: time.Since(at.last)})
		at.count = 0
	}
	slices.SortFunc(out, func(a, b dtc.Refusal) int {
		return cmp.Or(strings.Compare(a.Peer.ID, b.Peer.ID), strings.Compare(a.What, b.What))
	})
	return out
}
