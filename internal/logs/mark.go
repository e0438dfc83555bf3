package logs

import (
	"errors"
	"fmt"
)

// Mark tells what stands between two bytes of a copy.
type Mark struct {
	Kind       MarkKind
	Generation uint64
	From, To   int64 // positions in the generation; To is -1 where it is not known
	Bytes      int64 // how many, of a kind that counts them
}

// MarkKind says what a mark tells. Behind each: the fields that it uses.
type MarkKind int

// The kinds of marks.
const (
	MarkFile    MarkKind = iota + 1 // a new generation follows, from a position of it on: Generation, From
	MarkEarlier                     // more of an earlier generation follows: Generation, From
	MarkLost                        // bytes of the source are lost: Generation, From, To
	MarkRewound                     // the source went back: Generation, From, To
	MarkChanged                     // somebody changed the copy
	MarkRemoved                     // bytes of the copy are gone from it: Bytes
	MarkDropped                     // retention dropped what stood before: Bytes
	MarkZeros                       // NULs that are not shown: Bytes
	MarkHole                        // the same, and they were never written: Bytes
)

// maxWaiting is how many marks wait for the end of a line at most.
const maxWaiting = 16

// cross gives the marks that stand before the bytes that were read from base
// on, and ends a line that does not go on there.
func (r *reading) cross(s *source, base int64, whose own) error {
	missing := int64(0)
	if s.given >= 0 && whose == streams {
		missing = max(base-s.given, 0)
	}
	if missing > 0 && r.query.Strict {
		return s.missingError(base)
	}
	if !r.query.Bytes && (missing > 0 || s.given >= 0 && s.strange == bool(whose)) {
		if err := r.endLine(s); err != nil {
			return err
		}
	}
	if err := r.tellMissing(s, base, missing, whose); err != nil || r.query.Bytes {
		return err
	}
	return r.tellExtents(s, base)
}

// missingError says that the bytes before base, which come next, are not there
// any more.
func (s *source) missingError(base int64) error {
	why := "somebody removed or cut it"
	if s.first() > s.given {
		why = "retention has dropped them"
	}
	return fmt.Errorf("read %s/%s: the copy has the bytes %d-%d no more: %s", s.target.Folder, s.target.Alias, s.given, base, why)
}

// endLine ends a line, with the NULs that it may end with.
func (r *reading) endLine(s *source) error {
	if s.zeros > 0 {
		if err := r.endZeros(s); err != nil {
			return err
		}
	}
	return r.cutLine(s)
}

// tellMissing gives marks for bytes that the copy had, and has no more: so many
// before base, or, where nothing was given yet, those that are missing there.
func (r *reading) tellMissing(s *source, base, missing int64, whose own) error {
	var dropped int64
	switch {
	case missing > 0:
		dropped = min(missing, max(s.first()-(base-missing), 0))
	case s.given < 0 && whose == streams && r.query.Marks:
		dropped, missing = s.missingBefore(base)
	}
	for _, m := range []Mark{{Kind: MarkDropped, Bytes: dropped}, {Kind: MarkRemoved, Bytes: missing - dropped}} {
		if m.Bytes <= 0 {
			continue
		}
		if !r.query.Marks {
			r.query.Missed(s.target, m)
		}
		if err := r.mark(s, m); err != nil {
			return err
		}
	}
	return nil
}

// missingBefore returns how many bytes of the stream that stood right before a
// logical position, where a reading begins, are not there any more, and how many
// of them retention dropped.
func (r *reader) missingBefore(base int64) (dropped, all int64) {
	if r.plain || base <= r.record.forgotten {
		return 0, 0 // it is not remembered what was there
	}
	w := &r.row
	for i := len(w.stretches) - 1; i >= 0; i-- {
		s := &w.stretches[i]
		if s.own && s.base < base && !errors.Is(w.open(w.part(s.at)), errMissing) {
			return 0, max(base-(s.base+s.n), 0)
		}
	}
	return r.first(), base
}

// tellAllDropped tells, where nothing was given at first, that retention has
// dropped what was wanted.
func (r *reading) tellAllDropped(s *source) {
	first, q := s.first(), &r.query
	switch {
	case s.any, first == 0, s.limit > first, s.given >= first:
	case q.Begin == nil && q.Lines == 0, s.record.lastArrival.time < q.Since.Unix(): // nothing of that was wanted
	default:
		q.Missed(s.target, Mark{Kind: MarkDropped, Bytes: first - max(s.given, 0)})
	}
}

// tellExtents gives the marks of the losses and extents that stand at base, and
// have not been given.
func (r *reading) tellExtents(s *source, base int64) error {
	if s.plain {
		return nil
	}
	after := base - 1
	if s.given == base {
		after = s.told
	}
	m := &s.record.model
	for _, l := range m.lost {
		if l.base > after && l.base <= base {
			if err := r.tell(s, l.mark()); err != nil {
				return err
			}
		}
	}
	for i := m.extentBehind(after); i < len(m.extents) && m.extents[i].base <= base; i++ {
		for _, mark := range m.marksAt(i) {
			if err := r.tell(s, mark); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark returns what is to be told of a loss.
func (e *lostEntry) mark() Mark {
	return Mark{Kind: MarkLost, Generation: e.generation, From: e.from, To: e.to}
}

// untilMark returns how many of the next n bytes, of one extent, come before a
// mark that has not been given.
func (s *source) untilMark(n int64) int64 {
	if s.plain {
		return n
	}
	m := &s.record.model
	if i := m.extentBehind(s.told); i < len(m.extents) {
		n = min(n, max(m.extents[i].base-s.given, 0))
	}
	for _, l := range m.lost {
		if l.base > s.told {
			n = min(n, max(l.base-s.given, 0))
		}
	}
	return n
}

// feedBetween gives bytes of one extent, with the marks of the losses among
// them.
func (r *reading) feedBetween(s *source, b []byte, base int64) error {
	if r.query.Bytes || s.plain {
		return r.feed(s, b)
	}
	first := base
	for _, l := range s.record.lost {
		n := l.base - base
		if l.base <= first || n >= int64(len(b)) {
			continue
		}
		if err := r.feed(s, b[:n]); err != nil {
			return err
		}
		if err := r.tell(s, l.mark()); err != nil {
			return err
		}
		b, base = b[n:], l.base
	}
	return r.feed(s, b)
}

// tell gives a mark where it stands, or behind the line that goes on there.
func (r *reading) tell(s *source, m Mark) error {
	if m.Kind == MarkChanged && (len(s.partial) > 0 || s.zeros > 0 || s.cut) && len(s.waiting) < maxWaiting {
		s.waiting = append(s.waiting, m)
		return nil
	}
	if err := r.endLine(s); err != nil {
		return err
	}
	return r.mark(s, m)
}

// extentBehind returns the number of the first extent that begins behind a
// logical position.
func (m *model) extentBehind(base int64) int {
	lo, hi := 0, len(m.extents)
	for lo < hi {
		if mid := (lo + hi) / 2; m.extents[mid].base > base {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// marksAt returns what is to be told of the place where an extent begins.
func (m *model) marksAt(i int) []Mark {
	if i == 0 {
		return nil // it is the first, or what stood before is not remembered
	}
	x, before := &m.extents[i], &m.extents[i-1]
	if x.generation == before.generation {
		return x.marksFrom(before.source+x.base-before.base, MarkChanged)
	}
	var out []Mark
	if g := m.find(before.generation); g != nil && g.sealed() && g.flags&flagLost != 0 && !m.goesOn(i, before.generation) {
		out = append(out, Mark{Kind: MarkLost, Generation: g.number, From: g.position, To: -1})
	}
	if end, ok := m.endBefore(i, x.generation); ok {
		return append(out, x.marksFrom(end, MarkEarlier)...)
	}
	if g := m.find(x.generation); g != nil && g.start < x.source {
		if m.extents[0].base > 0 && g.head.len > 0 { // the copy had its start, which is not remembered
			return append(out, Mark{Kind: MarkEarlier, Generation: x.generation, From: x.source})
		}
		out = append(out, Mark{Kind: MarkLost, Generation: x.generation, From: g.start, To: x.source})
	}
	return append(out, Mark{Kind: MarkFile, Generation: x.generation, From: x.source})
}

// marksFrom returns the marks of an extent whose generation had come to end
// before; kind is for the case that it just goes on there.
func (x *extent) marksFrom(end int64, kind MarkKind) (out []Mark) {
	switch {
	case x.source > end:
		out = append(out, Mark{Kind: MarkLost, Generation: x.generation, From: end, To: x.source})
	case x.source < end:
		out = append(out, Mark{Kind: MarkRewound, Generation: x.generation, From: end, To: x.source})
	}
	if kind == MarkEarlier || x.foreign {
		out = append(out, Mark{Kind: kind, Generation: x.generation, From: x.source})
	}
	return out
}

// goesOn tells whether there is more of a generation from an extent on.
func (m *model) goesOn(i int, generation uint64) bool {
	for _, x := range m.extents[i:] {
		if x.generation == generation {
			return true
		}
	}
	return false
}

// endBefore returns the position up to which a generation had come before an
// extent, as far as that is remembered.
func (m *model) endBefore(at int, generation uint64) (int64, bool) {
	for i := at - 1; i >= 0; i-- {
		if x := &m.extents[i]; x.generation == generation {
			return x.source + m.extents[i+1].base - x.base, true
		}
	}
	d, ok := m.droppedOf(generation)
	return min(d.to, m.extents[at].source), ok // it may have gone back meanwhile
}
