package render

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"dtc"
)

// psColumn is a column of `ps aux`, see ps(1) STANDARD FORMAT SPECIFIERS.
type psColumn struct {
	title string
	width int
	right bool // numbers stand at the right end
	text  int  // cells that the text of a process has at least: those stay where a wide cell before it takes the padding
}

// The columns before COMMAND.
const (
	psUser = iota
	psPID
	psCPU
	psMem
	psVSZ
	psRSS
	psTTY
	psStat
	psStart
	psTime
	psColumns
)

// psPIDWidth is the width of PID where the host did not say how large its pids
// become: 4194304 is the most that Linux gives.
const psPIDWidth = 7

// psAnswer renders as `ps aux`.
type psAnswer struct {
	columns [psColumns]psColumn
	line    int // cells of a line; what goes beyond is cut
	screen  int // the option Columns
	escape  escape
	begun   bool
}

func newPSAnswer(opt Options) *psAnswer {
	a := &psAnswer{screen: opt.Columns, escape: escapePS}
	if opt.Raw {
		a.escape = escapeNone
	}
	a.columns = [psColumns]psColumn{
		psUser:  {"USER", 8, false, 0},
		psPID:   {"PID", psPIDWidth, true, 0},
		psCPU:   {"%CPU", 4, true, 4},
		psMem:   {"%MEM", 4, true, 4},
		psVSZ:   {"VSZ", 6, true, 0},
		psRSS:   {"RSS", 5, true, 0},
		psTTY:   {"TTY", 8, false, 0},
		psStat:  {"STAT", 4, false, 0},
		psStart: {"START", 5, true, 0},
		psTime:  {"TIME", 6, true, 6},
	}
	return a
}

// begin fixes the widths and appends the header.
func (a *psAnswer) begin(b []byte, pidWidth int) []byte {
	if pidWidth > 0 {
		a.columns[psPID].width = min(max(pidWidth, len("PID")), 20)
	}
	a.line = psLine(a.columns[:], a.screen)
	row := psRow{b: b}
	for i := range a.columns {
		start := len(row.b)
		row.b = append(row.b, a.columns[i].title...)
		row.end(a.columns[i], start, len(a.columns[i].title))
	}
	start := len(row.b)
	row.b = append(row.b, "COMMAND"...)
	return append(row.last(start), '\n')
}

// psLine returns how many cells ps uses of a line: those of the terminal, or
// as many times those as all columns and three cells of COMMAND need.
func psLine(columns []psColumn, screen int) int {
	if screen <= 0 {
		return math.MaxInt
	}
	need := 3
	for _, c := range columns {
		need += c.width + 1
	}
	return (need + screen - 1) / screen * screen
}

func (a *psAnswer) append(b []byte, part *dtc.Report) []byte {
	if !a.begun {
		a.begun = true
		b = a.begin(b, part.PIDWidth)
	}
	for i := range part.Process {
		b = a.appendProcess(b, &part.Process[i], part.CollectedAt)
	}
	return b
}

func (a *psAnswer) appendProcess(b []byte, p *dtc.Process, now time.Time) []byte {
	row := psRow{b: b}
	for i := range a.columns {
		var cells int
		start := len(row.b)
		row.b, cells = a.appendColumn(row.b, i, p, now)
		row.end(a.columns[i], start, cells)
	}
	start := len(row.b)
	row.b, _ = a.appendCells(row.b, orAbsent(p.Command), a.line-row.at())
	return append(row.last(start), '\n')
}

// appendColumn appends what stands in a column, and returns its cells.
func (a *psAnswer) appendColumn(b []byte, column int, p *dtc.Process, now time.Time) ([]byte, int) {
	switch column {
	case psUser:
		return a.appendUser(b, p.User)
	case psTTY:
		return a.appendCells(b, orAbsent(p.TTY), math.MaxInt)
	case psStat:
		return a.appendCells(b, orAbsent(p.State), math.MaxInt)
	}
	start := len(b)
	b = appendPSNumber(b, p, column, now)
	b = alignRight(b, start, len(b)-start, a.columns[column].text)
	return b, len(b) - start
}

// appendUser appends a name that is cut to its column with a plus sign.
func (a *psAnswer) appendUser(b []byte, name string) ([]byte, int) {
	start, width := len(b), a.columns[psUser].width
	b, cells := a.appendCells(b, orAbsent(name), width+1)
	if cells <= width {
		return b, cells
	}
	b, cells = a.appendCells(b[:start], name, width-1)
	return append(b, '+'), cells + 1
}

// appendCells appends s escaped, as far as it fits into limit cells, and
// returns how many it takes.
func (a *psAnswer) appendCells(b []byte, s string, limit int) ([]byte, int) {
	if isSafe(s) {
		n := max(min(len(s), limit), 0)
		return append(b, s[:n]...), n
	}
	cells := 0
	for i := 0; i < len(s) && cells < limit; {
		var n int
		start := len(b)
		b, n = appendRune(b, s[i:], a.escape)
		i += n
		r, _ := utf8.DecodeRune(b[start:])
		w := runeWidth(r)
		if cells+w > limit {
			return b[:start], cells
		}
		cells += w
	}
	return b, cells
}

// appendPSNumber appends the digits of a column.
func appendPSNumber(b []byte, p *dtc.Process, column int, now time.Time) []byte {
	switch column {
	case psPID:
		return strconv.AppendInt(b, int64(p.PID), 10)
	case psCPU:
		return appendPSPercent(b, p.CPUPercent, math.MaxInt32)
	case psMem:
		return appendPSPercent(b, p.MemPercent, 999)
	case psVSZ:
		return appendKiB(b, p.VSZBytes)
	case psRSS:
		return appendKiB(b, p.RSSBytes)
	case psStart:
		return appendPSStart(b, p.StartedAt, now)
	default:
		return appendPSTime(b, p.CPUSeconds)
	}
}

// appendPSPercent appends a percentage cut, not rounded, to tenths, without
// them from 100 on; no more than most tenths.
func appendPSPercent(b []byte, percent float64, most int64) []byte {
	if math.IsNaN(percent) || math.IsInf(percent, 0) || percent < 0 {
		return append(b, absent...)
	}
	// A quotient like 29/1000 times 100 may come out as 2.8999999999999999.
	tenths := min(int64(min(percent*10*(1+1e-12), math.MaxInt32)), most)
	if tenths > 999 {
		return strconv.AppendInt(b, tenths/10, 10)
	}
	b = strconv.AppendInt(b, tenths/10, 10)
	return append(b, '.', byte('0'+tenths%10))
}

// appendPSStart appends when a process started: 15:04 if that was today on the
// host, Jan02 if it was this year, else the year.
func appendPSStart(b []byte, started, now time.Time) []byte {
	if !known(started) {
		return append(b, absent...)
	}
	started = onHost(started, now)
	year, month, day := started.Date()
	switch {
	case year != now.Year():
		return strconv.AppendInt(b, int64(year), 10)
	case started.YearDay() != now.YearDay():
		return appendTwo(append(b, month.String()[:3]...), day)
	default:
		hour, minute, _ := started.Clock()
		return appendTwo(append(appendTwo(b, hour), ':'), minute)
	}
}

// appendPSTime appends processor time as minutes:seconds.
func appendPSTime(b []byte, seconds float64) []byte {
	if math.IsNaN(seconds) || seconds < 0 || seconds > 1<<53 {
		return append(b, absent...)
	}
	n := int64(seconds)
	return appendTwo(append(strconv.AppendInt(b, n/60, 10), ':'), int(n%60))
}

// psRow places cells as ps does: a cell that is too wide pushes the next ones
// to the right, until their padding has made up for it.
type psRow struct {
	b       []byte
	want    int // where the next column begins if all fit
	have    int // where the line is
	between bool
}

// gap returns how many spaces stand before a cell that could be padded by pad.
func (r *psRow) gap(pad int) int {
	n := r.want - r.have + pad
	if n < 1 && r.between {
		return 1
	}
	return max(n, 0)
}

// end finishes a column whose text stands in b from start on.
func (r *psRow) end(c psColumn, start, cells int) {
	pad := 0
	if c.right {
		pad = max(c.width-cells, 0)
	}
	n := r.gap(pad)
	r.b = alignRight(r.b, start, cells, cells+n)
	r.have += n + cells
	r.want += c.width + 1
	r.between = true
}

// at returns where the last column begins.
func (r *psRow) at() int { return r.have + r.gap(0) }

// last finishes the last column and returns the line.
func (r *psRow) last(start int) []byte {
	return alignRight(r.b, start, 0, r.gap(0))
}
