package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxFaults = 100 // that are told; of the others only the number
	maxQuoted = 60  // characters of a value that a fault shows
)

// Fault is one mistake in a file.
type Fault struct {
	File string
	Line int    // from 1
	Text string // what is wrong, and what is expected
}

// String returns the fault as FILE:LINE: text.
func (f Fault) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }

// Errors are all mistakes of a file in the order of their lines; of very many
// the first hundred, and a last one that tells how many more there are.
type Errors []Fault

// Error returns one line a fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// faults collects the mistakes of a file. However many there are, it keeps few.
type faults struct {
	file string
	list Errors

	// Once there were too many, the first maxFaults of list are those to tell
	// so far, in order. Of the others there is their number and lowest line.
	full    bool
	dropped int
	from    int
}

func (f *faults) addf(line int, format string, args ...any) {
	if f.late(line) {
		f.drop(line)
		return
	}
	f.list = append(f.list, Fault{File: f.file, Line: line, Text: fmt.Sprintf(format, args...)})
	if len(f.list) == 4*maxFaults {
		f.settle()
	}
}

// late says whether a fault in that line will not be told but counted.
func (f *faults) late(line int) bool { return f.full && line >= f.list[maxFaults-1].Line }

func (f *faults) drop(line int) {
	if f.dropped == 0 || line < f.from {
		f.from = line
	}
	f.dropped++
}

// settle puts the list into order and keeps as many as are told.
func (f *faults) settle() {
	slices.SortStableFunc(f.list, func(a, b Fault) int { return a.Line - b.Line })
	for len(f.list) > maxFaults {
		last := len(f.list) - 1
		f.drop(f.list[last].Line)
		f.list, f.full = f.list[:last], true
	}
}

// err returns the mistakes as Errors, nil if there are none.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	f.settle()
	f.list = slices.Compact(f.list)
	if f.dropped > 0 {
		text := fmt.Sprintf("and %d more from this line on", f.dropped)
		f.list = append(f.list, Fault{File: f.file, Line: f.from, Text: text})
	}
	return f.list
}

// quote returns a value as a fault shows it: on one line, cut if it is long,
// with what a terminal must not see escaped.
func quote(s string) string {
	short, cut := shorten(s)
	if cut {
		return strconv.Quote(short) + "…"
	}
	return strconv.Quote(short)
}

// quoteName is quote for the name of an element or an attribute.
func quoteName(s string) string {
	short, cut := shorten(s)
	short = strconv.Quote(short)
	short = strings.ReplaceAll(short[1:len(short)-1], `\"`, `"`)
	if cut {
		short += "…"
	}
	return short
}

func shorten(s string) (short string, cut bool) {
	end := 0
	for range maxQuoted {
		if end >= len(s) {
			return s, false
		}
		_, size := utf8.DecodeRuneInString(s[end:])
		end += size
	}
	return s[:end], end < len(s)
}
