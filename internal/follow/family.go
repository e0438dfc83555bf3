package follow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Member is one file of a family: the file at a path, or one that a rotation
// made of it.
type Member struct {
	Rotation
	Name string // "" if it was renamed or removed while the folder was read
	ID   Identity
	Stat Stat

	// File is open if the member was not known and is no archive; the caller of
	// Family owns it.
	File *File
}

// Family is a folder's files of one base name at one moment.
type Family struct {
	Members []Member // oldest first, the base itself last
	// Stable says that nothing was renamed while the folder was read. If
	// not, what is not in Members may be there all the same.
	Stable bool
}

// Close closes the files of all members that still are the family's own.
func (f *Family) Close() {
	for i := range f.Members {
		if f.Members[i].File != nil {
			_ = f.Members[i].File.Close()
			f.Members[i].File = nil
		}
	}
}

const (
	stableTries = 12
	// grain is the coarsest clock of a file system that is reckoned with: a
	// time stamp younger than that may hide a second change.
	grain = 40 * time.Millisecond
)

// Family returns the family of the file at path. Every member that known does
// not report as known is opened at once, which pins its content. The error is
// that of reading the folder.
func (h *Host) Family(path string, known func(Identity, Stat) bool) (Family, error) {
	return h.family(snapshot{dir: filepath.Dir(path), base: filepath.Base(path), known: known})
}

// FamilyAndArchives is Family with the compressed members. These are never
// opened: [Host.OpenMember] does that.
func (h *Host) FamilyAndArchives(path string, known func(Identity, Stat) bool) (Family, error) {
	return h.family(snapshot{dir: filepath.Dir(path), base: filepath.Base(path), known: known, archives: true})
}

func (h *Host) family(s snapshot) (Family, error) {
	s.host, s.pins = h, map[Identity]*File{}
	defer s.close()
	var before []Member
	for try := range stableTries {
		now, still, err := s.pass()
		if err != nil {
			return Family{}, err
		}
		if !s.missed && (still || try > 0 && sameMembers(before, now)) {
			return Family{Members: s.take(now), Stable: true}, nil
		}
		before = now
		if s.goOn != nil && !s.goOn() {
			break
		}
	}
	return Family{Members: s.take(before)}, nil
}

// snapshot is a family while it is being read.
type snapshot struct {
	host      *Host
	dir, base string
	known     func(Identity, Stat) bool
	archives  bool               // compressed members are wanted too
	goOn      func() bool        // whether to read once more; nil: as often as there are tries
	pins      map[Identity]*File // by full identity, open
	missed    bool               // the last pass met a file that it could not look at
}

// pass reads the folder once. It reports still if the folder did not change
// meanwhile.
func (s *snapshot) pass() (members []Member, still bool, err error) {
	s.missed = false
	rows, before, err := s.host.siblings(s.dir, s.base)
	if err != nil {
		return nil, false, err
	}
	seen := map[Identity]bool{}
	for _, r := range rows {
		m, ok := s.look(r)
		if !ok {
			continue
		}
		if seen[m.ID.Light()] && m.Stat.Links < 2 { // renamed between two looks, so another one may have been passed over
			s.missed = true
		}
		seen[m.ID.Light()] = true
		members = append(members, m)
	}
	after, err := StampOf(s.dir)
	return members, err == nil && after == before && after.settledNow(), err
}

// look identifies one sibling, and opens it if it is not known.
func (s *snapshot) look(r sibling) (Member, bool) {
	if r.Compressed && !s.archives {
		return Member{}, false
	}
	path := filepath.Join(s.dir, r.name)
	light, st, err := glance(path)
	if err != nil {
		return Member{}, s.skip(err)
	}
	m := Member{Rotation: r.Rotation, Name: r.name, ID: light, Stat: st}
	if r.Compressed || s.known(light, st) {
		return m, true
	}
	for id := range s.pins {
		if id.Light() == light {
			m.ID = id
			return m, true
		}
	}
	f, err := s.host.openSibling(path)
	if errors.Is(err, fs.ErrPermission) {
		return m, true // it is there, and cannot be read
	}
	if err != nil {
		return Member{}, s.skip(err)
	}
	m.ID = f.Identity()
	if m.ID.Light() != light { // another one stood there already
		s.missed = true
	}
	if s.pins[m.ID] != nil {
		_ = f.Close()
		return m, true
	}
	f.real = filepath.Join(s.dir, s.base) // so that its family is found by it
	s.pins[m.ID] = f
	return m, true
}

// skip notes what an entry that could not be looked at means: one that is gone
// was moved, one that may not be followed is none of the family.
func (s *snapshot) skip(err error) bool {
	if _, refused := errors.AsType[*Refusal](err); !refused && !isLink(err) && !errors.Is(err, fs.ErrPermission) {
		s.missed = true
	}
	return false
}

// take hands the opened files over to the members. What was opened and has no
// name any more comes with them: it was of the family a moment ago.
func (s *snapshot) take(members []Member) []Member {
	for i := range members {
		if f := s.pins[members[i].ID]; f != nil {
			members[i].File = f
			delete(s.pins, members[i].ID)
		}
	}
	for id, f := range s.pins {
		if st, err := f.Stat(); err == nil {
			members = append(members, Member{Rotation: Rotation{Base: s.base, Index: -1}, ID: id, Stat: st, File: f})
			delete(s.pins, id)
		}
	}
	sortMembers(members)
	return members
}

func (s *snapshot) close() {
	for _, f := range s.pins {
		_ = f.Close()
	}
}

// OpenMember opens a member of the family in dir, under the name that it had
// when the family was read. The error is [ErrMoved] if that is another file by
// now.
func (h *Host) OpenMember(dir string, m *Member) (*File, error) {
	f, err := h.openSibling(filepath.Join(dir, m.Name))
	if err != nil {
		return nil, err
	}
	if f.id.Light() != m.ID.Light() {
		_ = f.Close()
		return nil, fmt.Errorf("open %s: %w", f.real, ErrMoved)
	}
	return f, nil
}

// ErrMoved is the error of opening a file that was renamed since it was seen.
var ErrMoved = errors.New("it was renamed meanwhile")

// openSibling opens a rotated file. A symbolic link is none.
func (h *Host) openSibling(path string) (*File, error) {
	if h.open.Add(1) > h.limit {
		h.open.Add(-1)
		return nil, fmt.Errorf("open %s: %w", path, ErrBudget)
	}
	hd, err := openPlain(path)
	if err != nil {
		h.open.Add(-1)
		return nil, err
	}
	f, err := h.newFile(hd, path)
	if err != nil {
		h.open.Add(-1)
	}
	return f, err
}

func sameMembers(a, b []Member) bool {
	return slices.EqualFunc(a, b, func(x, y Member) bool { return x.Name == y.Name && x.ID.Light() == y.ID.Light() })
}

// sortMembers puts the oldest first, the base last. The numbers or dates in the
// names decide; between others the time of creation.
func sortMembers(ms []Member) {
	// When an archive was made says nothing of what is in it. When it was changed
	// does: it has that time of the file that it was made of.
	packed := slices.ContainsFunc(ms, func(m Member) bool { return m.Compressed })
	byTime := func(a, b Member) int {
		if packed || a.ID.Birth == 0 || b.ID.Birth == 0 {
			return cmp.Compare(a.Stat.Modified, b.Stat.Modified)
		}
		return cmp.Or(cmp.Compare(a.ID.Birth, b.ID.Birth), cmp.Compare(a.Stat.Modified, b.Stat.Modified))
	}
	isBase := func(m Member) bool { return m.Name == m.Base }
	slices.SortStableFunc(ms, func(a, b Member) int { return cmp.Or(compareBool(isBase(a), isBase(b)), byTime(a, b)) })
	numbered := func(m Member) bool { return m.Name != "" && m.Index >= 0 }
	sortSome(ms, numbered, func(a, b Member) int { return b.Index - a.Index })
	if sortedBy(ms, numbered, func(m Member) int64 { return -m.ID.Birth }) &&
		sortedBy(ms, numbered, func(m Member) int64 { return -m.Stat.Modified }) { // the numbers grow with time
		sortSome(ms, numbered, func(a, b Member) int { return a.Index - b.Index })
	}
	sortSome(ms, func(m Member) bool { return m.Name != "" && m.Date != "" },
		func(a, b Member) int { return compareDates(a.Date, b.Date) })
}

// compareDates compares the digits of two dates. What follows a day may be a
// count without leading zeros.
func compareDates(a, b string) int {
	const day = len("20061102")
	if len(a) > day && len(b) > day && a[:day] == b[:day] {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// sortSome sorts those members that are chosen, in the places that they have.
func sortSome(ms []Member, chosen func(Member) bool, compare func(a, b Member) int) {
	var places []int
	var some []Member
	for i, m := range ms {
		if chosen(m) {
			places, some = append(places, i), append(some, m)
		}
	}
	slices.SortStableFunc(some, compare)
	for i, m := range some {
		ms[places[i]] = m
	}
}

// sortedBy reports whether the values of the chosen members grow, and are not
// all the same.
func sortedBy(ms []Member, chosen func(Member) bool, value func(Member) int64) bool {
	var values []int64
	for _, m := range ms {
		if chosen(m) {
			values = append(values, value(m))
		}
	}
	return slices.IsSorted(values) && len(values) > 1 && values[0] < values[len(values)-1]
}

// sibling is a row of a listing: a name that a rotation made.
type sibling struct {
	Rotation
	name string
}

// listing is a folder's names by the base names that they may come from.
type listing struct {
	stamp Stamp
	made  time.Time
	bases map[string][]sibling
}

// Stamp changes whenever a name in a folder does, if the clock is fine enough.
type Stamp struct {
	id                Identity
	modified, changed int64
}

func (s Stamp) settledNow() bool { return s.Settled(time.Now()) }

// Settled reports whether the stamp is so old that a later change must have
// another one.
func (s Stamp) Settled(now time.Time) bool {
	age := now.Sub(time.Unix(0, max(s.modified, s.changed)))
	return age > grain || age < -grain
}

const keptListings = 8

// siblings returns the rows of base in dir, base itself included.
func (h *Host) siblings(dir, base string) ([]sibling, Stamp, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, err := StampOf(dir)
	if err != nil {
		return nil, now, err
	}
	l := h.listings[dir]
	if l == nil || l.stamp != now || !l.stamp.Settled(l.made) {
		if l, err = list(dir, now); err != nil {
			return nil, now, err
		}
		for len(h.listings) >= keptListings {
			for old := range h.listings {
				delete(h.listings, old)
				break
			}
		}
		h.listings[dir] = l
	}
	return l.bases[base], now, nil
}

func list(dir string, at Stamp) (*listing, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	l := &listing{stamp: at, made: time.Now(), bases: map[string][]sibling{}}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range names {
		l.bases[name] = append(l.bases[name], sibling{Rotation{Base: name, Index: -1}, name})
		for _, r := range Rotations(name) {
			l.bases[r.Base] = append(l.bases[r.Base], sibling{r, name})
		}
	}
	for _, rows := range l.bases {
		slices.SortFunc(rows, func(a, b sibling) int { return cmp.Compare(a.name, b.name) })
	}
	return l, nil
}

// Glance returns as much of the identity of the regular file at path as can be
// known without opening it. Symbolic links are not followed.
func Glance(path string) (Identity, error) {
	id, _, err := glance(path)
	return id, err
}
