package render

import (
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
	lsofUIDWidth    = 8  // of a user without a name
	lsofFDLeast     = 6  // a name or number of four places, the mode and the lock
	lsofOffsetMost  = 10 // cells of 0t123; a larger offset is printed in hexadecimal
)

// lsofAnswer renders as `lsof -n -P -K i`. lsof fits its columns to what
// stands in them, so all cells are kept until the last part is there.
type lsofAnswer struct {
	escape escape
	width  [lsofColumns]int
	text   []byte   // the cells of all rows, one behind the other
	ends   []uint32 // of each cell in text, lsofColumns a row
}

func newLsofAnswer(opt Options) *lsofAnswer {
	a := &lsofAnswer{escape: escapeLsof}
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

func (a *lsofAnswer) append(b []byte, part *dtc.Report) []byte {
	for i := range part.OpenFiles {
		a.add(&part.OpenFiles[i])
	}
	if part.Partial {
		return b
	}
	return a.finish(b)
}

// add keeps the cells of one row and widens the columns for it.
func (a *lsofAnswer) add(f *dtc.OpenFile) {
	a.command(f.Command)
	a.text = strconv.AppendInt(a.text, int64(f.PID), 10)
	a.end(lsofPID)
	a.user(f.User)
	a.descriptor(f)
	a.cell(lsofType, f.Type)
	a.cell(lsofDevice, f.Device)
	a.size(f)
	a.cell(lsofNode, f.Node)
	a.text = appendEscaped(a.text, f.Name, a.escape)
	if stateless(f) {
		a.text = append(a.text, ' ')
	}
	a.ends = append(a.ends, uint32(len(a.text)))
}

// stateless tells whether f is a socket of which lsof prints no state, but the
// space before it.
func stateless(f *dtc.OpenFile) bool {
	return f.Node == "UDP" && !strings.HasSuffix(f.Name, ")") && !strings.HasSuffix(f.Name, " ")
}

// start returns where the current cell begins.
func (a *lsofAnswer) start() int {
	if n := len(a.ends); n > 0 {
		return int(a.ends[n-1])
	}
	return 0
}

// end closes the current cell and widens its column for it.
func (a *lsofAnswer) end(column int) {
	a.width[column] = max(a.width[column], cellWidth(a.text[a.start():]))
	a.ends = append(a.ends, uint32(len(a.text)))
}

func (a *lsofAnswer) cell(column int, s string) {
	a.text = appendEscaped(a.text, s, a.escape)
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
	a.text = append(a.text, s...)
	a.ends = append(a.ends, uint32(len(a.text)))
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
	if s != "" && strings.Trim(s, "0123456789") == "" {
		a.width[lsofUser] = max(a.width[lsofUser], lsofUIDWidth)
	}
	a.cell(lsofUser, s)
}

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
	a.text = appendEscaped(a.text, f.FD, a.escape)
	a.text = appendEscaped(a.text, mode, a.escape)
	a.text = appendEscaped(a.text, lock, a.escape)
	a.end(lsofFD)
}

// size keeps the size, or the offset of what has none.
func (a *lsofAnswer) size(f *dtc.OpenFile) {
	switch {
	case f.SizeBytes >= 0:
		a.text = strconv.AppendInt(a.text, f.SizeBytes, 10)
	case f.Offset >= 0:
		start := len(a.text)
		a.text = strconv.AppendInt(append(a.text, "0t"...), f.Offset, 10)
		if len(a.text)-start > lsofOffsetMost {
			a.text = strconv.AppendInt(append(a.text[:start], "0x"...), f.Offset, 16)
		}
	}
	a.end(lsofSize)
}

// finish appends the header and all rows.
func (a *lsofAnswer) finish(b []byte) []byte {
	for i := range lsofColumns {
		b = a.place(b, i, []byte(lsofTitle(i)))
	}
	b = append(b, '\n')
	start := uint32(0)
	for i, end := range a.ends {
		b = a.place(b, i%lsofColumns, a.text[start:end])
		if i%lsofColumns == lsofName {
			b = append(b, '\n')
		}
		start = end
	}
	return b
}

// place appends the text of a cell where it stands in its column.
func (a *lsofAnswer) place(b []byte, column int, s []byte) []byte {
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
	b = appendSpaces(append(b, ' '), width-cellWidth(s))
	return append(b, s...)
}
