package render

import (
	"math"
	"strconv"

	"dtc"
)

// newDFAnswer renders as `df -T`, or as `df -hT`. df prints nothing at all
// where there is no file system, and cuts nothing on a terminal.
func newDFAnswer(opt Options) *tableAnswer {
	opt.Fields, opt.Columns = usualColumns(dtc.StatusDisk), 0
	a := newTableAnswer(dtc.StatusDisk, opt)
	if !opt.Raw {
		a.cell.escape = escapePS
	}
	for i, least := range [...]int{14, 0, 5, 5, 5} { // of its first columns
		a.widths[i] = max(a.widths[i], least)
	}
	a.onlyRows = true
	return a
}

// appendBlocks appends bytes in units of 1024, rounded up. There may be less
// than none.
func appendBlocks(b []byte, bytes int64) []byte {
	if bytes == dtc.Absent {
		return append(b, absent...)
	}
	blocks := bytes / 1024
	switch rest := bytes % 1024; {
	case rest > 0:
		blocks++
	case rest < 0:
		blocks--
	}
	return strconv.AppendInt(b, blocks, 10)
}

// appendUse appends a whole percentage.
func appendUse(b []byte, percent float64) []byte {
	if !(percent >= 0) || math.IsInf(percent, 0) { // or NaN
		return append(b, absent...)
	}
	return append(strconv.AppendFloat(b, percent, 'f', 0, 64), '%')
}
