package render

import (
	"io"
	"strconv"
	"strings"

	"dtc"
)

// The columns of lsof, see lsof(8) OUTPUT. NAME stands last and is not aligned.
const (
	lsofCommand = iota
	lsofPID
	lsofUser
	lsofFD // with the mode and the lock
	lsofType
	lsofDevice
	lsofSize
	lsofNode
	lsofName
	lsofColumns
)

const (
	lsofCommandMost = 9  // cells of COMMAND, lsof's own limit
	lsofUIDWidth    = 8  // of a user without a name; of a longer number no more is shown
	lsofUserMost    = 32 // bytes of a name
	lsofFDLeast     = 6  // a name or number of four places, the mode and the lock
	lsofFDMost      = 4  // digits; of a larger number the last three are shown
	lsofOffsetMost  = 10 // cells of 0t123; a larger offset is printed in hexadecimal
)

// lsofAnswer renders as `lsof -n -P -K i`. lsof fits its columns to what
// stands in them, so the rows are kept until all are there.
type lsofAnswer struct {
	escape   escape
	headless bool // without the titles
	width    [lsofColumns]int
	out      rowWriter
}

func newLsofAnswer(opt Options) *lsofAnswer {
	a := &lsofAnswer{escape: escapeLsof, headless: opt.NoHeader}
	if opt.Raw {
		a.escape = escapeNone
	}
	for i := range a.width {
		a.width[i] = len(lsofTitle(i))
	}
	a.width[lsofFD] = lsofFDLeast
	return a
}

func lsofTitle(column int) string {
	return [lsofColumns]string{"COMMAND", "PID", "USER", "FD", "TYPE", "DEVICE", "SIZE/OFF", "NODE", "NAME"}[column]
}

// append appends the rows as they are kept.
func (a *lsofAnswer) append(b []byte, part *dtc.Report) []byte {
	for i := range part.OpenFiles {
		b = a.row(b, &part.OpenFiles[i])
	}
	return b
}

// row appends one row as it is kept, and widens the columns for it.
func (a *lsofAnswer) row(b []byte, f *dtc.OpenFile) []byte {
	a.command(f.Command)
	a.out.cell = strconv.AppendInt(a.out.cell, int64(f.PID), 10)
	a.end(lsofPID)
	a.user(f.User)
	a.descriptor(f)
	a.cell(lsofType, f.Type)
	a.cell(lsofDevice, f.Device)
	a.out.cell = appendSize(a.out.cell, f)
	a.end(lsofSize)
	a.cell(lsofNode, f.Node)
	a.out.cell = appendEscaped(a.out.cell, f.Name, a.escape)
	if stateless(f) {
		a.out.cell = append(a.out.cell, ' ')
	}
	a.out.end()
	return a.out.endRow(b)
}

// stateless tells whether f is a socket of which lsof prints no state, but the
// space before it.
func stateless(f *dtc.OpenFile) bool {
	return (f.Node == "UDP" || f.Node == "UDPLITE") && f.Name != "" && !strings.HasSuffix(f.Name, ")") && !strings.HasSuffix(f.Name, " ")
}

// end closes the current cell and widens its column for it.
func (a *lsofAnswer) end(column int) {
	a.width[column] = max(a.width[column], min(a.out.end(), widestColumn))
}

func (a *lsofAnswer) cell(column int, s string) {
	a.out.cell = appendEscaped(a.out.cell, s, a.escape)
	a.end(column)
}

// command keeps the beginning of a command, as it is: how much of it is shown
// depends on the column's final width.
func (a *lsofAnswer) command(s string) {
	if s == "" {
		s = "(unknown)"
	}
	s = s[:min(len(s), lsofCommandMost)]
	need := 0
	for i := range len(s) {
		need += a.commandWidth(s[i])
	}
	a.width[lsofCommand] = max(a.width[lsofCommand], min(need, lsofCommandMost))
	a.out.cell = append(a.out.cell, s...)
	a.out.end()
}

// commandWidth returns how many cells lsof reckons with for a byte of a
// command. Its characters are signed: it takes a byte that is not ASCII for a
// control character.
func (a *lsofAnswer) commandWidth(c byte) int {
	switch {
	case a.escape == escapeNone || c > ' ' && c <= '~' && c != '\\':
		return 1
	case c < ' ' || c >= 0x80 || c == '\\':
		return 2
	default:
		return 4
	}
}

// appendCommand appends as much of a command as its column has room for. In
// this column lsof prints bytes: a space, and each byte that is not ASCII, in
// an escaped form; one that does not fit ends the text.
func (a *lsofAnswer) appendCommand(b, s []byte) []byte {
	start, limit := len(b), a.width[lsofCommand]
	for i := 0; i < len(s) && len(b)-start < limit; i++ {
		before := len(b)
		switch c := s[i]; {
		case a.commandWidth(c) == 1:
			b = append(b, c)
		case c == '\\':
			b = append(b, c, c)
		default:
			b = appendLsofByte(b, c)
		}
		if len(b)-start > limit {
			b = b[:before]
			break
		}
	}
	return appendSpaces(b, limit-(len(b)-start))
}

// user keeps a user; one without a name is a number in a wide column.
func (a *lsofAnswer) user(s string) {
	most := lsofUserMost
	if isNumber(s) {
		most = lsofUIDWidth
		a.width[lsofUser] = max(a.width[lsofUser], lsofUIDWidth)
	}
	a.cell(lsofUser, s[:min(len(s), most)])
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// descriptor keeps FD: the name or number, the mode and the lock.
func (a *lsofAnswer) descriptor(f *dtc.OpenFile) {
	mode, lock := f.Mode, f.Lock
	if lock == "" {
		lock = " "
	} else if mode == "" {
		mode = "-"
	}
	if mode == "" {
		mode = " "
	}
	fd := f.FD
	if n := len(fd); n > lsofFDMost && isNumber(fd) {
		a.out.cell, fd = append(a.out.cell, '*'), fd[n-3:]
	}
	a.out.cell = appendEscaped(a.out.cell, fd, a.escape)
	a.out.cell = appendEscaped(a.out.cell, mode, a.escape)
	a.out.cell = appendEscaped(a.out.cell, lock, a.escape)
	a.end(lsofFD)
}

// appendSize appends the size of a file, or the offset of what has none.
func appendSize(b []byte, f *dtc.OpenFile) []byte {
	switch start := len(b); {
	case f.SizeBytes >= 0:
		return strconv.AppendInt(b, f.SizeBytes, 10)
	case f.Offset >= 0:
		b = strconv.AppendInt(append(b, "0t"...), f.Offset, 10)
		if len(b)-start > lsofOffsetMost {
			return strconv.AppendInt(append(b[:start], "0x"...), f.Offset, 16)
		}
	}
	return b
}

func (a *lsofAnswer) rest() { a.out = rowWriter{} }

// finish writes the titles and all rows.
func (a *lsofAnswer) finish(out *sink, kept io.Reader) error {
	if !a.headless {
		for i := range lsofColumns {
			title := lsofTitle(i)
			out.b = a.place(out.b, i, []byte(title), len(title))
		}
		out.b = append(out.b, '\n')
	}
	return writeRows(out, kept, func(b []byte, row *rowReader) []byte {
		for i := range lsofColumns {
			text, width := row.cell()
			b = a.place(b, i, text, width)
		}
		return b
	})
}

// place appends the text of a cell where it stands in its column.
func (a *lsofAnswer) place(b []byte, column int, s []byte, cells int) []byte {
	switch column {
	case lsofCommand:
		return a.appendCommand(b, s)
	case lsofName:
		return append(append(b, ' '), s...)
	}
	width := a.width[column]
	if column == lsofFD && string(s) == lsofTitle(lsofFD) {
		// The title ends where names and numbers end, before mode and lock.
		return append(appendRight(append(b, ' '), lsofTitle(lsofFD), width-2), "  "...)
	}
	b = appendSpaces(append(b, ' '), width-cells)
	return append(b, s...)
}
