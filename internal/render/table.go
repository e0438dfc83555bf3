package render

import (
	"io"
	"math"
	"time"
	"unicode/utf8"

	"dtc"
)

// tableAnswer renders the items of a status as a table: of the columns that
// were asked for, or of the tool's own with the host before them. Nothing is
// cut but what goes beyond the terminal, and a column is as wide as what
// stands in it; so the rows are kept until all are there.
type tableAnswer struct {
	columns []column
	widths  []int
	rows    rows
	rec     record
	out     rowWriter
	cell    cellContext
	opt     Options

	any      bool // there is a row
	onlyRows bool // no titles without a row
}

// cellContext is what a cell's format may look at besides the value.
type cellContext struct {
	host   string
	item   item
	now    time.Time // the host's clock
	escape escape
}

func newTableAnswer(status dtc.Status, opt Options) *tableAnswer {
	a := &tableAnswer{columns: tableColumns(status, opt), rows: newRows(status, opt.Fields), opt: opt}
	a.cell.escape = plainEscape(opt)
	a.widths = make([]int, len(a.columns))
	for i, c := range a.columns {
		if !opt.NoHeader {
			a.widths[i] = len(c.title)
		}
	}
	return a
}

func (a *tableAnswer) append(b []byte, part *dtc.Report) []byte {
	a.cell.host, a.cell.now = part.Host, part.CollectedAt
	a.rows.each(part, func(it item) { b = a.appendRow(b, it) })
	return b
}

// appendRow appends a row as it is kept, and widens the columns for it.
func (a *tableAnswer) appendRow(b []byte, it item) []byte {
	a.any, a.cell.item = true, it
	a.rec.take(it)
	for i := range a.columns {
		c := &a.columns[i]
		var v *value
		if c.index >= 0 {
			v = &a.rec[c.index]
		}
		a.out.cell = c.format(a.out.cell, v, &a.cell)
		if len(a.out.cell) == 0 {
			a.out.cell = append(a.out.cell, absent...)
		}
		a.widths[i] = max(a.widths[i], min(a.out.end(), widestColumn))
	}
	return a.out.endRow(b)
}

func (a *tableAnswer) rest() { a.rec, a.out, a.cell.item = nil, rowWriter{}, nil }

// widen makes room for what another table has.
func (a *tableAnswer) widen(other *tableAnswer) {
	for i, w := range other.widths {
		a.widths[i] = max(a.widths[i], w)
	}
}

// finish writes the table.
func (a *tableAnswer) finish(out *sink, kept io.Reader) error {
	a.header(out)
	return a.body(out, kept)
}

// header appends the titles.
func (a *tableAnswer) header(out *sink) {
	if a.opt.NoHeader || a.onlyRows && !a.any {
		return
	}
	for i := range a.columns {
		title := a.columns[i].title
		out.b = a.place(out.b, i, []byte(title), len(title))
	}
	out.b = append(out.b, '\n')
}

// body writes kept rows.
func (a *tableAnswer) body(out *sink, kept io.Reader) error {
	return writeRows(out, kept, func(b []byte, row *rowReader) []byte {
		for i := range a.columns {
			text, width := row.cell()
			b = a.place(b, i, text, width)
		}
		return b
	})
}

// place appends a cell where it stands in its column.
func (a *tableAnswer) place(b []byte, i int, text []byte, width int) []byte {
	if i > 0 {
		b = append(b, ' ')
	}
	if a.columns[i].right {
		b = appendSpaces(b, a.widths[i]-width)
	}
	if i < len(a.columns)-1 {
		b = append(b, text...)
		if !a.columns[i].right {
			b = appendSpaces(b, a.widths[i]-width)
		}
		return b
	}
	if room := a.lastRoom(); width > room {
		return appendCut(b, text, room)
	}
	return append(b, text...)
}

// lastRoom returns how many cells the last column may take.
func (a *tableAnswer) lastRoom() int {
	if a.opt.Columns <= 0 {
		return math.MaxInt
	}
	before := 0
	for _, w := range a.widths[:len(a.widths)-1] {
		before += w + 1
	}
	return screenLine(before+3, a.opt.Columns) - before
}

// screenLine returns how many cells a line may take: those of the terminal, or
// as many times those as it needs.
func screenLine(need, screen int) int { return (need + screen - 1) / screen * screen }

// appendCut appends what fits into so many cells.
func appendCut(b, text []byte, room int) []byte {
	cells := 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if cells += runeWidth(r); cells > room {
			return append(b, text[:i]...)
		}
		i += n
	}
	return append(b, text...)
}
