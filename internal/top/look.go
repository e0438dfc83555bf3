package top

import (
	"math"
	"strings"
)

// look is what the terminal can show.
type look struct {
	color   bool
	unicode bool
}

// Ways to show a text: parameters of SGR, ECMA-48.
const (
	plain   = ""
	bold    = "1"
	reverse = "7"
	faint   = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	alarm   = "1;31"
)

// paint returns s shown in some way. Bold and reverse are no colors.
func (l look) paint(way, s string) string {
	if s == "" || way == plain || !l.color && way != bold && way != reverse {
		return s
	}
	return "\x1b[" + way + "m" + s + "\x1b[m"
}

// bar returns a bar of that many cells for a share in percent, none if it is not
// known.
func (l look) bar(percent float64, width int) string {
	if math.IsNaN(percent) {
		return spaces(width)
	}
	full, rest := "#", "."
	if l.unicode {
		full, rest = "█", "░"
	}
	n := min(max(int(percent/100*float64(width)+0.5), 0), width)
	if n == 0 && percent >= 1 && width > 0 {
		n = 1
	}
	return strings.Repeat(full, n) + strings.Repeat(rest, width-n)
}

// branches returns what stands before a child of a process that others follow,
// before the last child, and before the children of the former. Before those of
// the latter there is noBranch.
func (l look) branches() (more, last, below string) {
	if l.unicode {
		return "├─ ", "└─ ", "│  "
	}
	return "|- ", "`- ", "|  "
}

const noBranch = "   "

// arrow marks the direction of an order: down is largest first.
func (l look) arrow(descending bool) string {
	switch {
	case !l.unicode && descending:
		return "v"
	case !l.unicode:
		return "^"
	case descending:
		return "↓"
	default:
		return "↑"
	}
}

// line is one line of the screen while it is put together. What does not fit
// is left out.
type line struct {
	look  look
	b     strings.Builder
	room  int
	plain bool // no ways within: the whole line is shown in one
}

// add appends text, fitted to that many cells.
func (l *line) add(way, text string, width int) {
	width = min(width, l.room)
	if width <= 0 {
		return
	}
	l.room -= width
	if l.plain {
		way = plain
	}
	l.b.WriteString(l.look.paint(way, fit(text, width)))
}

// end returns the line, filled to its width.
func (l *line) end() string {
	l.b.WriteString(spaces(l.room))
	l.room = 0
	return l.b.String()
}
