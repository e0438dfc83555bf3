package follow

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// Chain is what stood at one path, one generation after the other, as far as
// their bytes are still wanted. It serves one goroutine at a time.
type Chain struct {
	host *Host
	path string

	// Generations has the oldest first.
	Generations []*Generation

	current   *Generation // the one at the path, nil if nothing is there
	looked    bool        // the path was looked at before
	unsettled bool        // the family was renamed while it was read, so that something may have been missed
	existed   int64       // size of the file when the path was first looked at, -1 if there was none
	floor     int64       // when the first file was made, ns since 1970; 0 if unknown
	strangers map[Identity]stranger
	count     int64             // of looks at the family
	files     uint64            // that it ever took
	packed    map[Identity]bool // archives that were met, by light identity
	arrivals  []Arrival         // archives of who knows what, the oldest first
	folder    Stamp             // of the family's folder, when the strangers were noted
	at        time.Time
}

// stranger is a sibling that is none of the chain's: it stood there before the
// chain began, or is somebody's copy. The key is a light identity.
type stranger struct {
	count          int64 // the look at which it was seen first or changed
	size, modified int64 // as it was then
	foreign        bool  // nothing of it was ever held
	before         bool  // it stood there when the chain began
}

func (s stranger) like(st Stat) bool { return s.size == st.Size && s.modified == st.Modified }

// maxStrangers bounds what a chain remembers of a folder full of siblings.
const maxStrangers = 4096

// NewChain returns the chain of the file at path, which need not exist.
func (h *Host) NewChain(path string) *Chain {
	return &Chain{host: h, path: path, existed: -1, strangers: map[Identity]stranger{}}
}

// Path returns the path that the chain is of.
func (c *Chain) Path() string { return c.path }

// Current returns the generation at the path, nil if nothing is there.
func (c *Chain) Current() *Generation { return c.current }

// FirstSize returns the size of the file that was there when the path was first
// looked at, and -1 if there was none.
func (c *Chain) FirstSize() int64 { return c.existed }

// Files returns how many files the chain ever took.
func (c *Chain) Files() uint64 { return c.files }

// Settled reports whether the last look missed nothing.
func (c *Chain) Settled() bool { return c.looked && !c.unsettled }

// Looked reports whether the path was looked at.
func (c *Chain) Looked() bool { return c.looked }

// Held returns the newest generation whose file has the identity id, as far as
// it can be known without opening it, and nil if there is none.
func (c *Chain) Held(id Identity) *Generation {
	for _, g := range slices.Backward(c.Generations) {
		if g.File != nil && !g.File.displaced && g.File.id.Light() == id.Light() {
			return g
		}
	}
	return nil
}

// Sync looks whether another file stands at the path, and appends it and all
// that came and were rotated since the last look. It reports whether the chain
// changed. The error is a *Refusal if what stands there may not be followed; a
// path at which nothing is there is no error.
func (c *Chain) Sync() (bool, error) {
	if !c.looked {
		return c.begin()
	}
	if c.current != nil && !c.unsettled && c.still(c.current.File) {
		if noted, err := c.noteStrangers(); noted || err != nil {
			return false, err
		}
	}
	changed := false
	for range 8 {
		more, settled, err := c.advance()
		changed = changed || more
		if err != nil || settled {
			return changed, err
		}
	}
	return changed, nil
}

// begin takes the file that is at the path now. Its siblings were there before.
func (c *Chain) begin() (bool, error) {
	at := time.Now()
	f, err := c.host.Open(c.path)
	if err != nil && !gone(err) {
		return false, err
	}
	c.looked = true
	if f != nil {
		if st, err := f.Stat(); err == nil {
			c.existed = st.Size
		}
		c.current, c.floor = c.newGeneration(f), f.id.Birth
		c.Generations = append(c.Generations, c.current)
	}
	noted, err := c.noteStrangers()
	if !noted && err == nil {
		c.noteOlder(at)
	}
	return f != nil, err
}

// noteOlder remembers those siblings that were made before the time at, when the
// path was first looked at, though it has changed since.
func (c *Chain) noteOlder(at time.Time) {
	family, err := c.host.Family(c.familyPath(nil), func(Identity, Stat) bool { return true })
	if err != nil {
		return
	}
	c.count++
	for _, m := range family.Members {
		if m.Name != m.Base && c.Held(m.ID) == nil && m.ID.Birth != 0 && m.ID.Birth < at.Add(-grain).UnixNano() && !c.older(m.ID) {
			c.noteForeign(m)
		}
	}
}

// advance makes one step to what is at the path now. It is settled if the path
// still led there after the family had been read.
func (c *Chain) advance() (changed, settled bool, err error) {
	f, err := c.host.Open(c.path)
	if err != nil && !gone(err) {
		c.current = nil
		return false, false, err
	}
	old := c.familyPath(f)
	changed, ferr := c.takeFamily(f)
	if f == nil {
		changed = changed || c.current != nil
		c.current = nil
		return changed, !c.unsettled, ferr
	}
	g := c.Held(f.id)
	if g.File != f {
		_ = f.Close()
	}
	changed = changed || c.current != g
	c.current = g
	if g.File.real != old {
		c.enterFamily(g)
	}
	same, err := g.File.At(c.path)
	return changed, !c.unsettled && (same || gone(err)), ferr
}

// takeFamily reads the family, and takes what is new in it, and f.
func (c *Chain) takeFamily(f *File) (bool, error) {
	family, err := c.host.FamilyAndArchives(c.familyPath(f), func(id Identity, _ Stat) bool {
		return c.Stranger(id) || c.Held(id) != nil || f != nil && f.id.Light() == id
	})
	if err != nil {
		c.unsettled = false
		return c.take(&Family{}, f), ignoreGone(err)
	}
	defer family.Close()
	c.unsettled = !family.Stable
	all := slices.Clone(family.Members)
	family.Members = slices.DeleteFunc(family.Members, func(m Member) bool { return m.Compressed })
	sortMembers(family.Members)
	changed := c.take(&family, f)
	c.meetArchives(all)
	return changed, nil
}

// take puts the members of the family that came to be since the last look, and
// f, which was at the path, into the chain in their order. They stood at the
// path and were rotated before anyone looked, or came after f had been opened.
func (c *Chain) take(family *Family, f *File) bool {
	c.count++
	before := len(c.Generations)
	fresh := c.freshFolder()
	if f != nil && c.Held(f.id) == nil && !slices.ContainsFunc(family.Members, func(m Member) bool { return m.ID.Light() == f.id.Light() }) {
		c.insert(c.newGeneration(f), nil)
	}
	var next *Generation
	if f != nil && f.real != c.familyPath(f) { // a link was turned: it came after all of those
		next = c.Held(f.id)
	}
	for i := range slices.Backward(family.Members) {
		m := &family.Members[i]
		g := c.Held(m.ID)
		switch {
		case g != nil:
			next = g
			continue
		case f != nil && m.ID.Light() == f.id.Light():
			g = c.newGeneration(f)
		case m.File == nil:
			continue
		case fresh && m.Stat.Modified < c.at.UnixNano() && m.Name != m.Base: // it came with its folder
			c.noteForeign(*m)
			continue
		case m.Name != m.Base && c.copied(m):
			c.note(*m)
			continue
		default:
			g, m.File = c.newGeneration(m.File), nil
		}
		c.insert(g, next)
		next = g
	}
	return len(c.Generations) > before
}

// enterFamily takes the siblings of g, at which a link points since the last
// look, that came since then: they were rotated before anyone looked.
func (c *Chain) enterFamily(g *Generation) {
	since := c.at.Add(-grain).UnixNano()
	family, err := c.host.Family(g.File.real, func(id Identity, _ Stat) bool { return id.Birth < since || c.Held(id) != nil })
	if err != nil {
		return
	}
	defer family.Close()
	next := g
	for i := range slices.Backward(family.Members) {
		if m := &family.Members[i]; m.File != nil && m.Name != m.Base && !c.copied(m) {
			h := c.newGeneration(m.File)
			m.File = nil
			c.insert(h, next)
			next = h
		}
	}
}

// copied reports whether a member is a copy of one of the generations that was
// truncated since. Of one that was not it may well be a successor that begins
// with the same bytes.
func (c *Chain) copied(m *Member) bool {
	r := c.host.NewProver()
	return slices.ContainsFunc(c.Generations, func(g *Generation) bool {
		if !r.IsCopy(g, m.File, m.Stat.Size) {
			return false
		}
		if g.File != nil && g.File.Remote() && m.File.Weak() {
			return true // it is the same one, whose number changed with its name
		}
		_, err := r.Look(g)
		return errors.Is(err, ErrCut)
	})
}

// insert puts g before next, at the end if next is nil.
func (c *Chain) insert(g, next *Generation) {
	i := len(c.Generations)
	if next != nil {
		i = slices.Index(c.Generations, next)
	}
	c.Generations = slices.Insert(c.Generations, i, g)
}

// freshFolder reports whether the family's folder is another one than at the
// last look.
func (c *Chain) freshFolder() bool {
	now, err := StampOf(filepath.Dir(c.familyPath(nil)))
	return err == nil && now.id != c.folder.id
}

// familyPath returns the path without symbolic links, as far as it is known.
func (c *Chain) familyPath(f *File) string {
	switch {
	case c.current != nil:
		return c.current.File.real
	case f != nil:
		return f.real
	case len(c.Generations) > 0 && c.Generations[len(c.Generations)-1].File != nil:
		return c.Generations[len(c.Generations)-1].File.real
	default:
		return dangling(c.path)
	}
}

// noteStrangers remembers the siblings that are there while the path has not
// changed: a rotation makes none of those. It reports false if the path did
// change meanwhile.
func (c *Chain) noteStrangers() (bool, error) {
	path := c.familyPath(nil)
	at := time.Now()
	now, err := StampOf(filepath.Dir(path))
	if err != nil {
		return true, ignoreGone(err)
	}
	if now == c.folder {
		c.at = at
		return true, nil
	}
	still := func() bool { return c.current == nil || c.still(c.current.File) }
	// Nothing is opened here: what has come meanwhile must be, and soon.
	family, err := c.host.family(snapshot{
		dir: filepath.Dir(path), base: filepath.Base(path), known: func(Identity, Stat) bool { return true }, archives: true, goOn: still,
	})
	if !still() {
		return false, nil
	}
	if err != nil {
		return true, ignoreGone(err)
	}
	c.at = at
	c.count++
	for _, m := range family.Members {
		if m.Compressed { // the path led to the same file since the last look: this is of what is known
			c.pack(m.ID)
		} else if m.Name != m.Base && c.Held(m.ID) == nil && !c.older(m.ID) {
			c.noteForeign(m)
		}
	}
	if family.Stable && now.Settled(c.at) {
		c.folder = now
	} else {
		c.folder = Stamp{id: now.id}
	}
	return true, nil
}

// older reports whether the file is certainly older than the chain: then it need
// not be remembered.
func (c *Chain) older(id Identity) bool { return id.Birth != 0 && id.Birth < c.floor }

// unremembered reports whether a file of the family may be a stranger that there
// was no room to remember: there are that many, and it was not made since the
// last look.
func (c *Chain) unremembered(id Identity) bool {
	return len(c.strangers) >= maxStrangers && (id.Birth == 0 || id.Birth < c.at.Add(-grain).UnixNano())
}

func (c *Chain) note(m Member) {
	id := m.ID.Light()
	s, ok := c.strangers[id]
	if ok && s.like(m.Stat) || !ok && len(c.strangers) >= maxStrangers {
		return
	}
	c.strangers[id] = stranger{c.count, m.Stat.Size, m.Stat.Modified, false, s.before || !ok && c.count <= 1}
}

// noteForeign notes a file of which nothing was ever held.
func (c *Chain) noteForeign(m Member) {
	id := m.ID.Light()
	old, ok := c.strangers[id]
	c.note(m)
	if s, now := c.strangers[id]; now && (!ok || old.foreign) {
		s.foreign = true
		c.strangers[id] = s
	}
}

func (c *Chain) newGeneration(f *File) *Generation {
	c.files++
	return &Generation{Origin: Origin{Identity: f.id, Incarnation: c.incarnation(f), Path: c.path}, File: f, Met: time.Now().UnixNano(), born: c.count}
}

// gone reports whether err says that there is nothing at a path.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || isNotDir(err) }

func ignoreGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

// Take removes g from the chain and returns its file, still open.
func (c *Chain) Take(g *Generation) *File {
	f := g.File
	g.File = nil
	c.Remove(g)
	return f
}
