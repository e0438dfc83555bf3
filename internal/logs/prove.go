package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// verify says what is known of each generation of a stream, and of bytes in
// its copy that are none of a source.
func (st *stream) verify(ctx context.Context, c *comparing, each func(Finding) error) error {
	st.lookAtSegments()
	whole := Finding{Folder: st.folder, Alias: st.alias, Verdict: VerdictUnknown}
	states, err := st.verifiable()
	if err != nil {
		whole.Reason = err.Error()
		return each(whole)
	}
	if len(states) == 0 {
		whole.Verdict, whole.Reason = VerdictExact, "the source has had nothing to copy yet"
		return each(whole)
	}
	for _, g := range states {
		f := Finding{Folder: st.folder, Alias: st.alias, Generation: g.number, To: g.position}
		for again := true; again; again = f.Verdict != VerdictExact && st.keptNow(&g) {
			f.From, f.Dropped, f.Place, f.Reason = g.from, g.from-g.start, nil, ""
			if f.From >= f.To && f.Dropped > 0 {
				f.Verdict, f.Reason = VerdictExact, "retention has dropped all of it"
			} else {
				c.judge(ctx, &f)
			}
		}
		if f.Verdict == VerdictUnknown && f.Place == nil && g.sealed() {
			st.compareSum(ctx, &f, &g)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(f); err != nil {
			return err
		}
	}
	return st.verifyRest(whole, each)
}

// verifyRest says what is known of the bytes of a copy that are of none of the
// generations that the monitor remembers.
func (st *stream) verifyRest(whole Finding, each func(Finding) error) error {
	rest, dropped := st.unremembered()
	if dropped > 0 {
		f := whole
		f.Verdict, f.Dropped = VerdictDropped, dropped
		if err := each(f); err != nil {
			return err
		}
	}
	if rest > 0 {
		f := whole
		f.Verdict = VerdictUnknown
		f.Reason = fmt.Sprintf("%d bytes are of generations that the monitor remembers no longer", rest)
		if err := each(f); err != nil {
			return err
		}
	}
	if whole.Reason = st.strange(); whole.Reason != "" {
		whole.Verdict = VerdictDiffers
		return each(whole)
	}
	return nil
}

// unremembered returns how many bytes of a copy are of generations that are
// not remembered, and how many retention has dropped.
func (st *stream) unremembered() (rest, dropped int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil {
		return 0, 0
	}
	rest = c.length - c.dropped
	for i, x := range c.extents {
		end := c.length
		if i+1 < len(c.extents) {
			end = c.extents[i+1].base
		}
		if from := max(x.base, c.dropped); end > from && c.judges(x.generation) {
			rest -= end - from
		}
	}
	return rest, c.dropped
}

// verifiable returns the generations that there is something of, or else the
// newest if its agent has said that nothing of it waits. None are no fault
// where the agent has nothing to ship.
func (st *stream) verifiable() ([]verified, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		var out []verified
		for i := range c.proven {
			g := c.proven[i].sealed()
			out = append(out, c.kept(&g))
		}
		for _, g := range c.generations {
			if g.position > g.start {
				out = append(out, c.kept(g))
			}
		}
		slices.SortStableFunc(out, func(a, b verified) int { return cmp.Compare(a.number, b.number) })
		if len(out) > 0 {
			return out, nil
		}
	}
	switch {
	case st.owner == nil:
		return nil, fmt.Errorf("nothing has arrived yet, and %w", errAway)
	case st.pause != "":
		return nil, errors.New("nothing has arrived yet: " + st.pause)
	case err != nil || c.highest() == 0:
		return nil, nil
	}
	f := c.figures()
	if lag := st.lag(&f); lag != nil && *lag > 0 {
		return nil, fmt.Errorf("nothing has arrived yet, and the source has %d bytes", *lag)
	}
	return []verified{c.kept(c.generations[len(c.generations)-1])}, nil
}

// verified is a generation with what retention has left of it: what lies
// behind a position, up to where its checksum is known or not.
type verified struct {
	generation

	from int64
	upTo sum
}

// keptNow brings what retention has left of a generation up to date, and tells
// whether that is less than it was.
func (st *stream) keptNow(v *verified) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil {
		return false
	}
	now := c.kept(&v.generation)
	if now.from <= v.from {
		return false
	}
	v.from, v.upTo = min(now.from, v.position), now.upTo
	return true
}

// kept returns what retention has left of a generation.
func (c *replica) kept(g *generation) verified {
	v := verified{*g, g.start, sum{known: true}}
	d, ok := c.droppedOf(g.number)
	if !ok || d.to <= g.start {
		return v
	}
	v.from, v.upTo = d.to, d.sum
	if p := c.pieces(g.number); len(p) > 0 && p[0].source < v.from {
		v.from, v.upTo = max(p[0].source, g.start), sum{} // the source went back
	}
	return v
}

// The reasons for which a generation cannot be read whole.
var (
	errNotThere  = errors.New("the copy does not hold all of its bytes: they were lost, or somebody removed or changed them")
	errForgotten = errors.New("the monitor remembers no longer where in the copy its bytes are")
)

// missing fails if the copy does not hold a generation whole, and says from
// which position of it on; nil: not known.
func (st *stream) missing(f *Finding) (*int64, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil {
		return nil, err
	}
	at := c.heldTo(f.Generation, f.From, c.present())
	if at >= f.To {
		return nil, nil
	}
	if c.forgotten > 0 && !slices.ContainsFunc(c.extents, func(x extent) bool {
		return x.generation == f.Generation && x.source <= at
	}) {
		return nil, errForgotten
	}
	return &at, errNotThere
}

// present returns how long the data files of the copy are now, by number. One
// that was removed is missing, and one in whose place another file stands.
func (c *replica) present() map[int]int64 {
	sizes := map[int]int64{}
	for i := range c.segments {
		s := &c.segments[i]
		if now, err := c.fileAt(c.segmentPath(s.name)); err == nil && now.found && s.key.is(now.key) {
			sizes[s.file] = now.size
		}
	}
	if c.data == nil {
		return sizes
	}
	f, err := c.again()
	if err != nil {
		return sizes
	}
	defer f.Close() // nothing was written
	if now, err := statOf(f); err == nil {
		sizes[c.files] = now.size
	}
	return sizes
}

// heldTo returns up to where data files of these sizes hold a generation
// without a hole, from a position of it on.
func (c *replica) heldTo(generation uint64, from int64, sizes map[int]int64) int64 {
	for _, p := range c.pieces(generation) {
		if p.source > from {
			break
		}
		from = max(from, p.source+min(p.n, max(sizes[p.file]-p.physical, 0)))
	}
	return from
}

// compareSum judges a generation whose source cannot be asked: by the checksum
// of the whole that was the source's when it ended.
func (st *stream) compareSum(ctx context.Context, f *Finding, g *verified) {
	switch {
	case g.flags&flagLost != 0:
		return // nobody said what the source was
	case g.flags&flagDiffers != 0:
		f.Verdict, f.Reason = VerdictDiffers, "its checksum was not the one of the source when it ended"
		return
	case g.flags&flagSumBroken != 0, !g.upTo.known:
		return // nor was one compared, or what retention dropped is missing from it
	}
	sum, err := st.sumRange(ctx, g)
	switch {
	case err != nil:
		f.Verdict, f.Reason = VerdictUnknown, err.Error()
	case sum == g.sum:
		f.Verdict, f.Reason = VerdictExact, "its checksum is the one of the source when it ended"
	default:
		f.Verdict, f.Reason = VerdictDiffers, "its checksum is not the one of the source when it ended"
	}
}

// sumRange returns the CRC-32C of what the copy holds of a generation now,
// without keeping the stream's writer waiting.
func (st *stream) sumRange(ctx context.Context, g *verified) (uint32, error) {
	var parts []piece
	var files dataFiles
	st.mu.Lock()
	c, err := st.open()
	if err == nil {
		parts, err = cutPieces(c.pieces(g.number), g.from, g.position)
	}
	if err == nil {
		files, err = c.openPieces(parts)
	}
	st.mu.Unlock()
	if errors.Is(err, errMissing) {
		err = errNotThere
	}
	if err != nil {
		return 0, err
	}
	defer files.close()
	sum := g.upTo.crc
	for _, p := range parts {
		if sum, err = sumOn(contextReader{ctx, files[p.file]}, sum, p.physical, p.n); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// strange says where the copy has bytes that are none of a source, "" if
// nowhere, as far as the monitor remembers.
func (st *stream) strange() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil || c.forgotten > 0 {
		return ""
	}
	sizes := c.present()
	for i := range c.segments {
		s := &c.segments[i]
		if at := c.strangeAt(s.file, sizes[s.file]); at >= 0 {
			return fmt.Sprintf("%s, a closed part of the copy, has bytes that are none of the source, from its byte %d on",
				segmentName(c.alias, s.name), at)
		}
	}
	at := c.strangeAt(c.files, sizes[c.files]-c.suspect)
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("the copy has bytes that are none of the source, from its byte %d on", at)
}

// strangeAt returns where a data file of so many bytes has the first one that
// no extent accounts for, -1 if there is none.
func (c *replica) strangeAt(file int, size int64) int64 {
	type part struct{ from, to int64 }
	var parts []part
	for i, x := range c.extents {
		end := c.length
		if i+1 < len(c.extents) {
			end = c.extents[i+1].base
		}
		if x.file == file {
			parts = append(parts, part{x.physical, x.physical + min(end-x.base, x.have)})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.from, b.from) })
	known := int64(0)
	for _, p := range parts {
		if p.from > known {
			break
		}
		known = max(known, p.to)
	}
	if known >= size {
		return -1
	}
	return known
}

// answerText is what an agent says of why it cannot answer, without the
// verdict that it begins with.
func answerText(text string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(text, VerdictUnknown), ": ")
	if rest == "" {
		return "its agent has the source no more"
	}
	return rest
}
