package render

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// The rows of a table are kept, until the widths of its columns are known, in
// a compact form: the length of the row, then of each cell its length, how
// many of its bytes take no cell of the terminal, and the bytes.

// rowWriter puts rows into that form.
type rowWriter struct {
	row  []byte // the cells so far
	cell []byte // the current one; who writes the rows appends to it
}

// end finishes a cell and returns how many cells of the terminal it takes.
func (w *rowWriter) end() int {
	width := cellWidth(w.cell)
	w.row = binary.AppendUvarint(w.row, uint64(len(w.cell)))
	w.row = binary.AppendUvarint(w.row, uint64(len(w.cell)-width))
	w.row = append(w.row, w.cell...)
	w.cell = w.cell[:0]
	return width
}

// endRow appends the row to b.
func (w *rowWriter) endRow(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(w.row)))
	b = append(b, w.row...)
	w.row = w.row[:0]
	if cap(w.row) > 1<<16 { // of a row that was longer than most
		w.row, w.cell = nil, nil
	}
	return b
}

// rowReader reads rows.
type rowReader struct {
	from *bufio.Reader
	row  []byte
	left []byte // of row
}

func newRowReader(from io.Reader) *rowReader {
	return &rowReader{from: bufio.NewReaderSize(from, 32<<10)}
}

// next goes to the next row. The error of the end is io.EOF.
func (r *rowReader) next() error {
	n, err := binary.ReadUvarint(r.from)
	if err != nil {
		return err
	}
	if uint64(cap(r.row)) < n {
		if n > math.MaxInt32 {
			return errRow
		}
		r.row = make([]byte, n)
	}
	r.row = r.row[:n]
	r.left = r.row
	if _, err := io.ReadFull(r.from, r.row); err != nil {
		return errors.Join(errRow, err)
	}
	return nil
}

// errRow cannot be, but for a temporary file that somebody else changes.
var errRow = errors.New("the temporary file is damaged")

// writeRows writes a line for each row that was kept.
func writeRows(out *sink, kept io.Reader, line func(b []byte, row *rowReader) []byte) error {
	from := newRowReader(kept)
	for {
		switch err := from.next(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		out.b = append(line(out.b, from), '\n')
		if err := out.line(); err != nil {
			return err
		}
	}
}

// cell returns the next cell of the row, valid until the next row, and how
// many cells of the terminal it takes.
func (r *rowReader) cell() (text []byte, width int) {
	size, n := binary.Uvarint(r.left)
	if n <= 0 {
		return nil, 0
	}
	more, m := binary.Uvarint(r.left[n:])
	if m <= 0 || size > uint64(len(r.left)-n-m) || more > size {
		return nil, 0
	}
	text, r.left = r.left[n+m:n+m+int(size)], r.left[n+m+int(size):]
	return text, int(size - more)
}
