package logs

import (
	"fmt"
	"slices"
)

// segmentEntry says that the live file was closed under a name, and with which
// extent a new one begins. It is one record, so that there is no half of it.
type segmentEntry struct {
	name   int64
	size   int64
	weight int64
	last   int64 // Unix seconds
	key    fileKey
	extent extentEntry
}

func (*segmentEntry) kind() kind { return kindSegment }

func (e *segmentEntry) put(b []byte) []byte {
	b = putInt(b, e.name)
	b = putInt(b, e.size)
	b = putInt(b, e.weight)
	b = putInt(b, e.last)
	b = e.key.put(b)
	return e.extent.put(b)
}

func readSegment(d *decoder) *segmentEntry {
	return &segmentEntry{d.position(), d.position(), d.position(), d.int(), readKey(d), *readExtent(d)}
}

func (k fileKey) put(b []byte) []byte {
	return putInt(putUint(putUint(b, k.device), k.inode), k.born)
}

func readKey(d *decoder) fileKey { return fileKey{d.uint(), d.uint(), d.int()} }

func (e *segmentEntry) applyTo(m *model) error {
	if e.extent.base <= m.begun.base || len(m.extents) == 0 || e.extent.foreign != 0 || e.extent.physical != 0 {
		return fmt.Errorf("segment %d: %w", e.name, errOrder)
	}
	if e.size > maxPosition || e.weight > e.size || e.name > maxPosition {
		return errRecord
	}
	m.segments = append(m.segments, segment{
		file: m.files, name: e.name, base: m.begun.base, end: e.extent.base, size: e.size, weight: e.weight,
		first: m.begun.first, last: e.last, key: e.key, sum: m.begun.sum,
	})
	m.files++
	m.boot.file = fileKey{}
	return e.extent.applyTo(m)
}

// dropEntry says that retention has dropped what lies before a logical
// position, and up to where the files of that are gone.
type dropEntry struct{ to, gone int64 }

func (*dropEntry) kind() kind            { return kindDrop }
func (e *dropEntry) put(b []byte) []byte { return putInt(putInt(b, e.to), e.gone) }

func (e *dropEntry) applyTo(m *model) error {
	if e.to > m.begun.base || e.to < m.dropped || e.gone > e.to {
		return fmt.Errorf("a drop to %d: %w", e.to, errOrder)
	}
	m.drop(e.to)
	m.doomed = slices.DeleteFunc(m.doomed, func(s segment) bool { return s.end <= e.gone })
	return nil
}

// dropped is what retention has dropped of a generation: all before a position.
type dropped struct {
	generation uint64
	to         int64
	sum        sum // up to there
}

// drop forgets what lies before a logical position, where a segment ends.
func (m *model) drop(to int64) {
	n := 0
	for ; n < len(m.segments) && m.segments[n].end <= to; n++ {
		m.doomed = append(m.doomed, m.segments[n])
	}
	m.segments = slices.Delete(m.segments, 0, n)
	m.dropped = to
	for n = 0; n+1 < len(m.extents) && m.extents[n+1].base <= to; n++ {
		x, next := &m.extents[n], &m.extents[n+1]
		d := dropped{generation: x.generation, to: x.source + next.base - x.base}
		if next.generation == x.generation && next.source == d.to && next.base == to {
			d.sum = m.sumAt(next)
		}
		m.noteDrop(d)
	}
	gone := slices.Clone(m.extents[:n])
	m.extents = slices.Delete(m.extents, 0, n)
	m.dropProofs(gone)
	m.pruneDrops()
	if m.forgotten <= to {
		m.forgotten = 0
	}
	m.unverified = slices.DeleteFunc(m.unverified, func(u span) bool { return u.to <= to })
	for i := range m.unverified {
		m.unverified[i].from = max(m.unverified[i].from, to)
	}
}

// sumAt returns the checksum of its generation where an extent begins, as far
// as that begins a file.
func (m *model) sumAt(x *extent) sum {
	if x.base == m.begun.base {
		return m.begun.sum
	}
	for i := range m.segments {
		if s := &m.segments[i]; s.base == x.base {
			return s.sum
		}
	}
	return sum{}
}

func (m *model) noteDrop(d dropped) {
	i := slices.IndexFunc(m.drops, func(o dropped) bool { return o.generation == d.generation })
	switch {
	case i < 0:
		m.drops = append(m.drops, d)
	case m.drops[i].to <= d.to:
		m.drops[i] = d
	}
}

// droppedOf returns what retention has dropped of a generation.
func (m *model) droppedOf(generation uint64) (dropped, bool) {
	for _, d := range m.drops {
		if d.generation == generation {
			return d, true
		}
	}
	return dropped{}, false
}

// changedEntry says what somebody else did to a segment.
type changedEntry struct {
	file int
	size int64 // now; -1: it is gone
	key  fileKey
}

func (*changedEntry) kind() kind { return kindChanged }

func (e *changedEntry) put(b []byte) []byte {
	return e.key.put(putInt(putUint(b, uint64(e.file)), e.size))
}

func readChanged(d *decoder) *changedEntry { return &changedEntry{readCount(d), d.int(), readKey(d)} }

func (e *changedEntry) applyTo(m *model) error {
	i := slices.IndexFunc(m.segments, func(s segment) bool { return s.file == e.file })
	switch {
	case i < 0:
		return fmt.Errorf("a change of the data file %d: %w", e.file, errOrder)
	case e.size > maxPosition:
		return errRecord
	case e.size < 0:
		m.segments = slices.Delete(m.segments, i, i+1)
		return nil
	}
	s := &m.segments[i]
	s.size, s.weight, s.key = e.size, e.size, e.key
	m.trusted = max(m.trusted, s.end)
	for i := range m.extents {
		if x := &m.extents[i]; x.file == e.file {
			x.have = min(x.have, max(0, e.size-x.physical))
		}
	}
	return nil
}

// segmentsEntry stands in a compacted journal for what it left out of
// segments.
type segmentsEntry struct {
	base           int64 // where the live file begins: its first extents may be forgotten
	live           sum   // there
	dropped        int64
	drops          []dropped
	closed, doomed []segment
}

func (*segmentsEntry) kind() kind { return kindSegments }

func (s sum) put(b []byte) []byte {
	if !s.known {
		return putUint(b, 0)
	}
	return putUint(putUint(b, 1), uint64(s.crc))
}

func readSum(d *decoder) sum {
	if d.uint() == 0 {
		return sum{}
	}
	return sum{uint32(d.uint()), true}
}

func (e *segmentsEntry) put(b []byte) []byte {
	b = putInt(b, e.base)
	b = e.live.put(b)
	b = putInt(b, e.dropped)
	b = putUint(b, uint64(len(e.drops)))
	for _, d := range e.drops {
		b = d.sum.put(putInt(putUint(b, d.generation), d.to))
	}
	for _, all := range [][]segment{e.closed, e.doomed} {
		b = putUint(b, uint64(len(all)))
		for i := range all {
			b = all[i].put(b)
		}
	}
	return b
}

func (s *segment) put(b []byte) []byte {
	b = putUint(b, uint64(s.file))
	for _, v := range []int64{s.name, s.base, s.end, s.size, s.weight, s.first, s.last} {
		b = putInt(b, v)
	}
	return s.sum.put(s.key.put(b))
}

func readSegments(d *decoder) *segmentsEntry {
	e := &segmentsEntry{base: d.position(), live: readSum(d), dropped: d.position()}
	for range readLength(d) {
		e.drops = append(e.drops, dropped{d.uint(), d.position(), readSum(d)})
	}
	for _, all := range []*[]segment{&e.closed, &e.doomed} {
		for range readLength(d) {
			s := segment{
				file: readCount(d), name: d.position(), base: d.position(), end: d.position(), size: d.position(),
				weight: d.position(), first: d.int(), last: d.int(), key: readKey(d), sum: readSum(d),
			}
			if s.base >= s.end || s.weight > s.size || s.end > maxPosition || s.size > maxPosition {
				d.fail()
			}
			*all = append(*all, s)
		}
	}
	return e
}

// readLength reads how many of something follow.
func readLength(d *decoder) uint64 {
	n := d.uint()
	if n > maxExtents || n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return n
}

func (e *segmentsEntry) applyTo(m *model) error {
	if len(m.segments) > 0 || m.dropped > 0 || len(m.extents) == 0 {
		return errOrder
	}
	last := segment{file: -1}
	for _, s := range e.closed {
		if s.file <= last.file || s.base < last.end || s.file >= m.files {
			return errRecord
		}
		last = s
	}
	if last.end > e.base || e.dropped > e.base || e.base > m.last.base {
		return errRecord
	}
	m.begun.base, m.begun.sum, m.dropped, m.drops = e.base, e.live, e.dropped, e.drops
	m.segments, m.doomed = e.closed, e.doomed
	return nil
}
