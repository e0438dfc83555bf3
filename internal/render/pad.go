package render

import (
	"math"
	"strconv"
)

const absent = "-" // in text, of what a system cannot give

// widestColumn is the most cells that a column is filled up to. What is wider
// stands out, so that one such cell does not widen a million rows.
const widestColumn = 1024

const spaces = "                                                                "

// appendSpaces appends n spaces, none if n is negative.
func appendSpaces(b []byte, n int) []byte {
	for ; n > len(spaces); n -= len(spaces) {
		b = append(b, spaces...)
	}
	return append(b, spaces[:max(n, 0)]...)
}

// alignRight moves what stands in b from start on, which takes that many
// cells, to the right end of a column of the given width. What is wider stays.
func alignRight(b []byte, start, cells, width int) []byte {
	n := width - cells
	if n <= 0 {
		return b
	}
	end := len(b)
	b = appendSpaces(b, n)
	copy(b[start+n:], b[start:end])
	for i := range n {
		b[start+i] = ' '
	}
	return b
}

// appendRight appends ASCII text at the right end of a column.
func appendRight(b []byte, s string, width int) []byte {
	return append(appendSpaces(b, width-len(s)), s...)
}

// appendKiB appends bytes as kibibytes, or the mark of an absent value.
func appendKiB(b []byte, bytes int64) []byte {
	if bytes < 0 {
		return append(b, absent...)
	}
	return strconv.AppendInt(b, bytes/1024, 10)
}

// appendFixed appends v with two decimals at the right end of a column.
func appendFixed(b []byte, v float64, width int) []byte {
	start := len(b)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		b = append(b, absent...)
	} else {
		b = strconv.AppendFloat(b, v, 'f', 2, 64)
	}
	return alignRight(b, start, len(b)-start, width)
}

// appendTwo appends n with at least two digits.
func appendTwo(b []byte, n int) []byte {
	if n >= 0 && n < 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(n), 10)
}

// appendClock appends hours, minutes and seconds.
func appendClock(b []byte, hour, minute, second int) []byte {
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	return appendTwo(b, second)
}

// orAbsent returns s, or the mark of an absent value.
func orAbsent(s string) string {
	if s == "" {
		return absent
	}
	return s
}
