package follow

import (
	"slices"
	"time"
)

const (
	// maxArrivals bounds the archives that wait to be looked into, maxPacked
	// those that are remembered.
	maxArrivals = 256
	maxPacked   = 1 << 16

	// lagging is how much earlier than the clock a file's time may be.
	lagging = 2 * time.Second
)

// Arrival is an archive that came to the family together with another file at
// the path: what it holds may have come and gone between two looks.
type Arrival struct {
	Member Member
	Next   *Generation // the first one that came later, nil if there is none
}

// Arrivals returns the archives that came since the last call, the oldest
// first.
func (c *Chain) Arrivals() []Arrival {
	all := c.arrivals
	c.arrivals = nil
	return all
}

// Arrived reports whether there are arrivals.
func (c *Chain) Arrived() bool { return len(c.arrivals) > 0 }

// CountFile counts a file that was taken though it never stood at the path when
// anybody looked.
func (c *Chain) CountFile() { c.files++ }

// pack remembers an archive. It reports false if it was met before.
func (c *Chain) pack(id Identity) bool {
	if c.packed == nil {
		c.packed = map[Identity]bool{}
	}
	if c.packed[id.Light()] {
		return false
	}
	if len(c.packed) >= maxPacked {
		clear(c.packed)
	}
	c.packed[id.Light()] = true
	return true
}

// meetArchives notes the archives among the members that were not met before,
// and that may hold what came and went since the path was last looked at: what
// was last written before that was there then, under whatever name. Whoever
// compresses a file leaves its archive the time of its last change.
func (c *Chain) meetArchives(members []Member) {
	remote := c.current != nil && c.current.File != nil && c.current.File.Remote()
	var next *Generation
	var met []Arrival
	for _, m := range slices.Backward(members) {
		if g := c.Held(m.ID); g != nil {
			next = g
			continue
		}
		if !m.Compressed || !c.pack(m.ID) {
			continue
		}
		latest := m.Stat.Modified
		if latest%int64(time.Second) == 0 { // some programs keep whole seconds only
			latest += int64(time.Second)
		}
		old := latest < c.at.Add(-lagging).UnixNano() && !remote || latest <= c.floor
		if !old && !c.foreignAt(m.Stat.Modified) {
			met = append(met, Arrival{m, next})
		}
	}
	slices.Reverse(met)
	c.arrivals = append(c.arrivals, met...)
	if over := len(c.arrivals) - maxArrivals; over > 0 {
		c.arrivals = c.arrivals[over:]
	}
}

// foreignAt reports whether a file of which nothing is wanted was last changed
// at that time.
func (c *Chain) foreignAt(modified int64) bool {
	for _, s := range c.strangers {
		if s.foreign && (s.modified == modified || modified%int64(time.Second) == 0 && s.modified-s.modified%int64(time.Second) == modified) {
			return true
		}
	}
	return false
}

// Foreign reports whether content of that length may be that of a file of which
// nothing is wanted and that is gone from the family, and counts that as found.
func (c *Chain) Foreign(length int64, family *Family) bool {
	for id, s := range c.strangers {
		there := slices.ContainsFunc(family.Members, func(m Member) bool { return m.ID.Light() == id })
		if s.foreign && !there && s.size == length {
			delete(c.strangers, id)
			return true
		}
	}
	return false
}
