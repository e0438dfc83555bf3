package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// backBlock is how much is read at a time on the way back.
const backBlock = 64 << 10

// readBack reads what stands before a place of the row, at most a block, and
// returns where that begins. It is 0 bytes where that is not kept any more.
func (r *reader) readBack(buf []byte, end int64) ([]byte, int64, error) {
	low := max(end-int64(len(buf)), r.row.startOfPart(end-1))
	block := buf[:end-low]
	if _, err := r.row.ReadAt(block, low); err != nil {
		if errors.Is(err, errMissing) {
			return nil, end, nil
		}
		return nil, end, err
	}
	return block, low, nil
}

// last sets the first part to the last n lines for which match is true, and
// all that stands between and after them. A last line without its end counts,
// and so does what stands before or behind [minZeros] NULs.
func (r *reader) last(ctx context.Context, n int, match func(line []byte) bool) error {
	if r.stop == 0 || n <= 0 {
		return nil
	}
	l := lineSeeker{reader: r, buf: make([]byte, backBlock), left: n, match: match, end: r.stop}
	b, _, err := r.readBack(l.buf[:1], l.end)
	if err != nil {
		return err
	}
	if l.ended = len(b) > 0 && b[0] == '\n'; l.ended {
		l.end--
	}
	low := l.end
	for low > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, start, err := r.readBack(l.buf, low)
		if err != nil {
			return err
		}
		if len(block) == 0 {
			break // what stood before is not kept
		}
		if low = start; leadingZeros(block) == len(block) {
			low = r.row.beforeHole(start)
			continue
		}
		for i := bytes.LastIndexByte(block, '\n'); i >= 0; i = bytes.LastIndexByte(block[:i], '\n') {
			if err := l.line(start + int64(i) + 1); err != nil || l.left == 0 {
				return err
			}
			l.end, l.ended = start+int64(i), true
		}
	}
	return l.line(low)
}

// beforeHole returns where the hole begins that ends at a place of the row, in
// the same file; the place itself if there is none.
func (w *row) beforeHole(at int64) int64 {
	if at == 0 {
		return at
	}
	i := w.part(at - 1)
	p := &w.parts[i]
	if w.open(i) != nil {
		return at
	}
	// No data is behind the place that is looked for, some is before any other.
	low, high := int64(0), at-p.start
	for low < high {
		middle := low + (high-low)/2
		if dataFrom(p.f, middle, at-p.start) < at-p.start {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return p.start + low
}

// matches tells whether the line [start, end) is wanted. Of an endless line the
// first [MaxLine] bytes are looked at.
func (r *reader) matches(match func([]byte) bool, start, end int64) (bool, error) {
	if match == nil {
		return true, nil
	}
	line := make([]byte, min(end-start, MaxLine))
	if _, err := r.row.ReadAt(line, start); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errMissing) {
		return false, err
	}
	return match(line), nil
}

// since sets the first part to what came at t or later; a line that was not
// whole then is given whole.
func (r *reader) since(t time.Time) error {
	r.seekTime(t)
	return r.lineStart()
}

// lineStart goes back to the start of the line that the first part begins in,
// no further than [MaxLine].
func (r *reader) lineStart() error {
	buf := make([]byte, backBlock)
	for low := r.at; low > 0 && r.at-low < MaxLine; {
		block, start, err := r.readBack(buf, low)
		if err != nil {
			return err
		}
		if len(block) == 0 {
			r.at = low
			return nil
		}
		low = start
		if i := bytes.LastIndexByte(block, '\n'); i >= 0 {
			r.at = low + int64(i) + 1
			return nil
		}
		if low == 0 {
			r.at = 0
		}
	}
	return nil
}

func (r *reader) seekTime(t time.Time) {
	if r.plain || r.stop == 0 {
		r.at = 0 // nobody knows when it came
		return
	}
	base, ok := since(r.record.arrivals, t)
	switch {
	case ok:
		r.at = min(r.stop, r.row.find(base))
	case len(r.record.arrivals) == 0:
		r.at = 0
	}
}

// all sets the first part to everything that is kept.
func (r *reader) all() { r.at = 0 }

// until ends the reader before what arrived at t or later; a line that was not
// whole then is left out. It returns the logical position of that end.
func (r *reader) until(t time.Time) (int64, error) {
	if r.plain || r.stop == 0 {
		return r.position(), nil // nobody knows when it came
	}
	at := r.at
	defer func() { r.at = at }()
	r.at = min(r.stop, r.row.find(before(r.record.arrivals, t)))
	if r.at < r.stop {
		if err := r.lineStart(); err != nil {
			return 0, err
		}
	}
	r.stop = r.at
	return r.row.locate(r.stop).base, nil
}
