package ship

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"dtc"
	"dtc/internal/follow"
)

// sortNew brings what the monitor does not know into the order of the family.
func (m *matching) sortNew(family *follow.Family) {
	index := places(family)
	at := -1 // what is not of the family stays behind what is before it
	m.st.chain.Sort(func(g *follow.Generation) (int, bool) {
		if sh := m.st.shipments[g]; sh != nil && sh.number != 0 {
			return 0, false
		}
		if i, ok := index[g.Origin.Light()]; ok {
			at = i
		} else if g == m.st.chain.Current() {
			at = len(family.Members)
		}
		return at, true
	})
}

// takeCopy continues a generation whose file is gone or has other content now
// in a member of the family that is a copy of it. It returns the member's
// index, -1 if there is none. Of several that begin as the generation does the
// oldest is the one: what was in the file later was copied later.
func (m *matching) takeCopy(r *remote, family *follow.Family) int {
	if r.found != nil || r.Sealed || r.told {
		return -1
	}
	for i := m.afterCopies(r, family); i < len(family.Members); i++ {
		mem := &family.Members[i]
		if mem.File == nil || mem.Name == mem.Base || m.newest(mem.ID) != nil || !m.reader.Proves(mem.File, r.GenerationState) {
			continue
		}
		g := m.insert(mem.File, r)
		mem.File = nil
		if m.reader.Resume(g, r.GenerationState) != nil {
			m.st.chain.Remove(g)
			return -1
		}
		g.Copy, g.Ended = true, true
		m.continueIn(r, m.st.shipment(g))
		return i
	}
	return -1
}

// afterCopies returns the index of the first member of the family behind all
// copies of what came before r.
func (m *matching) afterCopies(r *remote, family *follow.Family) int {
	for i := range slices.Backward(family.Members) {
		mem := &family.Members[i]
		if mem.File == nil || mem.Name == mem.Base || m.newest(mem.ID) != nil {
			continue
		}
		if slices.ContainsFunc(m.remotes, func(o remote) bool {
			return o.Generation < r.Generation && o.Sealed && mem.Stat.Size == o.Position && m.reader.Proves(mem.File, o.GenerationState)
		}) {
			return i + 1
		}
	}
	return 0
}

// takeNewer takes the members of the family that came after the newest
// generation that the monitor has: the last one met, or else, if its file is
// gone, those that were made later than it. The error is errAsked if that cannot
// be said yet.
func (m *matching) takeNewer(family *follow.Family, last int) error {
	if !m.first {
		return nil
	}
	newest, current := &m.remotes[len(m.remotes)-1], m.st.chain.Current()
	seen := last < 0 && (newest.found != nil || // what came after it was seen
		// Its file is at the path with other content: siblings are copies of who knows what.
		current != nil && newest.origin.Same(current.Origin.Identity))
	wanted, err := m.newer(family, func(i int, mem *follow.Member) bool {
		switch {
		case seen:
			return false
		case last >= 0:
			return i > last
		default:
			return newest.origin.Birth != 0 && mem.ID.Birth > newest.origin.Birth
		}
	})
	if err != nil {
		return err
	}
	index := places(family)
	for i := range family.Members {
		mem := &family.Members[i]
		switch {
		case mem.Compressed && !seen && m.later(family, i, last):
			m.takeArchive(mem, m.firstAfter(index, i, mem.Stat.Modified))
		case wanted[i]:
			m.st.chain.Insert(mem.File, follow.Origin{Identity: mem.ID, Path: m.st.path}, m.firstBehind(index, mem))
			mem.File = nil
		}
	}
	return nil
}

// newer returns which members of the family, archives aside, came after the
// newest generation that the monitor has, as later says, or are nevertheless none
// that it may have had.
func (m *matching) newer(family *follow.Family, later func(int, *follow.Member) bool) (map[int]bool, error) {
	var unknown error
	wanted, since := map[int]bool{}, m.since()
	for i := range family.Members {
		mem := &family.Members[i]
		// What came since the chain began was taken by it, or is a copy.
		if mem.File == nil || !m.plain || mem.Name == mem.Base || m.newest(mem.ID) != nil || !m.st.chain.Before(mem.ID) || m.st.chain.Held(mem.ID) != nil {
			continue
		}
		overtaken := since != 0 && mem.ID.Birth > since
		if !overtaken && !later(i, mem) {
			continue
		}
		overtaken = !later(i, mem)
		is, err := m.isCopy(mem, overtaken) // what is to be asked is asked of all at once
		unknown = cmp.Or(err, unknown)
		wanted[i] = !is && (!overtaken || !m.isCopyOfHeld(mem))
	}
	return wanted, unknown
}

// since returns a time such that all that was made at the path later is newer than
// the oldest generation that the monitor knows, or is a copy of one that it knows:
// when the file of one was made after the first contact. It is 0 if there is none.
func (m *matching) since() int64 {
	for _, r := range m.remotes {
		if r.Generation > 1 && r.origin.Incarnation == 0 && r.origin.Birth != 0 {
			return r.origin.Birth
		}
	}
	return 0
}

// isCopyOfHeld reports whether a file may be a copy of one that is held and older,
// which is or may be truncated in a moment.
func (m *matching) isCopyOfHeld(mem *follow.Member) bool {
	return slices.ContainsFunc(m.st.chain.Generations, func(g *follow.Generation) bool {
		// A file that was made in the same tick of the clock is no copy of it: it
		// has been rotated at once.
		younger := g.Origin.Birth > mem.ID.Birth || g.Origin.Birth == mem.ID.Birth && mem.ID.Birth != 0
		if g.File == nil || g.Packed() || younger {
			return false
		}
		if mem.File.BeginsAs(g.File) {
			return true
		}
		_, err := m.reader.Look(g)
		return errors.Is(err, follow.ErrCut)
	})
}

// places returns the indices of a family's members by their light identities.
func places(family *follow.Family) map[follow.Identity]int {
	index := map[follow.Identity]int{}
	for i, mem := range family.Members {
		index[mem.ID.Light()] = i
	}
	return index
}

// firstAfter returns the first generation that the monitor does not know and
// whose file came after the member i of the family, or was made after the time in
// ns since 1970 at which that was last changed; nil if there is none.
func (m *matching) firstAfter(index map[follow.Identity]int, i int, changed int64) *follow.Generation {
	for _, g := range m.st.chain.Generations {
		if sh := m.st.shipments[g]; sh != nil && sh.number != 0 {
			continue
		}
		if j, ok := index[g.Origin.Light()]; ok && j > i || !ok && g.Origin.Birth > changed || g == m.st.chain.Current() {
			return g
		}
	}
	return nil
}

// firstBehind returns the first generation that the monitor does not know and that
// comes after a member of the family, nil if there is none. One of an older file
// that was found in the family, and is gone from it since the monitor was asked,
// comes before: rotations remove the oldest.
func (m *matching) firstBehind(index map[follow.Identity]int, mem *follow.Member) *follow.Generation {
	for _, g := range m.st.chain.Generations {
		if sh := m.st.shipments[g]; sh != nil && sh.number != 0 {
			continue
		}
		if _, ok := index[g.Origin.Light()]; ok || !g.Before() || g.Origin.Birth >= mem.ID.Birth {
			return g
		}
	}
	return nil
}

// isCopy reports whether a file is a copy of something that the monitor has of
// another one, which was truncated since, or of which nobody can say so any more.
// Of what was complete a copy has no more: a longer file only begins like it. Of a
// file that others were sent before it may also be a copy of what is there still.
func (m *matching) isCopy(mem *follow.Member, overtaken bool) (bool, error) {
	var unknown error
	for i := range m.remotes {
		r := &m.remotes[i]
		complete := r.Sealed && mem.Stat.Size <= r.Position
		truncated := (m.truncated(r) || r.found != nil && r.found.Doubtful()) && (complete || !r.Sealed)
		gone := complete && (overtaken || r.found == nil && !r.known) // perhaps truncated before
		switch {
		case !truncated && !gone:
		case m.reader.Proves(mem.File, r.GenerationState):
			if !truncated && r.Position-r.Start < dtc.HeadSize {
				m.st.lost = append(m.st.lost, loss{reason: fmt.Sprintf(
					"%s is not sent: it holds the same as what was sent before of %s, unless that was written once more", mem.Name, m.st.path)})
			}
			return true, nil
		case complete: // it was written to between the copying and the truncation
			is, err := m.beginsWith(r, mem)
			if is {
				return true, nil
			}
			unknown = cmp.Or(err, unknown)
		}
	}
	return false, unknown
}

// truncated reports whether the file of r had other content later: the monitor
// may know that, or it is seen now.
func (m *matching) truncated(r *remote) bool {
	if n := m.newest(r.origin.Identity); n != nil && n.origin.Incarnation > r.origin.Incarnation {
		return true
	}
	return slices.ContainsFunc(m.st.chain.Generations, func(g *follow.Generation) bool {
		return g.Origin.Same(r.origin.Identity) && g.Origin.Incarnation > r.origin.Incarnation
	})
}
