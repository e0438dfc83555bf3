package logs

import (
	"fmt"
	"slices"

	"dtc"
)

// lost records that bytes of the source were there and were destroyed before
// they could be read. Others may come in their place.
func (att *attachment) lost(f *dtc.Frame) error {
	if f.Offset < 0 || f.End <= f.Offset || f.End > maxPosition || len(f.Text) > dtc.MaxText {
		return fmt.Errorf("%w: a loss that cannot be", errProtocol)
	}
	if !att.lockOnce() {
		return nil
	}
	st := att.stream
	defer st.mu.Unlock()
	st.try(func(c *replica) error {
		if c.find(f.Generation) == nil {
			att.want(wantState)
			return nil
		}
		e := &lostEntry{c.length, f.Generation, f.Offset, f.End}
		if c.knowsLost(e) {
			return nil // the agent does not know that it was heard
		}
		return c.commit(st.eventFor(c, gapEvent(f, f.Offset), e)...)
	})
	return nil
}

// lockForGap is lockOnce for a gap. One of which nobody knows the generation may
// be the first that is heard of a stream.
func (att *attachment) lockForGap(f *dtc.Frame) bool {
	st := att.stream
	if f.Generation == 0 {
		st.mu.Lock()
		if st.owner == att && st.pause == "" && !st.made {
			att.makeNow()
		}
		st.mu.Unlock()
	}
	return att.lockOnce()
}

// lostEntry remembers a loss that was told, so that it is told once.
type lostEntry struct {
	base       int64 // logical position of the copy's end when it was told
	generation uint64
	from, to   int64 // in the source
}

// maxLost bounds the losses that are remembered, the newest.
const maxLost = 256

func (*lostEntry) kind() kind { return kindLost }

func (e *lostEntry) put(b []byte) []byte {
	return putInt(putInt(putUint(putInt(b, e.base), e.generation), e.from), e.to)
}

func readLost(d *decoder) *lostEntry {
	return &lostEntry{d.position(), d.uint(), d.position(), d.position()}
}

func (e *lostEntry) applyTo(m *model) error {
	if e.to <= e.from || e.to > maxPosition || e.base > maxPosition {
		return errRecord
	}
	m.lost = append(m.lost, *e)
	if n := len(m.lost); n > maxLost {
		m.lost = slices.Delete(m.lost, 0, n-maxLost)
	}
	return nil
}

// knowsLost tells whether a loss was told.
func (m *model) knowsLost(e *lostEntry) bool {
	return slices.ContainsFunc(m.lost, func(o lostEntry) bool {
		return o.generation == e.generation && o.from == e.from && o.to == e.to
	})
}
