package ship

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dtc/internal/follow"
)

const (
	maxHeard = 16 // generations of the last match that an archive may turn out to be of

	// largeArchive is the size of an archive from which on it is not read when
	// its time of change is that of a file which is known: two files of that
	// size are not written to at the same nanosecond.
	largeArchive = 1 << 20
)

// takeArrivals has the archives looked into that came together with another
// file at the path: one of them may be all that is left of a file that came and
// went between two looks. The caller holds st.mu.
func (st *stream) takeArrivals(now time.Time) {
	if !st.granted || st.toMatch || st.closed || !st.chain.Arrived() {
		return
	}
	for _, a := range st.chain.Arrivals() {
		id := a.Member.ID.Light()
		if slices.ContainsFunc(st.chain.Generations, func(g *follow.Generation) bool {
			return g.Origin.Light() == id || g.File != nil && g.File.Identity().Light() == id
		}) {
			continue
		}
		if len(st.searches) >= maxSearches {
			st.miss(fmt.Sprintf("archives of %s that came at once are not looked into: %s and perhaps more", st.path, a.Member.Name))
			return
		}
		origin := follow.Origin{Identity: a.Member.ID, Path: st.path}
		if f, err := st.chain.OpenMember(filepath.Dir(st.chain.FamilyPath()), &a.Member); err == nil {
			origin.Identity = f.Identity()
			_ = f.Close()
		}
		q := &search{since: now, archive: id, arrived: &a.Member}
		st.begin(st.chain.Seek(origin, st.behind(&a)), q)
		q.hold = now.Add(min(st.finder.doubt, st.finder.hold))
	}
	st.finder.add(st, now)
}

// behind returns the generation that comes after an archive, nil if there is
// none.
func (st *stream) behind(a *follow.Arrival) *follow.Generation {
	all := st.chain.Generations
	switch {
	case a.Next == nil:
		return st.chain.Current()
	case slices.Contains(all, a.Next) || len(all) == 0:
		i := slices.Index(all, a.Next)
		if i < 0 {
			return nil
		}
		return all[i]
	default: // it is done with
		return all[0]
	}
}

// awaitsArrivals reports whether archives that came lately are still to be
// looked into.
func (st *stream) awaitsArrivals() bool {
	for _, q := range st.searches {
		if q.arrived != nil {
			return true
		}
	}
	return st.chain.Arrived()
}

// miss notes that something is lost of which nothing is known, to be told.
func (st *stream) miss(text string) {
	st.missed = append(st.missed, missed{text: text})
	if len(st.missed) > maxMissed {
		st.missed = st.missed[1:]
	}
}

// collectArrival notes what else an archive may hold that came lately, with the
// stream's lock held.
func (t *searching) collectArrival() {
	st := t.st
	for _, r := range st.heard {
		t.add(follow.ProofOf(r.GenerationState), r.Generation)
	}
	for _, f := range st.finished {
		t.times = append(t.times, f.modified)
	}
	for _, g := range st.chain.Generations {
		if g.File == nil && g != t.g && g.Position() == g.Start {
			other := st.shipment(g)
			t.add(t.reader.ProofOf(g, other.sum), other.number)
		}
	}
	for _, f := range t.files {
		if stat, err := f.Stat(); err == nil {
			t.times = append(t.times, stat.Modified)
		}
	}
}

// strange has what came after an archive that came lately wait until that is
// read, when it begins as nothing does that is known: it will be sent.
func (t *searching) strange(head []byte) {
	if t.q.arrived == nil || slices.ContainsFunc(t.files, func(f *follow.File) bool { return f.Begins(head) }) {
		return
	}
	t.st.mu.Lock()
	defer t.st.mu.Unlock()
	t.q.hold = t.q.since.Add(t.finder.hold)
}

// timed reports whether a file that is known was last changed when the content
// of the archive was. Some programs keep whole seconds only.
func (t *searching) timed() bool {
	at := t.q.arrived.Stat.Modified
	if birth := t.q.arrived.ID.Birth; birth != 0 && at >= birth { // it is the archive's own
		return false
	}
	second := int64(time.Second)
	return slices.ContainsFunc(t.times, func(known int64) bool {
		return known != 0 && (known == at || at%second == 0 && known-known%second == at)
	})
}

// evident reports whether it need not be read what an archive holds.
func (t *searching) evident(m *follow.Member) bool {
	return t.q.arrived != nil && m.Stat.Size >= largeArchive && t.timed()
}

// judgeArrival says what an archive is that came while its path was followed:
// of something that is known, or all that is left of a file.
func (t *searching) judgeArrival(f *follow.File, d follow.Finding) {
	known := d.Length == 0 || slices.ContainsFunc(t.files, d.Ends)
	for i, holds := range d.Holds {
		p := &t.proofs[i]
		if !known && holds && p.Enough() && i > 0 && (p.Position == d.Length || p.Strong()) {
			known, t.proof, t.finding = true, i, d
		}
	}
	if !known {
		t.st.mu.Lock()
		known = t.st.chain.Foreign(d.Length, &t.family)
		t.st.mu.Unlock()
	}
	if known {
		t.verdict = verdictKnown
		return
	}
	t.found(f, d, -1)
}

// giveUpArrival notes that an archive cannot be read of which nobody knows what
// it held, to be told.
func (t *searching) giveUpArrival() {
	if t.timed() {
		t.dropKnown()
		return
	}
	name := t.q.arrived.Name
	why := cmp.Or(strings.Join(t.unreadable, "; "), name+" was removed before it could be read")
	t.st.miss(fmt.Sprintf("an archive of %s may be all that is left of a file that came and went: %s", t.st.path, why))
	t.st.chain.CountFile()
	t.dropKnown()
}
