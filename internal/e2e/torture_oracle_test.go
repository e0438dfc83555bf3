//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// oracle compares one copy with the truth. It reads the copy as the contents of
// the source one after the other and mixed, the bytes of each in their order:
// there is a way to read it so, or the copy is wrong.
type oracle struct {
	*truth
	lives *lives
	path  string // of the copy

	lengths []stamp // of the copy
	mixed   bool    // clocks were set: files may be in any order
	done    int64   // bytes of the copy that were judged at a checkpoint
	ends    []int64 // of contents at earlier checkpoints
	losses  []loss  // at earlier checkpoints
	missing int64   // bytes that were destroyed, and told
	unseen  int64   // bytes that were destroyed before anybody could look, and not told
	spared  int     // gaps without an end of which nothing was missing
	parted  bool    // contents are in no file any more
}

// backtrack is how many bytes before a switch may belong to both sides.
const backtrack = bannerSize + 400

// alike is how many bytes of a fit may be chance.
const alike = 12

// read reads the copy from the last checkpoint on. The caller holds the lock.
func (o *oracle) read(got []byte) error {
	for _, c := range o.contents {
		c.saved = c.cursor
	}
	err := o.parse(got, 16)
	if err != nil { // very short pieces fit by chance, and are rarely right
		o.rollBack()
		if o.parse(got, 1) == nil {
			err = nil
		}
	}
	if err != nil {
		o.rollBack()
	}
	return err
}

func (o *oracle) rollBack() {
	for _, c := range o.contents {
		c.cursor = c.saved
	}
}

// parse tries the likeliest reading first. Contents may begin alike, so where no
// content goes on the last choice was perhaps the wrong one. Pieces have at least
// so many bytes, but for those that end the copy or a content.
func (o *oracle) parse(got []byte, least int) error {
	var (
		choices []choice
		worst   error
		deepest = -1
		cur     *content
		run     int // bytes that were taken of cur without a break
	)
	for i, tries := 0, 0; i < len(got); {
		if cur != nil {
			n := commonPrefix(got[i:], cur.data[cur.pos:])
			cur.pos += int64(n)
			run += n
			i += n
			cur.last = o.done + int64(i)
		}
		next := choice{at: i, cur: cur}
		if i < len(got) {
			next.cursors, next.ways = o.cursors(), o.ways(got, i, cur, min(run, backtrack))
			next.ways = slices.DeleteFunc(next.ways, func(w way) bool {
				return w.score < least && i+w.score < len(got) && w.at+int64(w.score+w.back) < int64(len(w.of.data))
			})
		}
		if len(next.ways) == 0 {
			err := o.inOrder()
			if i == len(got) && err == nil {
				return nil
			}
			if i > deepest {
				deepest, worst = i, o.misfitAt(got, i, err)
			}
			for len(choices) > 0 && len(choices[len(choices)-1].ways) == 0 {
				choices = choices[:len(choices)-1]
			}
			if tries++; len(choices) == 0 || tries > 2000 {
				return worst
			}
			next = choices[len(choices)-1]
			choices = choices[:len(choices)-1]
		}
		w := next.ways[0]
		next.ways = next.ways[1:]
		o.restore(next.cursors)
		choices = append(choices, next)
		i, cur, run = o.enter(next, w), w.of, 0
	}
	return nil
}

// choice is a place at which one content of several goes on.
type choice struct {
	at      int
	cur     *content // that was read before
	cursors []cursor // of all contents, then
	ways    []way    // that were not tried, the likeliest first
}

// way is one content that may go on at a place: from its position at on, and back
// bytes before the place.
type way struct {
	of    *content
	at    int64
	back  int
	score int
}

// enter goes one way, and returns from where on.
func (o *oracle) enter(c choice, w way) int {
	if w.back > 0 {
		c.cur.pos -= int64(w.back)
		c.cur.last -= int64(w.back)
	}
	i := c.at - w.back
	if !w.of.seen {
		w.of.seen, w.of.entered, w.of.first = true, w.at, o.done+int64(i)
	}
	w.of.pos = w.at
	return i
}

func (o *oracle) cursors() []cursor {
	all := make([]cursor, len(o.contents))
	for i, c := range o.contents {
		all[i] = c.cursor
	}
	return all
}

func (o *oracle) restore(all []cursor) {
	for i, c := range o.contents {
		c.cursor = all[i]
	}
}

// ways returns the ways to go on at got[i], or up to so many bytes before it.
func (o *oracle) ways(got []byte, i int, cur *content, most int) (all []way) {
	for _, c := range o.contents {
		if c == cur {
			continue
		}
		for _, p := range o.entries(c) {
			if w := fit(c.data[p:], got, i, most); w.score > 0 {
				w.of, w.at = c, p
				all = append(all, w)
			}
		}
		if p, ok := o.rewound(c, got[i:]); ok {
			all = append(all, way{of: c, at: p, score: commonPrefix(got[i:], c.data[p:])})
		}
	}
	slices.SortStableFunc(all, func(a, b way) int { return b.score - a.score })
	for k := 1; k < len(all); k++ { // of those that fit alike the older goes first
		for j := k; j > 0 && all[j].score+alike > all[j-1].score && all[j].of.number < all[j-1].of.number; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all
}

// fit returns how well rest goes on at got[i], or up to so many bytes before it.
func fit(rest, got []byte, i, most int) (best way) {
	for b := 0; b <= most && len(rest) > 0; b++ {
		if rest[0] != got[i-b] {
			continue
		}
		if n := commonPrefix(got[i-b:], rest) - b; n > best.score {
			best.back, best.score = b, n
		}
	}
	return best
}

// entries returns the positions at which c may go on.
func (o *oracle) entries(c *content) []int64 {
	if c.seen {
		return []int64{c.pos}
	}
	for a := c.parent; a != nil; a = a.parent {
		if a.seen {
			if p := min(a.pos, c.common(a)); p > 0 {
				return []int64{p, 0}
			}
			break
		}
	}
	return []int64{0}
}

// rewound returns the position at which c goes on with b, if c begins like what
// was in its file before: who sees only what they have in common cannot tell the
// one from the other cut there, and says that it was.
func (o *oracle) rewound(c *content, b []byte) (int64, bool) {
	if c.seen || c.parent == nil || len(b) < 2*alike {
		return 0, false
	}
	for a := c.parent; a != nil; a = a.parent {
		if !a.seen {
			continue
		}
		common := int64(min(commonPrefix(a.data, c.data)+alike, len(c.data)))
		from, to := min(a.pos, c.common(a)), min(a.pos+alike, common)
		if from >= to {
			return 0, false
		}
		return goesOn(c.data, from, to, b)
	}
	return 0, false
}

// goesOn returns the position from from on, and not behind to, at which data goes on
// with the most of b.
func goesOn(data []byte, from, to int64, b []byte) (at int64, ok bool) {
	most := 2*alike - 1
	for p := from; p <= to && p < int64(len(data)); p++ {
		if data[p] != b[0] {
			continue
		}
		if n := commonPrefix(data[p:], b); n > most {
			at, most, ok = p, n, true
		}
	}
	return at, ok && at > 0
}

// unlike reports whether c was entered behind bytes that it has in common with
// what was in its file before by chance.
func (o *oracle) unlike(c *content) bool {
	for a := c.parent; a != nil && c.seen; a = a.parent {
		if a.seen && a.first <= c.first {
			return c.entered > c.common(a)
		}
	}
	return false
}

// misfitAt returns why got does not fit at i: err where it is at its end.
func (o *oracle) misfitAt(got []byte, i int, err error) error {
	if i == len(got) {
		return err
	}
	return &misfit{alias: o.alias, got: got, base: o.done, at: i, state: o.explain(got, i)}
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+512 <= n && bytes.Equal(a[i:i+512], b[i:i+512]); i += 512 {
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// due returns how many bytes are not in the copy that must come to be there.
func (o *oracle) due() (n int64) {
	for _, c := range o.contents {
		n += max(o.wanted(c)-c.pos, 0)
	}
	return n
}

// wanted returns how many of c's first bytes must be in the copy.
func (o *oracle) wanted(c *content) int64 {
	if len(c.wrote) == 0 && !c.seen { // it has nothing of its own
		return 0
	}
	n := c.reachable()
	switch {
	case !c.seen && o.passedOver(c):
		return 0
	case c.gone().IsZero():
		return n
	case c.destroyed.IsZero(): // whoever has it open reads it to its end
		if o.lives.held(c.made, c.orphaned) {
			return int64(len(c.data))
		}
	case n > 0 && c.pos < fewBytes && !o.lives.held(c.begun(), c.destroyed):
		return 0 // a copy is known for one only by what was seen of its source
	}
	return n
}

// fewBytes prove nothing: another file may begin with them.
const fewBytes = 8

// passedOver reports whether an agent began to run when a newer content stood in
// the copy and c, which was rotated empty and written to late, did not: such a
// file it takes for one from before the first contact.
func (o *oracle) passedOver(c *content) bool {
	if !c.rotated && c.gone().IsZero() || len(c.wrote) == 0 {
		return false
	}
	late := c.wrote[0].at.Add(sight) // a successor's bytes wait for it for 1 s, and may be long on their way
	return slices.ContainsFunc(o.lives.begins(c.made), func(t time.Time) bool {
		length := o.lengthAt(t)
		return slices.ContainsFunc(o.contents, func(d *content) bool {
			return d.number > c.number && d.seen && d.first < length && o.lengthAt(late) > d.first
		})
	})
}

// lost returns the range of c's bytes that are not in the copy and cannot come
// any more, empty if there is none.
func (o *oracle) lost(c *content) (from, to int64) {
	if c.gone().IsZero() {
		return 0, 0
	}
	from, to = c.pos, int64(len(c.data))
	if !c.seen {
		from = c.kept // the rest is its parent's
	}
	for _, d := range o.contents { // what it shares with a successor that is there
		if d.seen && d != c {
			from = max(from, min(d.common(c), d.pos))
		}
	}
	return min(from, to), to
}

// misfit is the error of a copy that no reading fits.
type misfit struct {
	alias string
	got   []byte
	base  int64 // position of got in the copy
	at    int
	state string // of the contents there
}

// Error says where, and what the bytes there are.
func (m *misfit) Error() string {
	return fmt.Sprintf("%s: byte %d of the copy is none that may stand there\n  before: %.100q\n  there:  %.100q\n%s",
		m.alias, m.base+int64(m.at), m.got[max(0, m.at-80):m.at], m.got[m.at:], m.state)
}

// explain says what the bytes from got[at] on are.
func (o *oracle) explain(got []byte, at int) string {
	var b strings.Builder
	piece := got[at:min(at+24, len(got))]
	for _, c := range o.contents {
		for off := 0; ; off++ {
			k := bytes.Index(c.data[off:], piece)
			if k < 0 {
				break
			}
			off += k
			word := "SKIPPED TO"
			if int64(off) < c.pos {
				word = "REPEATED"
			}
			fmt.Fprintf(&b, "  %s: it is byte %d of content %d, of which the copy has %d\n", word, off, c.number, c.pos)
		}
	}
	return b.String() + o.describe()
}

// describe returns a line a content.
func (o *oracle) describe() string {
	var b strings.Builder
	left := 0
	for _, c := range o.contents {
		if !c.seen && c.reachable() == 0 && len(o.contents) > 40 {
			left++
			continue
		}
		fmt.Fprintf(&b, "  content %d: %d of %d bytes", c.number, c.pos, len(c.data))
		if c.seen {
			fmt.Fprintf(&b, ", in the copy [%d, %d)", c.first, c.last)
		}
		if c.parent != nil {
			fmt.Fprintf(&b, ", after content %d cut to %d", c.parent.number, c.kept)
		}
		for _, s := range c.wrote[:min(1, len(c.wrote))] {
			fmt.Fprintf(&b, ", written %s", s.at.Format(clock))
		}
		if n := len(c.wrote); n > 0 {
			fmt.Fprintf(&b, " to %s", c.wrote[n-1].at.Format(clock))
		}
		if !c.orphaned.IsZero() {
			fmt.Fprintf(&b, ", without a name since %s", c.orphaned.Format(clock))
		}
		if !c.destroyed.IsZero() {
			fmt.Fprintf(&b, ", destroyed %s", c.destroyed.Format(clock))
		}
		for s, n := range c.copies {
			fmt.Fprintf(&b, ", %d bytes copied to %s", n, filepath.Base(s.path))
		}
		b.WriteString("\n")
	}
	if left > 0 {
		fmt.Fprintf(&b, "  (and %d contents that are gone, of which nothing is in the copy)\n", left)
	}
	return b.String()
}

const clock = "15:04:05.000"

// inOrder fails if bytes stand in the copy before others of an older content
// that were written before its first.
func (o *oracle) inOrder() error {
	if o.mixed {
		return nil
	}
	for _, c := range o.contents {
		if !c.seen || c.first < o.done {
			continue
		}
		for _, old := range o.contents {
			size, ok := c.born[old]
			if ok && old.seen && old.number < c.number && old.lastOld(size) > c.first && !o.foundLate(old) && !o.missedEmpty(old) {
				return fmt.Errorf("%s: content %d begins at byte %d of the copy, before bytes of content %d that were written before it\n%s",
					o.alias, c.number, c.first, old.number, o.describe())
			}
		}
	}
	return nil
}

// foundLate reports whether c may have been found in a copy of it alone, which
// does not say what came before it.
func (o *oracle) foundLate(c *content) bool {
	return !c.destroyed.IsZero() && c.first >= o.lengthAt(c.destroyed) && !o.lives.held(c.made, c.destroyed)
}

// missedEmpty reports whether an agent began to run when c was empty, and rotated:
// perhaps only a later one finds what is written to it then.
func (o *oracle) missedEmpty(c *content) bool {
	return c.rotated && slices.ContainsFunc(o.lives.begins(c.made), func(t time.Time) bool { return t.Before(c.begun()) })
}

// lastOld returns where in the copy the last of c's first size bytes stands, if
// nothing was written after them; else it is not known, and 0.
func (c *content) lastOld(size int64) int64 {
	if size < int64(len(c.data)) || c.pos < size {
		return 0
	}
	return c.last
}

// settle ends a checkpoint: what is done with is forgotten.
func (o *oracle) settle(length int64) {
	o.done, o.lengths = length, nil
	parents := map[*content]bool{}
	for _, c := range o.contents {
		o.ends = append(o.ends, c.pos)
		o.parted = o.parted || !c.gone().IsZero()
		if !c.closed && c.destroyed.IsZero() {
			for p := c.parent; p != nil; p = p.parent {
				parents[p] = true
			}
		}
	}
	var keep []*content
	for _, c := range o.contents {
		if !c.closed && c.destroyed.IsZero() || parents[c] || c.reachable() > 0 {
			keep = append(keep, c)
		}
	}
	o.contents = keep
}
