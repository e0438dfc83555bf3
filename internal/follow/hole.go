package follow

import (
	"bytes"
	"errors"

	"dtc"
)

// minHole is how long a hole must be to be passed over. What is shorter is read.
const minHole = 64 << 10

// ErrHole is the error of a Read at whose position a hole begins, if the Reader
// is to stop there: Pass goes on.
var ErrHole = errors.New("a hole of the file begins here")

// DataFrom returns the first position in [at, end) where f has data, end if all
// of that is a hole, but at most its length. It is at where there is no hole,
// or the system's word on holes cannot be relied on.
func (f *File) DataFrom(at, end int64) int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed || f.packed != nil || !f.volume.sparse {
		return at
	}
	st, err := statHandle(f.handle) // before the question: what comes behind this length is not meant by the answer
	if end = min(end, st.Size); err != nil || end <= at {
		return at
	}
	return dataFrom(f.handle, at, end)
}

// holeIn returns how many of the bytes b, which were read at g's position, come
// before a hole that is worth it and goes on behind them: len(b) if none does.
func (g *Generation) holeIn(b []byte) int {
	n := len(b)
	if n < minHole || b[n-1] != 0 || !bytes.Equal(b[n-minHole:n-1], b[n-minHole+1:]) {
		return n
	}
	at := g.Mark.Offset
	from := at + int64(len(bytes.TrimRight(b, "\x00")))
	from = (from + pageSize - 1) / pageSize * pageSize // holes begin with a block
	if end := from + minHole; end > at+int64(n) || g.File.DataFrom(from, end) != end {
		return n
	}
	return int(from - at)
}

// Pass moves g behind the hole at its position, at most limit bytes, as if its
// zeros had been read, and returns how many those were: 0 if there is no hole.
// The error is [ErrCut] if what is there now is not what was read from.
//
// The hole is asked for between two looks at the mark before it, as bytes are
// read between them: so what is not there is of the same content. It is asked
// for twice, so that nothing is passed over that came while its end was looked
// at.
func (r *Reader) Pass(g *Generation, limit int64) (int64, error) {
	if g.File == nil || g.doubtful {
		return 0, ErrCut
	}
	if ok, err := r.holds(g.File, g.Mark); err != nil || !ok {
		return 0, cut(err)
	}
	at := g.Mark.Offset
	end := g.File.DataFrom(at, at+limit)
	if end-at < minHole {
		return 0, nil
	}
	b, err := r.read(g.File, end-dtc.MarkerSize, dtc.MarkerSize)
	if err != nil {
		return 0, err
	}
	if len(b) < dtc.MarkerSize || nuls(b) < len(b) || g.File.DataFrom(at, end) != end {
		return 0, nil // it is being filled, or cut: reading will show
	}
	if ok, err := r.holds(g.File, g.Mark); err != nil || !ok {
		return 0, cut(err)
	}
	r.passed(g, end)
	return end - at, nil
}

// passed moves g behind zeros up to end. The bytes of its mark were read last.
func (r *Reader) passed(g *Generation, end int64) {
	if g.tail.Length > 0 && g.tail.Offset-int64(g.tail.Length) < end {
		g.lose(g.Mark.Offset, g.tail.Offset) // there are no NULs among those
		g.tail = Mark{}
	}
	k := copy(r.buf, r.check[:g.Mark.Length])
	zeros := r.buf[k : k+dtc.MarkerSize]
	clear(zeros)
	r.extendHead(g, r.buf[:k+dtc.MarkerSize])
	r.moveTo(g, end, zeros)
}
