package ship

import (
	"slices"
	"time"

	"dtc/internal/follow"
)

const (
	// holdForSearch is how long bytes of a new file wait while those of an
	// earlier one are looked for in archives: longer than it takes to read most
	// of them. One that is still being written can take hours.
	holdForSearch = 30 * time.Second

	searchAgain = 250 * time.Millisecond // after an archive that is still being written, doubled up to
	searchSlow  = 5 * time.Second
	maxSearches = 1000 // of one stream

	coarse = 2 * time.Second // that the times of files may lag behind the clock
)

// search is a generation whose bytes are in no plain file any more, while they
// are looked for in archives.
type search struct {
	since   time.Time       // when it began
	hold    time.Time       // up to when new files wait for it
	due     time.Time       // when to look next
	wait    time.Duration   // from then to the time after
	archive follow.Identity // the archive whose content it is, light; zero: whichever holds what is known of it

	unbounded bool   // how much is missing is not known
	after     bool   // archives that came after it are the monitor's to have, too
	newest    bool   // and plain files: the monitor has nothing later
	from      uint64 // of an archive that came after another generation: the number of that

	arrived *follow.Member // an archive that came while the path was followed; nil: none

	unfinished map[follow.Identity]unfinished // archives without an end, by light identity
}

// unfinished is an archive that has no end yet.
type unfinished struct {
	size  int64
	since time.Time // when it was first seen with that size
}

// lookups are what a stream knows of its searches, guarded by its lock.
type lookups struct {
	searches map[*follow.Generation]*search
	givenUp  map[*follow.Generation]string // why nothing was found
	known    []remote                      // what the monitor had at the last match, while that is searched for
	heard    []remote                      // the newest of that, for good
}

// seek begins to look for the rest of sh in archives, if there are any that may
// hold it: also where nothing is known to be missing, as more may have come
// after the last look. It reports false if there are none, or none did; the caller holds
// st.mu.
func (st *stream) seek(sh *shipment, now time.Time) bool {
	g := sh.Generation
	if sh.File != nil || sh.sealed || len(st.searches) >= maxSearches {
		return false
	}
	if why, ok := st.givenUp[g]; ok {
		if sh.reason == "" {
			sh.reason = why
		}
		return false
	}
	family, err := st.chain.FamilyAndArchives(follow.Nobody)
	if err != nil || family.Stable && !slices.ContainsFunc(family.Members, func(m follow.Member) bool {
		return m.Compressed && mayHold(&m, g)
	}) {
		return false
	}
	st.begin(g, &search{since: now})
	st.finder.add(st, now)
	return true
}

// mayHold reports whether the times of an archive permit that it holds g: what
// was complete before g was seen holds something else.
func mayHold(m *follow.Member, g *follow.Generation) bool {
	return m.ID.Birth == 0 || m.ID.Birth >= g.Origin.Birth && max(m.ID.Birth, m.Stat.Modified) >= g.Met-int64(coarse)
}

// begin notes that g is searched for.
func (st *stream) begin(g *follow.Generation, q *search) {
	if st.searches == nil {
		st.searches = map[*follow.Generation]*search{}
		st.givenUp = map[*follow.Generation]string{}
	}
	q.due, q.hold = q.since, q.since.Add(st.finder.hold)
	st.searches[g] = q
}

// sought returns the search for g, nil if there is none.
func (st *stream) sought(g *follow.Generation) *search { return st.searches[g] }

// forget ends what is remembered of a generation that is gone.
func (st *stream) forget(g *follow.Generation) {
	delete(st.searches, g)
	delete(st.givenUp, g)
}

// forgetKnown lets go of what the monitor had at the last match when nothing is
// searched for any more, nor will be.
func (st *stream) forgetKnown() {
	if !slices.ContainsFunc(st.chain.Generations, func(g *follow.Generation) bool { return g.File == nil }) {
		st.known = nil
	}
}

// discard forgets a generation of which nothing is sent; the caller holds st.mu.
func (st *stream) discard(g *follow.Generation) {
	st.forget(g)
	st.chain.Remove(g)
	delete(st.shipments, g)
}

// openSought declares those generations before sh to the monitor that are
// searched for, so that a later agent searches for them as well.
func (x *session) openSought(st *stream, sh *shipment) {
	if len(st.searches) == 0 {
		return
	}
	for _, g := range st.chain.Generations {
		if g == sh.Generation {
			return
		}
		if st.sought(g) != nil {
			x.open(st, st.shipment(g))
		}
	}
}

// shelve closes the archives of a stream of which nothing can be sent now. They
// are searched for anew when it can; the caller holds st.mu.
func (st *stream) shelve(until time.Time) {
	for _, g := range st.chain.Generations {
		if !g.Packed() {
			continue
		}
		q := &search{since: until, archive: g.File.Identity().Light()}
		st.chain.Shelve(g)
		st.begin(g, q)
	}
}
