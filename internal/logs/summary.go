package logs

import (
	"math"
	"slices"
)

// summaryEntry stands in a compacted journal for the boot and extent records
// that it left out.
type summaryEntry struct {
	boots     uint64
	files     int
	forgotten int64
	trusted   int64
	extents   []extent
	last      extentEntry // seq 0: there is none
}

func (*summaryEntry) kind() kind { return kindSummary }

func (e *summaryEntry) put(b []byte) []byte {
	b = putUint(b, e.boots)
	b = putUint(b, uint64(e.files))
	b = putInt(b, e.forgotten)
	b = putInt(b, e.trusted)
	b = putUint(b, uint64(len(e.extents)))
	for _, x := range e.extents {
		b = putInt(b, x.base)
		b = putInt(b, x.physical)
		b = putInt(b, x.source)
		b = putUint(b, x.generation)
		b = putUint(b, uint64(x.file))
		if x.have == math.MaxInt64 {
			x.have = -1
		}
		b = putInt(b, x.have)
	}
	return e.last.put(b)
}

func readSummary(d *decoder) *summaryEntry {
	e := &summaryEntry{boots: d.uint(), files: readCount(d), forgotten: d.position(), trusted: d.position()}
	n := d.uint()
	if n > maxExtents || n > uint64(len(d.b)) {
		d.fail()
		return e
	}
	e.extents = make([]extent, 0, n)
	for range n {
		x := extent{
			base: d.position(), physical: d.position(), source: d.position(), generation: d.uint(),
			file: readCount(d), have: d.int(),
		}
		if x.have < 0 {
			x.have = math.MaxInt64
		}
		if x.base > maxPosition || x.physical > maxPosition || x.source > maxPosition || x.file > e.files {
			d.fail()
		}
		e.extents = append(e.extents, x)
	}
	e.last = *readExtent(d)
	if !slices.IsSortedFunc(e.extents, func(a, b extent) int { return int(min(max(a.base-b.base, -1), 1)) }) {
		d.fail()
	}
	return e
}

func readCount(d *decoder) int {
	n := d.uint()
	if n > math.MaxInt32 {
		d.fail()
		return 0
	}
	return int(n)
}

func (e *summaryEntry) applyTo(m *model) error {
	if m.boots > 1 || len(m.extents) > 0 {
		return errOrder
	}
	if (len(e.extents) == 0) != (e.last.seq == 0) || e.last.base > maxPosition || e.last.physical > maxPosition || e.last.source > maxPosition {
		return errRecord
	}
	m.boots, m.files, m.forgotten, m.trusted = e.boots, e.files, e.forgotten, e.trusted
	m.extents = e.extents
	m.last = e.last
	return nil
}

// compact returns the records that say the same as all that were written,
// thinned by age (now in Unix seconds).
func (m *model) compact(now int64) []entry {
	boot := m.boot
	out := []entry{
		&m.header, &boot,
		&summaryEntry{m.boots, m.files, m.forgotten, m.trusted, m.extents, m.last},
	}
	for _, g := range m.generations {
		out = append(out, g)
	}
	for i := range m.gaps {
		out = append(out, &m.gaps[i])
	}
	for _, u := range m.unverified {
		out = append(out, &unverifiedEntry{u})
	}
	out = append(out, &toldEntry{m.told()})
	for _, e := range m.events {
		out = append(out, e)
	}
	for part := range slices.Chunk(thin(m.arrivals, now), maxMarks) {
		out = append(out, &marksEntry{part})
	}
	return out
}

// told returns up to which number every event has been told.
func (m *model) told() uint64 {
	if len(m.events) == 0 {
		return m.eventSeq
	}
	return m.events[0].seq - 1
}
