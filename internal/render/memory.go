package render

import (
	"strconv"

	"dtc"
)

// freeAnswer renders as `free`, or as `free -h`.
type freeAnswer struct{ human bool }

func (a freeAnswer) append(b []byte, part *dtc.Report) []byte {
	m := part.Memory
	if m == nil {
		return b
	}
	b = append(b, "               total        used        free      shared  buff/cache   available\n"...)
	b = a.row(b, "Mem:", m.TotalBytes, m.UsedBytes, m.FreeBytes, m.SharedBytes,
		sum(m.BuffersBytes, m.CachedBytes), m.AvailableBytes)
	return a.row(b, "Swap:", m.SwapTotalBytes, m.SwapUsedBytes, m.SwapFreeBytes)
}

// sum adds two values, either of which may be absent.
func sum(x, y int64) int64 {
	switch {
	case x < 0:
		return y
	case y < 0:
		return x
	default:
		return x + y
	}
}

func (a freeAnswer) row(b []byte, name string, values ...int64) []byte {
	b = append(b, name...)
	b = appendSpaces(b, 8-len(name))
	for _, v := range values {
		b = append(b, ' ')
		start := len(b)
		if a.human {
			b = appendHuman(b, v)
		} else {
			b = appendKiB(b, v)
		}
		b = alignRight(b, start, len(b)-start, 11)
	}
	return append(b, '\n')
}

// appendHuman appends bytes as `free -h` does: in the smallest unit in which
// the number with its unit takes no more than five places, with a decimal
// where there is room for it. Like free it cuts bytes to whole kibibytes, and
// rounds a number with a decimal, but cuts one without.
func appendHuman(b []byte, bytes int64) []byte {
	if bytes < 0 {
		return append(b, absent...)
	}
	bytes -= bytes % 1024
	start := len(b)
	if b = append(strconv.AppendInt(b, bytes, 10), 'B'); len(b)-start <= 4 {
		return b
	}
	const units = "KMGTP"
	scale := float64(1)
	for i := range len(units) {
		scale *= 1024
		v := float64(bytes) / scale
		b = strconv.AppendFloat(b[:start], float64(float32(v)), 'f', 1, 64)
		if b = append(b, units[i], 'i'); len(b)-start <= 5 {
			return b
		}
		b = strconv.AppendInt(b[:start], int64(v), 10)
		if b = append(b, units[i], 'i'); len(b)-start <= 5 {
			return b
		}
	}
	return b
}
