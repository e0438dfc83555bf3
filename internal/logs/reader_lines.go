package logs

import (
	"errors"
	"io"
	"slices"
)

// lineSeeker goes back through the lines of the first part.
type lineSeeker struct {
	*reader

	buf   []byte
	left  int // lines that are still wanted
	match func([]byte) bool
	end   int64 // of the line that is looked at, without its newline
	ended bool  // it has one
}

// line looks at the line that begins at a place: of one with long runs of NULs
// at what stands between these, the last first.
func (l *lineSeeker) line(start int64) error {
	pieces := []textPiece{{start, l.end}}
	if l.end-start >= minZeros {
		var err error
		if pieces, err = l.pieces(start); err != nil {
			return err
		}
	}
	for i := len(pieces) - 1; i >= 0 && l.left > 0; i-- {
		ok, err := l.matches(l.match, pieces[i].from, pieces[i].to)
		if err != nil {
			return err
		}
		if ok {
			l.at = pieces[i].from
			l.left--
		}
	}
	return nil
}

// maxPieces bounds the pieces of one line that are looked at, the last.
const maxPieces = 1 << 16

// textPiece is a range of the row without a long run of NULs.
type textPiece struct{ from, to int64 }

// pieces returns what of the line that begins at a place stands between long
// runs of NULs.
func (l *lineSeeker) pieces(start int64) ([]textPiece, error) {
	var out []textPiece
	buf := make([]byte, backBlock)
	from, zeros := start, int64(0) // of the piece; NULs right before at
	for at := start; at < l.end; {
		n, err := l.row.ReadAt(buf[:min(int64(len(buf)), l.end-at)], at)
		if n == 0 {
			if errors.Is(err, errMissing) || errors.Is(err, io.EOF) {
				break
			}
			return nil, err
		}
		for b := buf[:n]; len(b) > 0; {
			if k := leadingZeros(b); k > 0 {
				zeros, at, b = zeros+int64(k), at+int64(k), b[k:]
				continue
			}
			if zeros >= minZeros {
				if at-zeros > from {
					out = append(out, textPiece{from, at - zeros})
				}
				if from = at; len(out) >= maxPieces {
					out = slices.Delete(out, 0, len(out)/2)
				}
			}
			k, _ := zeroRun(b)
			zeros, at, b = 0, at+int64(k), b[k:]
		}
		if zeros >= int64(n) { // perhaps a hole
			if f, physical, left := l.row.place(at); at < l.end && left > 0 {
				k := min(dataFrom(f, physical, physical+left)-physical, l.end-at)
				zeros, at = zeros+k, at+k
			}
		}
	}
	to := l.end
	if zeros >= minZeros {
		if to -= zeros; to > from {
			out = append(out, textPiece{from, to})
		}
		from, to = l.end, l.end
		if l.ended {
			out = append(out, textPiece{from, to}) // its newline alone
		}
		return out, nil
	}
	return append(out, textPiece{from, to}), nil
}
