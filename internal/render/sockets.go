package render

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"dtc"
)

// The columns of ss. A delimiter of a space stands before all but the first and
// the ports. What it prints behind the last one is empty here.
const (
	ssProtocol = iota
	ssState
	ssReceive
	ssSend
	ssLocal // ends at its right, with a colon
	ssLocalPort
	ssRemote
	ssRemotePort
	ssProcess
	ssColumns
)

const (
	ssQueueLeast = 6     // cells of a queue
	ssCellMost   = 65535 // bytes of a cell; ss cuts what is longer
	ssNameEnd    = ")"   // ss takes this for the end of a process' name
)

// ss fits its columns to what stands in them, but holds no more than about five
// chunks of text back for that: then it prints what it has, and goes on with
// columns that can only grow. We do the same, at the same rows.
const (
	ssChunk     = 1<<20 - 16 // bytes of text in a chunk
	ssChunks    = 5
	ssCellFrame = 2 // bytes before each cell; cells begin at even places
)

// ssAnswer renders as `ss -tunap`, as into a file: on a terminal ss stretches
// its columns.
type ssAnswer struct {
	escape   escape
	headless bool // without the titles, which are the first row
	out      rowWriter
	rows     int            // so far
	width    [ssColumns]int // of the widest cell so far
	fits     []ssFit
	chunks   int // that ss would have filled since the last fit
	filled   int // of the last one
}

// ssFit is how wide the columns of some rows are, in bytes.
type ssFit struct {
	end   int // the first row that it is not for
	width [ssColumns]int
}

func newSSAnswer(opt Options) *ssAnswer {
	return &ssAnswer{escape: plainEscape(opt), headless: opt.NoHeader}
}

// append appends the rows as they are kept.
func (a *ssAnswer) append(b []byte, part *dtc.Report) []byte {
	if a.rows == 0 {
		b = a.header(b)
	}
	for i := range part.Sockets {
		b = a.row(b, &part.Sockets[i])
		if a.chunks >= ssChunks {
			a.fit()
		}
	}
	return b
}

// header appends the row of the titles, or only widens the columns for it.
func (a *ssAnswer) header(b []byte) []byte {
	for column, title := range [ssColumns]string{
		"Netid", "State", "Recv-Q", "Send-Q", "Local Address:", "Port", "Peer Address:", "Port", "Process",
	} {
		a.out.cell = append(a.out.cell, title...)
		a.end(column)
	}
	start := len(b)
	if b = a.endRow(b); a.headless {
		b = b[:start]
	}
	return b
}

// row appends one row as it is kept.
func (a *ssAnswer) row(b []byte, s *dtc.Socket) []byte {
	a.cell(ssProtocol, s.Protocol)
	a.cell(ssState, s.State)
	a.queue(ssReceive, s.ReceiveQueue)
	a.queue(ssSend, s.SendQueue)
	a.address(ssLocal, s.LocalAddress)
	a.port(ssLocalPort, s.LocalPort)
	a.address(ssRemote, s.RemoteAddress)
	a.port(ssRemotePort, s.RemotePort)
	a.owners(s.Owners)
	return a.endRow(b)
}

// end closes the current cell: it cuts and counts it as ss does.
func (a *ssAnswer) end(column int) {
	length := len(a.out.cell)
	if length > ssCellMost {
		length = ssCellMost
		for length > 0 && !utf8.RuneStart(a.out.cell[length]) { // unlike ss, which halves characters
			length--
		}
	}
	a.out.cell = a.out.cell[:length]
	a.out.end()
	a.width[column] = max(a.width[column], min(length, widestColumn))
	a.fill(length)
}

// endRow closes a row: with an empty cell in a last column of ss's.
func (a *ssAnswer) endRow(b []byte) []byte {
	a.fill(0)
	a.rows++
	return a.out.endRow(b)
}

// fill counts what a cell takes of ss's memory: one that is not empty goes to a
// new chunk if it does not fit.
func (a *ssAnswer) fill(length int) {
	if a.chunks == 0 || length > 0 && length >= ssChunk-a.filled-ssCellFrame {
		a.chunks, a.filled = a.chunks+1, 0
	}
	a.filled += ssCellFrame + length + length%2
	if ssChunk-a.filled < ssCellFrame {
		a.chunks, a.filled = a.chunks+1, 0
	}
}

func (a *ssAnswer) cell(column int, s string) {
	a.out.cell = appendEscaped(a.out.cell, orAbsent(s), a.escape)
	a.end(column)
}

func (a *ssAnswer) queue(column int, v int64) {
	if v < 0 {
		a.out.cell = append(a.out.cell, absent...)
	} else {
		a.out.cell = strconv.AppendInt(a.out.cell, v, 10)
	}
	a.out.cell = appendSpaces(a.out.cell, ssQueueLeast-len(a.out.cell))
	a.end(column)
}

// address keeps an address and its colon, with brackets round one that has
// colons itself; the interface stands behind them.
func (a *ssAnswer) address(column int, s string) {
	address, link, bound := strings.Cut(s, "%")
	if strings.Contains(address, ":") {
		a.out.cell = append(appendEscaped(append(a.out.cell, '['), address, a.escape), ']')
	} else {
		a.out.cell = appendEscaped(a.out.cell, orAbsent(address), a.escape)
	}
	if bound {
		a.out.cell = appendEscaped(append(a.out.cell, '%'), link, a.escape)
	}
	a.out.cell = append(a.out.cell, ':')
	a.end(column)
}

func (a *ssAnswer) port(column, port int) {
	if port < 0 {
		a.out.cell = append(a.out.cell, '*')
	} else {
		a.out.cell = strconv.AppendInt(a.out.cell, int64(port), 10)
	}
	a.end(column)
}

// owners keeps the processes, the last first as ss does.
func (a *ssAnswer) owners(list []dtc.SocketOwner) {
	for i := len(list) - 1; i >= 0 && len(a.out.cell) <= ssCellMost; i-- {
		o := &list[i]
		if i == len(list)-1 {
			a.out.cell = append(a.out.cell, " users:("...)
		} else {
			a.out.cell = append(a.out.cell, ',')
		}
		name, _, _ := strings.Cut(o.Name, ssNameEnd)
		a.out.cell = append(appendEscaped(append(a.out.cell, `("`...), name, a.escape), '"')
		a.out.cell = strconv.AppendInt(append(a.out.cell, ",pid="...), int64(o.PID), 10)
		if o.FD >= 0 {
			a.out.cell = strconv.AppendInt(append(a.out.cell, ",fd="...), int64(o.FD), 10)
		}
		a.out.cell = append(a.out.cell, ')')
	}
	if len(list) > 0 {
		a.out.cell = append(a.out.cell, ')')
	}
	a.end(ssProcess)
}

// fit lays the columns of the rows so far down.
func (a *ssAnswer) fit() {
	a.fits = append(a.fits, ssFit{end: a.rows, width: a.width})
	a.chunks, a.filled = 0, 0
}

func (a *ssAnswer) rest() { a.out = rowWriter{} }

// finish writes all rows.
func (a *ssAnswer) finish(out *sink, kept io.Reader) error {
	if n := len(a.fits); n == 0 || a.fits[n-1].end < a.rows {
		a.fit()
	}
	row, fit := 0, 0
	if a.headless {
		row = 1
	}
	return writeRows(out, kept, func(b []byte, from *rowReader) []byte {
		if row == a.fits[fit].end {
			fit++
		}
		for column := range ssColumns {
			text, _ := from.cell()
			b = a.fits[fit].place(b, column, text)
		}
		row++
		return b
	})
}

// place appends a cell where it stands in its column.
func (f *ssFit) place(b []byte, column int, s []byte) []byte {
	switch column {
	case ssProtocol, ssLocalPort, ssRemotePort, ssProcess:
	default:
		b = append(b, ' ')
	}
	room := f.width[column] - len(s)
	if column == ssLocal || column == ssRemote {
		return append(appendSpaces(b, room), s...)
	}
	return appendSpaces(append(b, s...), room)
}
