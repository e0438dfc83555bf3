package follow

import "slices"

// Cut ends g, whose content was destroyed, and appends what its file holds now
// as a generation of its own. If a sibling proves to be a copy of g, as a
// rotation by copying leaves it, g goes on in the copy to its end.
func (c *Chain) Cut(r *Reader, g *Generation) {
	f := g.File
	g.File, g.Ended = nil, true
	if g.Copy || f == nil {
		if f != nil {
			_ = f.Close()
		}
		return
	}
	next := c.newGeneration(f)
	c.files-- // it is the same one
	next.Origin, next.before = g.Origin, g.before
	next.Origin.Incarnation++
	i := slices.Index(c.Generations, g)
	c.Generations = slices.Insert(c.Generations, i+1, next)
	if c.current == g {
		c.current = next
	}
	c.findCopy(r, g, f.real)
	c.count++
	next.born = c.count
}

// findCopy looks in the family of path for a copy of g's content: for the oldest,
// as what was in the file later, and may begin alike, was copied later.
func (c *Chain) findCopy(r *Reader, g *Generation, path string) {
	family, err := c.host.Family(path, func(id Identity, st Stat) bool {
		s, ok := c.strangers[id] // one that was there before g, and did not change, is a copy of something else
		return c.Held(id) != nil || ok && s.count <= g.born && s.like(st) || !ok && c.older(id)
	})
	if err != nil {
		return
	}
	defer family.Close()
	for i := range family.Members {
		m := &family.Members[i]
		if m.File == nil || m.Name == m.Base || !r.IsCopy(g, m.File, m.Stat.Size) {
			continue
		}
		g.File, g.Copy, m.File = m.File, true, nil
		g.Seen = max(g.Seen, m.Stat.Size)
		c.note(*m)
		c.moveBehind(g, family.Members[i+1:])
		return
	}
}

// moveBehind puts generations that stand before g, and whose files came after
// the copy of it, behind it, as far as nothing was read of them.
func (c *Chain) moveBehind(g *Generation, later []Member) {
	behind := slices.Index(c.Generations, g)
	for _, m := range later {
		h := c.Held(m.ID)
		if i := slices.Index(c.Generations, h); h != nil && i < behind && h.Position() == h.Start {
			copy(c.Generations[i:], c.Generations[i+1:behind+1])
			c.Generations[behind] = h
		}
	}
}

// strongHead is how many equal first bytes make two files copies of one
// another, if the bytes before the position are equal too.
const strongHead = 1024

// shortHead is how many they must be, if they are all that was read, in a file of
// which nobody has seen that it came after that.
const shortHead = 8

// IsCopy reports whether f, of the given size, begins with what was read of g:
// its head and the bytes before its position, and enough of them to say so.
func (r *Reader) IsCopy(g *Generation, f *File, size int64) bool {
	mark := g.Mark
	if mark.Length == 0 {
		mark = g.probe
		if end, err := r.holds(f, g.end); err != nil || !end || g.unproven() { // many files begin alike
			return false
		}
	}
	whole := mark.Length > 0 && mark.Offset-int64(mark.Length) <= g.Start
	if size < mark.Offset || !whole && g.Head.Length < strongHead {
		return false
	}
	head, err := r.holds(f, g.Head)
	if err != nil || !head {
		return false
	}
	same, err := r.holds(f, mark)
	return err == nil && same
}

// Insert puts a generation for f, which the caller proved to be older, before
// all those of files that came later: before the generation next, at the end if
// next is nil. The chain owns f from then on.
func (c *Chain) Insert(f *File, origin Origin, next *Generation) *Generation {
	g := c.newGeneration(f)
	g.Origin, g.before = origin, true
	c.insert(g, next)
	delete(c.strangers, f.id.Light())
	return g
}

// Seek puts a generation of which no file is known before the generation next,
// at the end if next is nil.
func (c *Chain) Seek(origin Origin, next *Generation) *Generation {
	g := &Generation{Origin: origin, Ended: true, born: c.count}
	c.insert(g, next)
	return g
}

// Shelve closes the archive that g goes on in; it may be found again.
func (c *Chain) Shelve(g *Generation) {
	_ = g.File.Close()
	g.File = nil
}

// Remove forgets g and closes its file.
func (c *Chain) Remove(g *Generation) {
	if i := slices.Index(c.Generations, g); i >= 0 {
		c.Generations = slices.Delete(c.Generations, i, i+1)
	}
	if g.File != nil {
		if st, err := g.File.Stat(); err == nil && st.Links > 0 && !g.File.Packed() { // it may be met again under some name
			c.note(Member{ID: g.File.id, Stat: st})
		}
		_ = g.File.Close()
		g.File = nil
	}
	if c.current == g {
		c.current = nil
	}
}

// Close closes every file.
func (c *Chain) Close() {
	for len(c.Generations) > 0 {
		c.Remove(c.Generations[0])
	}
}

// Family returns the siblings of the path as they are now. Those that are not
// of the chain, and that wanted reports as wanted, are open; the caller closes
// them.
func (c *Chain) Family(wanted func(Identity, Stat) bool) (Family, error) {
	family, err := c.host.Family(c.familyPath(nil), func(id Identity, st Stat) bool {
		return c.Held(id) != nil || !wanted(id, st)
	})
	return family, ignoreGone(err)
}

// FamilyAndArchives is Family with the compressed members, which are not opened.
func (c *Chain) FamilyAndArchives(wanted func(Identity, Stat) bool) (Family, error) {
	family, err := c.host.FamilyAndArchives(c.familyPath(nil), func(id Identity, st Stat) bool {
		return c.Held(id) != nil || !wanted(id, st)
	})
	return family, ignoreGone(err)
}

// OpenMember opens a member of the family in dir; see [Host.OpenMember].
func (c *Chain) OpenMember(dir string, m *Member) (*File, error) { return c.host.OpenMember(dir, m) }

// FamilyPath returns the path that the family is that of, without symbolic
// links as far as it is known.
func (c *Chain) FamilyPath() string { return c.familyPath(nil) }

// Nobody wants no member of a family to be opened.
func Nobody(Identity, Stat) bool { return false }

// Everyone wants every member of a family.
func Everyone(Identity, Stat) bool { return true }

// Stranger reports whether the chain knows of a file of the family that is none
// of its own. Of one that is not known the next Sync will tell.
func (c *Chain) Stranger(id Identity) bool {
	_, ok := c.strangers[id.Light()]
	return ok || c.older(id) || c.unremembered(id)
}

// Before reports whether a file of the family stood there when the chain began,
// and was none of its own then.
func (c *Chain) Before(id Identity) bool {
	return c.strangers[id.Light()].before || c.older(id) || c.unremembered(id)
}

// Sort brings the generations of which key gives a number into the order of
// those numbers. They keep to the places that they have together.
func (c *Chain) Sort(key func(*Generation) (int, bool)) {
	var places []int
	var moved []*Generation
	number := map[*Generation]int{}
	for i, g := range c.Generations {
		if k, ok := key(g); ok {
			places, moved = append(places, i), append(moved, g)
			number[g] = k
		}
	}
	slices.SortStableFunc(moved, func(a, b *Generation) int { return number[a] - number[b] })
	for i, g := range moved {
		c.Generations[places[i]] = g
	}
}
