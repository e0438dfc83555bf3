package logs

import (
	"slices"
)

// proven is what is still known of a sealed generation when there are too many
// newer ones to remember it whole: enough to tell whether the copy has it.
type proven struct {
	number          uint64
	start, position int64
	sum             uint32 // of the bytes in between, see [generation]
	flags           uint64
}

// sealed returns it as a generation, of which no more is known.
func (p *proven) sealed() generation {
	return generation{number: p.number, start: p.start, position: p.position, sum: p.sum, end: p.position, flags: p.flags}
}

// provenAt returns where the generation with that number is among the proven
// ones, or would be.
func (m *model) provenAt(number uint64) (int, bool) {
	return slices.BinarySearchFunc(m.proven, number, func(p proven, n uint64) int {
		switch {
		case p.number < n:
			return -1
		case p.number > n:
			return 1
		}
		return 0
	})
}

// judges tells whether enough is known of a generation to say whether the copy
// has it.
func (m *model) judges(number uint64) bool {
	_, ok := m.provenAt(number)
	return ok || m.find(number) != nil
}

// keepProof keeps what proves a generation that is forgotten, as long as it is
// known where in the copy its bytes are: so there are no more of them than of
// extents.
func (m *model) keepProof(g *generation) {
	if i, ok := m.provenAt(g.number); !ok && m.located(g.number) {
		m.proven = slices.Insert(m.proven, i, proven{g.number, g.start, g.position, g.sum, g.flags})
	}
}

// located tells whether it is known where bytes of a generation are.
func (m *model) located(number uint64) bool {
	return slices.ContainsFunc(m.extents, func(x extent) bool { return x.generation == number })
}

// dropProofs drops those of generations of which it is no more known where
// bytes are. Only those of these extents may be.
func (m *model) dropProofs(gone []extent) {
	for _, x := range gone {
		if i, ok := m.provenAt(x.generation); ok && !m.located(x.generation) {
			m.proven = slices.Delete(m.proven, i, i+1)
		}
	}
}

// maxDrops bounds the generations of which it is remembered what retention has
// dropped: it is less than a record may have.
const maxDrops = 1024

// pruneDrops drops what retention has dropped of generations that nothing is
// known of.
func (m *model) pruneDrops() {
	m.drops = slices.DeleteFunc(m.drops, func(d dropped) bool { return !m.judges(d.generation) })
	more := len(m.drops) - maxDrops
	m.drops = slices.DeleteFunc(m.drops, func(d dropped) bool {
		i, ok := m.provenAt(d.generation)
		if !ok || more <= 0 {
			return false
		}
		more--
		m.proven = slices.Delete(m.proven, i, i+1)
		return true
	})
}

// provenEntry stands in a compacted journal for the generations of which only
// that is known.
type provenEntry struct{ all []proven }

func (*provenEntry) kind() kind { return kindProven }

func (e *provenEntry) put(b []byte) []byte {
	b = putUint(b, uint64(len(e.all)))
	last := uint64(0)
	for _, p := range e.all {
		b = putUint(b, p.number-last)
		b = putInt(b, p.start)
		b = putInt(b, p.position-p.start)
		b = putUint(b, uint64(p.sum))
		b = putUint(b, p.flags)
		last = p.number
	}
	return b
}

func readProven(d *decoder) *provenEntry {
	e := &provenEntry{}
	last := uint64(0)
	for range readLength(d) {
		number := last + d.uint()
		start, length := d.position(), d.position()
		p := proven{number, start, start + length, uint32(d.uint()), d.uint()}
		if number <= last || start > maxPosition || length > maxPosition {
			d.fail()
		}
		e.all, last = append(e.all, p), number
	}
	return e
}

func (e *provenEntry) applyTo(m *model) error {
	if len(m.proven) > 0 {
		return errOrder
	}
	m.proven = e.all
	return nil
}
