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
		b = putInt(b, x.putHave())
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
			file: readCount(d),
		}
		x.readHave(d.int())
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

// What have is on disk: as it is, or negative: unlimited, and of an extent that
// is there because somebody changed the copy, which may have a limit too.
const (
	haveAll     = -1
	haveForeign = -2 // less what there is: from haveForeign-1 on
)

func (x *extent) putHave() int64 {
	all := x.have == math.MaxInt64
	switch {
	case x.foreign && all:
		return haveForeign
	case x.foreign:
		return haveForeign - 1 - x.have
	case all:
		return haveAll
	}
	return x.have
}

func (x *extent) readHave(v int64) {
	x.have, x.foreign = v, v <= haveForeign
	switch {
	case v == haveAll, v == haveForeign:
		x.have = math.MaxInt64
	case v < haveForeign:
		x.have = haveForeign - 1 - v
	}
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
	if i := slices.IndexFunc(m.extents, func(x extent) bool { return x.file == m.files }); i >= 0 {
		m.begun = liveFile{base: m.extents[i].base}
	}
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
	if len(m.segments)+len(m.doomed) > 0 || m.dropped > 0 || m.forgotten > 0 {
		out = append(out, &segmentsEntry{m.begun.base, m.begun.sum, m.dropped, m.drops, m.segments, m.doomed})
	}
	if len(m.proven) > 0 {
		out = append(out, &provenEntry{m.proven})
	}
	for _, g := range m.generations {
		out = append(out, g)
	}
	for i := range m.gaps {
		out = append(out, &m.gaps[i])
	}
	for i := range m.lost {
		out = append(out, &m.lost[i])
	}
	if m.hollowBytes > 0 {
		out = append(out, &holeEntry{m.holeEnd - m.hollowBytes, m.hollowBytes})
	}
	for _, u := range m.unverified {
		out = append(out, &unverifiedEntry{u})
	}
	out = append(out, &toldEntry{m.told()})
	for _, e := range m.events {
		out = append(out, e)
	}
	for part := range slices.Chunk(thin(m.arrivalsOf(m.dropped), now), maxMarks) {
		out = append(out, &marksEntry{part})
	}
	return out
}

// arrivalsOf returns the arrivals that say something of bytes from base on.
func (m *model) arrivalsOf(base int64) []arrival {
	all := m.arrivals
	for len(all) > 1 && all[1].base <= base {
		all = all[1:]
	}
	return all
}

// told returns up to which number every event has been told.
func (m *model) told() uint64 {
	if len(m.events) == 0 {
		return m.eventSeq
	}
	return m.events[0].seq - 1
}
