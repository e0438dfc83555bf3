package follow

import (
	"bytes"
	"errors"
	"io"
	"time"

	"dtc"
)

// ErrCut is the error of a read that found other content before its position
// than was read there: the file was truncated or rewritten.
var ErrCut = errors.New("the file was truncated or rewritten")

// Generation is one incarnation of a file's content, with the position up to
// which it was read. The fields are for their chain's owner.
type Generation struct {
	Origin Origin

	// File is where the bytes are; nil if they are nowhere any more. Copy
	// says that it is not the file of Origin, but what a rotation by copying
	// left of it, which does not grow.
	File *File
	Copy bool

	Met int64 // when this process saw it first, ns since 1970; 0 if it never did

	Start int64 // where reading began: 0, or more if only the end was wanted
	Mark  Mark  // the position after the last byte read, with its proof
	Head  Mark  // proof of the first bytes after Start, at most HeadSize of them

	// Seen is the largest size that the content was seen to have, Low the
	// smallest since it was last proven to be this generation's: below the
	// position it says that the file was cut there.
	Seen, Low int64

	// Ended says that the content is destroyed, or that File is a Copy: no
	// byte is ever added.
	Ended bool

	// Losses are bytes that were seen to be there, and destroyed before they
	// were read. Others may have come in their place: the generation goes on.
	Losses []Loss

	doubtful bool // the position is without proof
	before   bool // its file was found later, and is older than what stood at the path

	probe  Mark  // proof of the first bytes seen, as long as nothing was read
	tail   Mark  // proof of the last bytes seen, if they will not be read soon
	end    Mark  // the same, of a generation of which nothing was read, NULs or not
	far    *far  // what is known of a remote file; nil: nothing yet
	last   Stat  // when last proven
	proven bool  // last was seen twice, so the clock's grain hides nothing
	born   int64 // the chain's count of sightings when it began
}

// Position returns the offset after the last byte read.
func (g *Generation) Position() int64 { return g.Mark.Offset }

// Before reports whether the file was inserted: it is older than what stood at the
// path when the chain began.
func (g *Generation) Before() bool { return g.before }

// Left returns how many bytes are known to be there and not read.
func (g *Generation) Left() int64 { return max(g.Seen-g.Mark.Offset, 0) }

// Read reads on from the position, at most limit bytes. It returns no bytes at
// the end of the file, and [ErrCut] if what is there now is not what was read
// from; then nothing of this generation can be read any more. The bytes are
// valid until the next call.
//
// The mark before the position is read together with the chunk, and again
// after it. If it is the same both times, no truncation came between: what
// follows the mark is of the same content.
func (r *Reader) Read(g *Generation, limit int) ([]byte, error) {
	if g.File == nil || g.doubtful {
		return nil, ErrCut
	}
	b, err := r.readOn(g, limit)
	if errors.Is(err, ErrCut) && g.File.Remote() {
		g.File.refresh() // what is not up to date looks like a truncation
		b, err = r.readOn(g, limit)
	}
	return b, err
}

func (r *Reader) readOn(g *Generation, limit int) ([]byte, error) {
	if ok, err := r.probeHolds(g); err != nil || !ok {
		return nil, cut(err)
	}
	k := g.Mark.Length
	from := g.Mark.Offset - int64(k)
	want := k + min(limit, dtc.MaxChunk)
	if g.File.Remote() {
		var err error
		if want, err = g.within(from, want); err != nil {
			return nil, err
		}
	}
	n, err := g.File.readCached(r.buf[:want], from, min(want, max(int(min(g.Seen-from, int64(want))), k+1)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n < k || k > 0 && r.sum(r.buf[:k]) != g.Mark.Sum {
		return nil, ErrCut
	}
	if n == k {
		return nil, nil
	}
	again := r.buf[:k]
	if k == 0 {
		again = r.buf[:min(n, dtc.MarkerSize)]
	}
	if ok, err := r.same(g.File, from, again); err != nil || !ok {
		return nil, cut(err)
	}
	switch {
	case g.File.Remote():
		m, err := r.settled(g, r.buf[k:n], time.Now())
		if err != nil {
			return nil, err
		}
		n = k + m
	case r.Holes:
		if n = k + g.holeIn(r.buf[k:n]); n == k {
			return nil, ErrHole
		}
	}
	r.advance(g, r.buf[:n])
	return r.buf[k:n], nil
}

// within returns how many of n bytes from a position on a remote file has: it
// may seem to have bytes behind its end.
func (g *Generation) within(from int64, n int) (int, error) {
	st, err := g.File.Stat()
	g.afar().ages.note(time.Now(), st.Size)
	return int(min(int64(n), max(st.Size-from, 0))), err
}

func cut(err error) error {
	if err != nil {
		return err
	}
	return ErrCut
}

// probeHolds checks what was seen of a generation of which nothing was read.
func (r *Reader) probeHolds(g *Generation) (bool, error) {
	if g.Mark.Length > 0 || g.probe.Length == 0 {
		return true, nil
	}
	return r.holds(g.File, g.probe)
}

// advance moves g behind b, which begins with the bytes of g's mark.
func (r *Reader) advance(g *Generation, b []byte) {
	r.checkTail(g, b)
	r.extendHead(g, b)
	r.moveTo(g, g.Mark.Offset-int64(g.Mark.Length)+int64(len(b)), b[max(0, len(b)-dtc.MarkerSize):])
}

// extendHead lets g's head cover b, which begins with the bytes of g's mark.
func (r *Reader) extendHead(g *Generation, b []byte) {
	lo := g.Start - (g.Mark.Offset - int64(g.Mark.Length))
	if g.Head.Length < dtc.HeadSize && lo >= 0 && lo < int64(len(b)) {
		head := b[lo:min(lo+dtc.HeadSize, int64(len(b)))]
		g.Head = r.markOf(g.Start+int64(len(head)), head)
	}
}

// moveTo sets g's position; last are the bytes before it.
func (r *Reader) moveTo(g *Generation, end int64, last []byte) {
	g.Mark = r.markOf(end, last)
	g.Seen = max(g.Seen, end)
	g.Low = end
	g.proven = false
}

// Look refreshes what is known of the size, and proves that the content is
// still the generation's if anything changed. It returns ErrCut if it is not;
// Low then says how much may be left of it.
func (r *Reader) Look(g *Generation) (Stat, error) {
	if g.File == nil {
		return Stat{}, ErrCut
	}
	low := g.Low
	st, err := r.look(g)
	if errors.Is(err, ErrCut) && !g.doubtful && g.File.Remote() {
		g.Low = low
		g.File.refresh() // what is not up to date looks like a truncation
		return r.look(g)
	}
	return st, err
}

func (r *Reader) look(g *Generation) (Stat, error) {
	st, err := g.File.Stat()
	if err != nil {
		return st, err
	}
	if g.doubtful {
		g.Low = min(g.Low, st.Size)
		return st, ErrCut
	}
	if st == g.last && g.proven {
		return st, nil
	}
	if st.Size < g.Mark.Offset {
		g.Low = min(g.Low, st.Size)
		return st, ErrCut
	}
	proof := g.Mark
	if proof.Length == 0 {
		proof = g.probe
	}
	if ok, err := r.holds(g.File, proof); err != nil || !ok {
		return st, cut(err)
	}
	if err := r.extendProbe(g, st.Size); err != nil {
		return st, err
	}
	if err := r.noteLoss(g, st.Size); err != nil {
		return st, err
	}
	g.proven, g.last = st == g.last, st
	g.Seen = st.Size
	return st, r.proveTail(g)
}

// extendProbe lets the probe of a generation of which nothing was read cover
// what came to be there.
func (r *Reader) extendProbe(g *Generation, size int64) error {
	if g.Mark.Length > 0 || g.probe.Length == dtc.HeadSize || size <= g.probe.Offset || g.Mark.Offset > 0 {
		return nil
	}
	b, err := r.read(g.File, 0, int(min(size, dtc.HeadSize)))
	if b = bytes.TrimRight(b, "\x00"); err == nil && len(b) > g.probe.Length { // NULs may be bytes still to come
		g.probe = r.markOf(int64(len(b)), b)
	}
	return err
}

// StartAt sets the position of a generation of which nothing was read to off,
// as if all before it had been.
func (r *Reader) StartAt(g *Generation, off int64) error {
	b, err := r.read(g.File, max(0, off-dtc.MarkerSize), int(min(off, dtc.MarkerSize)))
	if err != nil {
		return err
	}
	g.Start, g.Head, g.probe = off, Mark{Offset: off}, Mark{}
	g.Mark = r.markOf(max(0, off-dtc.MarkerSize)+int64(len(b)), b)
	g.Start, g.Low = g.Mark.Offset, g.Mark.Offset
	g.proven = false
	return nil
}

// ResumeAt sets the position to off without any proof of what is before it but
// what the file itself holds now.
func (r *Reader) ResumeAt(g *Generation, off int64) error {
	b, err := r.read(g.File, max(g.Start, off-dtc.MarkerSize), int(min(off-g.Start, dtc.MarkerSize)))
	if err != nil {
		return err
	}
	if g.Mark = r.markOf(off, b); max(g.Start, off-dtc.MarkerSize)+int64(len(b)) != off {
		return ErrCut
	}
	g.Low, g.proven = off, false
	return nil
}

// Changed reports whether the file may be another one than when it was last
// proven, or has bytes that were not read. It costs one system call.
func (g *Generation) Changed() bool {
	st, err := g.File.Stat()
	return err != nil || !g.proven || st != g.last || st.Size != g.Mark.Offset
}
