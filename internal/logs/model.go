package logs

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"dtc"
)

// Bounds of what a side record remembers, so that no agent can make it grow
// without end. What is forgotten stays in the copy; only which generation it
// came from is no longer known.
const (
	maxSealed     = dtc.MaxGenerations // sealed generations, the newest
	maxOpen       = dtc.MaxGenerations // generations that are not sealed
	maxExtents    = 4096
	maxGaps       = 256
	maxUnverified = 64
	maxPosition   = math.MaxInt64 / 4 // of anything: sums of two never overflow
)

// extent says that the bytes of the copy from base on are those of a
// generation from source on, up to where the next extent begins.
type extent struct {
	base       int64 // logical position in the stream
	physical   int64 // position in the data file
	source     int64 // position in the generation
	generation uint64
	file       int   // which of the stream's data files, counted by model.files
	have       int64 // bytes of it that were in the file at most; less than its length if somebody cut the file
	foreign    bool  // it is there because somebody else changed the copy
}

// model is what a side record says: the sum of its records. The writer applies
// each record to it that it writes, so that what a restart reads is what the
// writer knew.
type model struct {
	header      headerEntry
	generations []*generation // ascending
	proven      []proven      // what is left of sealed ones that are not among them, ascending
	extents     []extent      // ascending by base
	last        extentEntry   // the newest extent; seq 0: there is none
	boot        bootEntry     // the newest
	boots       uint64        // number of boot records ever
	files       int           // number of the live data file: how many were closed, lost or replaced
	begun       liveFile
	segments    []segment // closed data files that are kept, the oldest first
	doomed      []segment // that retention has dropped, whose files may be there still
	dropped     int64     // bytes before this base were dropped by retention
	drops       []dropped // of generations that are known
	gaps        []gapEntry
	lost        []lostEntry
	hollowBytes int64 // of the stream are holes
	holeEnd     int64 // logical position behind the last hole that was counted
	unverified  []span
	events      []*eventEntry // not told yet
	eventSeq    uint64        // of the newest event
	arrivals    []arrival     // kept only if keepArrivals
	lastArrival arrival
	trusted     int64 // bytes before this base may be somebody else's
	forgotten   int64 // extents before this base are not remembered

	keepArrivals bool
}

// find returns the generation with that number, nil if it is not known.
func (m *model) find(number uint64) *generation {
	i, ok := slices.BinarySearchFunc(m.generations, number, func(g *generation, n uint64) int {
		switch {
		case g.number < n:
			return -1
		case g.number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return m.generations[i]
}

// highest returns the number of the newest generation, 0 if there is none.
func (m *model) highest() uint64 {
	if len(m.generations) == 0 {
		return 0
	}
	return m.generations[len(m.generations)-1].number
}

var errOrder = errors.New("a record out of order")

func (e *headerEntry) applyTo(m *model) error {
	if m.header.version != 0 {
		return fmt.Errorf("a second header: %w", errOrder)
	}
	if e.version != formatVersion {
		return errNewer
	}
	m.header = *e
	return nil
}

func (g *generation) applyTo(m *model) error {
	if g.position > maxPosition || g.markAt > maxPosition {
		return errRecord
	}
	if old := m.find(g.number); old != nil {
		*old = *g
		return nil
	}
	if g.number <= m.highest() {
		return fmt.Errorf("generation %d: %w", g.number, errOrder)
	}
	m.generations = append(m.generations, g)
	m.forgetGenerations()
	return nil
}

// forgetGenerations drops the oldest sealed generations beyond maxSealed, but
// for what proves them.
func (m *model) forgetGenerations() {
	sealed := 0
	for _, g := range m.generations {
		if g.sealed() {
			sealed++
		}
	}
	if sealed <= maxSealed {
		return
	}
	m.generations = slices.DeleteFunc(m.generations, func(g *generation) bool {
		if sealed <= maxSealed || !g.sealed() || g.number == m.last.generation || g.number == m.highest() {
			return false
		}
		sealed--
		m.keepProof(g)
		return true
	})
}

func (e *extentEntry) applyTo(m *model) error {
	g := m.find(e.generation)
	switch {
	case e.seq != m.last.seq+1 && m.last.seq != 0, e.seq == 0, e.base < m.last.base:
		return fmt.Errorf("extent %d: %w", e.seq, errOrder)
	case g == nil:
		return fmt.Errorf("extent %d of generation %d, which is not known: %w", e.seq, e.generation, errOrder)
	case e.base > maxPosition || e.physical > maxPosition || e.source > maxPosition:
		return errRecord
	}
	m.closeExtent(e.base)
	m.clip(e.physical)
	g.position = e.source
	m.last = *e
	if e.foreign != 0 {
		m.trusted = e.base
	}
	if n := len(m.extents); n == 0 || m.extents[n-1].file != m.files {
		m.begun = liveFile{base: e.base, sum: sum{e.sum, true}}
	}
	m.extents = append(m.extents, extent{
		base: e.base, physical: e.physical, source: e.source, generation: e.generation,
		file: m.files, have: math.MaxInt64, foreign: e.foreign != 0,
	})
	if n := len(m.extents); n > maxExtents {
		m.forgotten = m.extents[n-maxExtents].base
		gone := slices.Clone(m.extents[:n-maxExtents])
		m.extents = slices.Delete(m.extents, 0, n-maxExtents)
		m.dropProofs(gone)
	}
	return nil
}

// closeExtent fixes the position that the open extent's generation has
// reached at a logical position.
func (m *model) closeExtent(base int64) {
	n := len(m.extents)
	if n == 0 {
		return
	}
	x := &m.extents[n-1]
	x.have = min(x.have, base-x.base)
	if g := m.find(x.generation); g != nil {
		g.position = x.source + base - x.base
	}
}

// clip takes note that what earlier extents had in the present file from a
// physical position on is not there any more.
func (m *model) clip(physical int64) {
	for i := len(m.extents) - 1; i >= 0; i-- {
		x := &m.extents[i]
		if x.file != m.files || x.physical+min(x.have, maxPosition) <= physical {
			break
		}
		x.have = max(0, physical-x.physical)
	}
}

func (e *gapEntry) applyTo(m *model) error {
	m.gaps = append(m.gaps, *e)
	if n := len(m.gaps); n > maxGaps {
		m.gaps = slices.Delete(m.gaps, 0, n-maxGaps)
	}
	return nil
}

func (e *rewindEntry) applyTo(*model) error { return nil }

func (e *bootEntry) applyTo(m *model) error {
	if m.boots > 0 && !e.kept {
		m.files++
	}
	m.boot = *e
	m.boots++
	return nil
}

func (e *eventEntry) applyTo(m *model) error {
	if e.seq <= m.eventSeq {
		return fmt.Errorf("event %d: %w", e.seq, errOrder)
	}
	m.eventSeq = e.seq
	m.events = append(m.events, e)
	return nil
}

func (e *toldEntry) applyTo(m *model) error {
	m.events = slices.DeleteFunc(m.events, func(o *eventEntry) bool { return o.seq <= e.seq })
	m.eventSeq = max(m.eventSeq, e.seq)
	return nil
}

func (e *markEntry) applyTo(m *model) error {
	m.arrived(e.arrival)
	if m.keepArrivals {
		m.arrivals = append(m.arrivals, e.arrival)
	}
	return nil
}

func (e *marksEntry) applyTo(m *model) error {
	for _, a := range e.arrivals {
		m.arrived(a)
	}
	if m.keepArrivals {
		m.arrivals = append(m.arrivals, e.arrivals...)
	}
	return nil
}

// arrived takes note of the next arrival.
func (m *model) arrived(a arrival) {
	m.lastArrival = a
	if m.begun.first == 0 || a.base <= m.begun.base {
		m.begun.first = a.time
	}
}

func (e *unverifiedEntry) applyTo(m *model) error {
	if e.to < e.from || e.to > maxPosition {
		return errRecord
	}
	m.unverified = append(m.unverified, e.span)
	if n := len(m.unverified); n > maxUnverified {
		m.unverified = slices.Delete(m.unverified, 0, n-maxUnverified)
	}
	return nil
}

// position returns the source position and generation that a logical position
// at the end of the copy stands for.
func (m *model) position(length int64) int64 { return m.last.source + length - m.last.base }
