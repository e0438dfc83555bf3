package render

import (
	"math"
	"strconv"
	"time"

	"dtc"
)

// mpstatAnswer renders as `uptime` and `mpstat -P ALL 1 1`.
type mpstatAnswer struct {
	escape   escape
	headless bool // without mpstat's headers, and the empty lines between them
}

func (a mpstatAnswer) append(b []byte, part *dtc.Report) []byte {
	c := part.CPU
	if c == nil {
		return b
	}
	now := part.CollectedAt
	b = appendUptime(b, c, now)
	if !a.headless {
		b = a.header(b, c, now)
	}
	if len(c.Percent) == 0 {
		return b
	}
	before := now
	if s := c.IntervalSeconds; s > 0 && s < 1e9 { // and not NaN
		before = now.Add(-time.Duration(s * float64(time.Second)))
	}
	b = a.block(b, c.Percent, appendTimeOf(nil, before), appendTimeOf(nil, now))
	return a.block(b, c.Percent, []byte("Average:"), []byte("Average:"))
}

// appendUptime appends the line of uptime(1).
func appendUptime(b []byte, c *dtc.CPU, now time.Time) []byte {
	b = append(appendTimeOf(append(b, ' '), now), " up "...)
	b = appendSpan(b, c.UptimeSeconds)
	b = append(b, ", "...)
	switch {
	case c.Users < 0:
		b = append(b, "? users"...)
	case c.Users <= 1:
		b = append(appendRight(b, strconv.Itoa(c.Users), 2), " user"...)
	default:
		b = append(appendRight(b, strconv.Itoa(c.Users), 2), " users"...)
	}
	b = append(b, ",  load average: "...)
	b = appendFixed(b, c.Load1, 0)
	b = appendFixed(append(b, ", "...), c.Load5, 0)
	b = appendFixed(append(b, ", "...), c.Load15, 0)
	return append(b, '\n')
}

// appendSpan appends how long a host is up: "3 days,  4:05", "17 min".
func appendSpan(b []byte, seconds float64) []byte {
	if math.IsNaN(seconds) || seconds < 0 || seconds > math.MaxInt32*60 {
		return append(b, absent...)
	}
	minutes := int64(seconds) / 60
	if days := minutes / (24 * 60); days > 0 {
		b = strconv.AppendInt(b, days, 10)
		if days == 1 {
			b = append(b, " day, "...)
		} else {
			b = append(b, " days, "...)
		}
	}
	hours := minutes / 60 % 24
	if hours == 0 {
		return append(strconv.AppendInt(b, minutes%60, 10), " min"...)
	}
	b = append(appendRight(b, strconv.FormatInt(hours, 10), 2), ':')
	return appendTwo(b, int(minutes%60))
}

// header appends the line with which mpstat begins.
func (a mpstatAnswer) header(b []byte, c *dtc.CPU, now time.Time) []byte {
	b = append(appendEscaped(b, orAbsent(c.OS), a.escape), ' ')
	b = append(appendEscaped(b, orAbsent(c.Kernel), a.escape), " ("...)
	b = append(appendEscaped(b, orAbsent(c.Hostname), a.escape), ") \t"...)
	year, month, day := now.Date()
	b = append(appendTwo(b, int(month)), '/')
	b = append(appendTwo(b, day), '/')
	b = append(appendTwo(b, (year%100+100)%100), " \t_"...)
	b = append(appendEscaped(b, orAbsent(c.Arch), a.escape), "_\t("...)
	if c.LogicalCores > 0 {
		b = strconv.AppendInt(b, int64(c.LogicalCores), 10)
	} else {
		b = append(b, absent...)
	}
	return append(b, " CPU)\n"...)
}

// block appends an empty line and one table; title and row stand before its
// header and its rows.
func (a mpstatAnswer) block(b []byte, percent []dtc.CPUPercent, title, row []byte) []byte {
	if !a.headless {
		b = appendLeft(append(b, '\n'), title)
		b = append(b, "  CPU    %usr   %nice    %sys %iowait    %irq   %soft  %steal  %guest  %gnice   %idle\n"...)
	}
	for i := range percent {
		p := &percent[i]
		b = append(appendLeft(b, row), ' ')
		start := len(b)
		b = appendEscaped(b, p.CPU, a.escape)
		b = alignRight(b, start, cellWidth(b[start:]), 4)
		for _, v := range [...]float64{
			p.User, p.Nice, p.System, p.IOWait, p.IRQ, p.SoftIRQ, p.Steal, p.Guest, p.GuestNice, p.Idle,
		} {
			b = appendFixed(append(b, ' '), v, 7)
		}
		b = append(b, '\n')
	}
	return b
}

// appendLeft appends the first column of mpstat.
func appendLeft(b, s []byte) []byte {
	return appendSpaces(append(b, s...), 11-len(s))
}

func appendTimeOf(b []byte, t time.Time) []byte {
	hour, minute, second := t.Clock()
	return appendClock(b, hour, minute, second)
}
