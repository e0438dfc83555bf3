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
func (st *stream) verify(ctx context.Context, each func(Finding) error) error {
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
		f := Finding{Folder: st.folder, Alias: st.alias, Generation: g.number, From: g.start, To: g.position}
		st.compare(ctx, &f)
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
	if whole.Reason = st.strange(); whole.Reason != "" {
		whole.Verdict = VerdictDiffers
		return each(whole)
	}
	return nil
}

// verifiable returns the generations that there is something of, or else the
// newest if its agent has said that nothing of it waits. None are no fault
// where the agent has nothing to ship.
func (st *stream) verifiable() ([]generation, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		var out []generation
		for _, g := range c.generations {
			if g.position > g.start {
				out = append(out, *g)
			}
		}
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
	if lag := st.lag(c); lag != nil && *lag > 0 {
		return nil, fmt.Errorf("nothing has arrived yet, and the source has %d bytes", *lag)
	}
	return []generation{*c.generations[len(c.generations)-1]}, nil
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

// present returns how long the data file of the copy is now: 0 if it was
// removed or another file stands in its place.
func (c *replica) present() int64 {
	if c.data == nil {
		return 0
	}
	f, err := c.again()
	if err != nil {
		return 0
	}
	defer f.Close() // nothing was written
	now, err := statOf(f)
	if err != nil {
		return 0
	}
	return now.size
}

// heldTo returns up to where a data file of so many bytes holds a generation
// without a hole, from a position of it on.
func (c *replica) heldTo(generation uint64, from, size int64) int64 {
	for _, p := range c.pieces(generation) {
		if p.source > from {
			break
		}
		from = max(from, p.source+min(p.n, max(size-p.physical, 0)))
	}
	return from
}

// compareSum judges a generation whose source cannot be asked: by the checksum
// of the whole that was the source's when it ended.
func (st *stream) compareSum(ctx context.Context, f *Finding, g *generation) {
	switch {
	case g.flags&flagLost != 0:
		return // nobody said what the source was
	case g.flags&flagDiffers != 0:
		f.Verdict, f.Reason = VerdictDiffers, "its checksum was not the one of the source when it ended"
		return
	case g.flags&flagSumBroken != 0:
		return // nor was one compared
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
func (st *stream) sumRange(ctx context.Context, g *generation) (uint32, error) {
	st.mu.Lock()
	c, err := st.open()
	if err != nil {
		st.mu.Unlock()
		return 0, err
	}
	pieces := c.pieces(g.number)
	f, err := c.again()
	st.mu.Unlock()
	if err != nil {
		return 0, err
	}
	defer f.Close() // nothing was written
	var sum uint32
	at := g.start
	for _, p := range pieces {
		skip := at - p.source
		n := min(p.n-skip, g.position-at)
		if skip < 0 || n <= 0 {
			continue
		}
		if sum, err = sumOn(contextReader{ctx, f}, sum, p.physical+skip, n); err != nil {
			return 0, err
		}
		at += n
	}
	if at < g.position {
		return 0, errNotThere
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
	at := c.strangeAt(c.present())
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("the copy has bytes that are none of the source, from its byte %d on", at)
}

// strangeAt returns where a data file of so many bytes has the first one that
// no extent accounts for, -1 if there is none.
func (c *replica) strangeAt(size int64) int64 {
	type part struct{ from, to int64 }
	var parts []part
	for i, x := range c.extents {
		end := c.length
		if i+1 < len(c.extents) {
			end = c.extents[i+1].base
		}
		if x.file == c.files {
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
	if known+c.suspect >= size {
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
