package follow

import (
	"bytes"

	"dtc"
)

// Loss is a range of a generation of which at least the end was seen and
// destroyed before it was read.
type Loss struct {
	From, To int64
}

const (
	// maxLosses bounds the losses of one generation that nobody was told of: more
	// become one with the last.
	maxLosses = 64
	// tailSize is how many bytes before the end prove that bytes which were seen
	// are still there.
	tailSize = 512
)

// lose notes that bytes were destroyed.
func (g *Generation) lose(from, to int64) {
	if from >= to {
		return
	}
	if n := len(g.Losses); n >= maxLosses {
		last := &g.Losses[n-1]
		last.From, last.To = min(last.From, from), max(last.To, to)
		return
	}
	g.Losses = append(g.Losses, Loss{from, to})
}

// Shorten notes that all that was seen of g behind a position is not there any
// more.
func (g *Generation) Shorten(to int64) {
	g.lose(max(to, g.Mark.Offset), g.Seen)
	g.Seen, g.tail, g.end = to, Mark{}, Mark{}
}

// noteLoss sees whether bytes that were seen and not read are still there. The
// position was proven before.
func (r *Reader) noteLoss(g *Generation, size int64) error {
	if size < g.Seen {
		g.Shorten(size)
		return nil
	}
	if g.tail.Offset <= g.Mark.Offset {
		return nil
	}
	ok, err := r.holds(g.File, g.tail)
	if err == nil && !ok { // it was cut somewhere in between, and grew since
		g.lose(g.Mark.Offset, g.tail.Offset)
		g.tail = Mark{}
	}
	return err
}

// proveTail notes the last bytes that were seen, if it will take a while until
// they are read. NULs among them may be overwritten with what belongs there.
func (r *Reader) proveTail(g *Generation) error {
	soon := int64(dtc.MaxChunk)
	if r.buf == nil || g.Mark.Length == 0 { // of what was never read the head alone proves little
		soon = 0
	}
	if g.Left() <= soon || g.tail.Offset == g.Seen || g.File.Remote() {
		return nil
	}
	from := max(g.Mark.Offset, g.Seen-tailSize)
	b, err := r.read(g.File, from, int(g.Seen-from))
	if err != nil {
		return err
	}
	last := r.markOf(from+int64(len(b)), b)
	g.tail, g.end = Mark{}, Mark{}
	if bytes.IndexByte(b, 0) < 0 {
		g.tail = last
	}
	if g.Mark.Length == 0 && len(bytes.Trim(b, "\x00")) > 0 {
		g.end = last
	}
	return nil
}

// unproven reports whether nothing was read of g, and more was seen of it than
// what proves it: others may begin alike.
func (g *Generation) unproven() bool {
	return g.Mark.Length == 0 && g.Seen > g.probe.Offset && g.end.Offset <= g.probe.Offset
}

// checkTail sees whether b, which was just read behind g's mark, has the last
// bytes that were seen.
func (r *Reader) checkTail(g *Generation, b []byte) {
	from := g.Mark.Offset - int64(g.Mark.Length)
	lo, hi := g.tail.Offset-int64(g.tail.Length)-from, g.tail.Offset-from
	if g.tail.Length > 0 && lo >= 0 && hi <= int64(len(b)) && r.sum(b[lo:hi]) != g.tail.Sum {
		g.lose(g.Mark.Offset, g.tail.Offset)
	}
	if g.tail.Offset <= from+int64(len(b)) {
		g.tail = Mark{}
	}
}
