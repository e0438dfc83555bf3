package logs

import "slices"

// figures are what a list says of a copy. Those of a stream that was let go are
// kept: a list of thousands that had each loaded would throw out those in use.
type figures struct {
	received, durable  int64
	closed, unverified int64
	generation         uint64 // that receives; 0: none
	position           int64
	suspect            bool
	empty              bool // nothing of a source has come
	ends               []endpoint
}

// maxEnds is how many generations' positions are kept, the newest.
const maxEnds = 4

// figures returns what a list says of the copy.
func (c *replica) figures() figures {
	f := figures{
		received: c.length, durable: c.durableBase(), closed: c.closedSize(),
		suspect: c.suspect > 0, empty: c.highest() == 0,
	}
	for _, u := range c.unverified {
		f.unverified += u.to - u.from
	}
	if g := c.receiving(); g != nil {
		f.generation, f.position = g.number, g.position
	}
	for _, g := range c.generations[max(len(c.generations)-maxEnds, 0):] {
		f.ends = append(f.ends, endpoint{generation: g.number, position: g.position})
	}
	return f
}

// figures returns what a list says of a stream, without loading it where that
// is known. The stream's mutex is held.
func (st *stream) figures() (figures, error) {
	if st.c == nil && st.rest != nil && st.damage == nil && st.rest.tells(st.source) {
		return *st.rest, nil
	}
	c, err := st.open()
	if err != nil {
		return figures{}, err
	}
	return c.figures(), nil
}

// tells tells whether the lag behind a source can be said.
func (f *figures) tells(s sourceSize) bool {
	return !s.known || f.endOf(s.generation) >= 0 || len(f.ends) < maxEnds || s.generation > f.ends[len(f.ends)-1].generation
}

// endOf returns the position in a generation, -1 if nothing of it is known.
func (f *figures) endOf(generation uint64) int64 {
	i := slices.IndexFunc(f.ends, func(e endpoint) bool { return e.generation == generation })
	if i < 0 {
		return -1
	}
	return f.ends[i].position
}

// lag returns how many bytes the source has more than the copy.
func (st *stream) lag(f *figures) *int64 {
	if !st.source.known || st.owner == nil {
		return nil
	}
	lag := st.source.later
	if len(f.ends) == 0 || st.source.generation >= f.ends[0].generation { // else it is done with long since
		lag += max(st.source.size-max(f.endOf(st.source.generation), 0), 0)
	}
	return &lag
}
