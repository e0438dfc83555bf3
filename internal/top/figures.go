package top

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

const absent = "-" // of what a host cannot give

// percentText returns a share in whole percent.
func percentText(v float64) string {
	if math.IsNaN(v) {
		return absent
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + "%"
}

// loadText returns a load average in four cells.
func loadText(v float64) string {
	switch {
	case math.IsNaN(v) || v < 0:
		return absent
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return tenthsText(v)
	}
}

// spanText returns a time in at most six cells.
func spanText(seconds float64) string {
	if math.IsNaN(seconds) || seconds < 0 {
		return absent
	}
	n := int64(min(seconds, 9999*86400))
	two := func(n int64) string { return strconv.Itoa(int(n/10)) + strconv.Itoa(int(n%10)) }
	switch {
	case n < 60:
		return strconv.FormatInt(n, 10) + "s"
	case n < 3600:
		return strconv.FormatInt(n/60, 10) + "m"
	case n < 86400:
		return strconv.FormatInt(n/3600, 10) + "h" + two(n%3600/60) + "m"
	case n < 100*86400:
		return strconv.FormatInt(n/86400, 10) + "d" + two(n%86400/3600) + "h"
	default:
		return strconv.FormatInt(n/86400, 10) + "d"
	}
}

// sizeText returns bytes in the largest unit of which there is at least one.
func sizeText(bytes int64) string {
	if bytes < 0 {
		return absent
	}
	v, unit := float64(bytes), 0
	for v >= 1024 && unit < len("BKMGTP")-1 {
		v, unit = v/1024, unit+1
	}
	digits := 0
	if unit > 0 && v < 10 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + "BKMGTP"[unit:unit+1]
}

// since returns how long ago t was, seen from now.
func since(t, now time.Time) string { return spanText(max(now.Sub(t).Seconds(), 0)) }

// timeText returns processor time as ps does: minutes:seconds.
func timeText(seconds float64) string {
	if math.IsNaN(seconds) || seconds < 0 {
		return absent
	}
	n := int64(min(seconds, 1e9))
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// tenthsText returns a share in percent in four cells, as ps does.
func tenthsText(v float64) string {
	switch {
	case math.IsNaN(v) || v < 0:
		return absent
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(min(v, 9999), 'f', 0, 64)
	}
}
