package logs

import (
	"fmt"

	"dtc"
)

// checkSegments looks whether the closed segments are there as they were left.
// What somebody else did to one is told, and what is there counts as the copy.
func (c *replica) checkSegments() error {
	var entries []entry
	for i := range c.segments {
		s := &c.segments[i]
		now, err := c.fileAt(c.segmentPath(s.name))
		if err != nil {
			return err
		}
		change := &changedEntry{s.file, now.size, now.key}
		var words string
		switch name := segmentName(c.alias, s.name); {
		case !now.found:
			change.size = -1
			words = fmt.Sprintf("somebody removed %s, a closed part of the copy of %d bytes", name, s.size)
		case !s.key.is(now.key):
			words = fmt.Sprintf("somebody put another file of %d bytes in the place of %s, a closed part of the copy of %d bytes", now.size, name, s.size)
		case now.size < s.size:
			words = fmt.Sprintf("somebody cut %s, a closed part of the copy, from %d bytes to %d", name, s.size, now.size)
		case now.size > s.size:
			words = fmt.Sprintf("somebody added %d bytes to %s, a closed part of the copy", now.size-s.size, name)
		default:
			continue
		}
		e := c.event(dtc.StateChanged, nil, nil, words)
		e.seq += uint64(len(entries) / 2)
		entries = append(entries, change, e)
	}
	if len(entries) == 0 {
		return nil
	}
	c.touch()
	return c.commit(entries...)
}

// closedSize returns how many bytes the closed segments have.
func (m *model) closedSize() (n int64) {
	for i := range m.segments {
		n += m.segments[i].size
	}
	return n
}

// lookAtSegments has what somebody did to the closed segments of a stream told.
func (st *stream) lookAtSegments() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.made && st.damage == nil && st.pause == "" {
		_ = st.update((*replica).checkSegments) // the stream waits then, and that is told
	}
}
