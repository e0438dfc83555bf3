package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"dtc/internal/logs"
)

// drains are the copies that catch up with their sources, as successive looks
// show them.
type drains struct{ all map[logs.Target]*drain }

// drain is one of them. It begins with the first look that finds the copy
// behind, and ends when nothing is left.
type drain struct {
	at   time.Time // of the last look
	done int64     // bytes that have come since it began
	left int64     // bytes that the source has more
	had  int64     // what the stream had had at the last look
	rate average   // bytes a second that come
	net  average   // bytes a second by which the lag gets less
	seen int       // looks that found it behind
}

// average is an exponentially weighted mean of a rate.
type average struct {
	value float64
	known bool
}

// averageOver is the time after which a rate counts by a third only.
const averageOver = 5 * time.Second

func (a *average) add(rate float64, over time.Duration) {
	if !a.known {
		a.value, a.known = rate, true
		return
	}
	weight := 1 - math.Exp(-over.Seconds()/averageOver.Seconds())
	a.value += weight * (rate - a.value)
}

// soonThere is a lag that is not worth a bar before a second look has found it.
const soonThere = 1 << 20

// look takes what is known of copies at a moment.
func (d *drains) look(rows []listRow, now time.Time) {
	before := d.all
	d.all = map[logs.Target]*drain{}
	for i := range rows {
		r := &rows[i]
		if r.Lag == nil || *r.Lag == 0 {
			continue // not known, or nothing is left
		}
		t := logs.Target{Folder: r.Folder, Alias: r.Alias}
		one := before[t]
		if one == nil || r.Received < one.had {
			one = &drain{at: now, left: *r.Lag, had: r.Received}
		}
		one.look(r.Received, *r.Lag, now)
		d.all[t] = one
	}
}

func (d *drain) look(had, lag int64, now time.Time) {
	d.seen++
	if over := now.Sub(d.at); over > 0 {
		d.rate.add(float64(had-d.had)/over.Seconds(), over)
		d.net.add(float64(d.left-lag)/over.Seconds(), over)
	}
	d.done += had - d.had
	d.at, d.had, d.left = now, had, lag
}

// of returns the drain of a copy, nil if there is none that is worth a bar.
func (d *drains) of(r *listRow) *drain {
	one := d.all[logs.Target{Folder: r.Folder, Alias: r.Alias}]
	if one == nil || one.seen < 2 && one.left < soonThere {
		return nil
	}
	return one
}

// total is all drains of some copies together.
func (d *drains) total(rows []listRow) *drain {
	var sum drain
	for i := range rows {
		one := d.of(&rows[i])
		if one == nil {
			continue
		}
		sum.done += one.done
		sum.left += one.left
		sum.rate.value += one.rate.value
		sum.net.value += one.net.value
		sum.rate.known = sum.rate.known || one.rate.known
		sum.net.known = sum.net.known || one.net.known
	}
	if sum.left == 0 {
		return nil
	}
	return &sum
}

// barCells is how long a bar is.
const barCells = 10

// text says how far it is: [#####.....] 52%  118 MiB/s  0:42 left.
func (d *drain) text() string {
	if d == nil {
		return "-"
	}
	share := float64(d.done) / float64(max(d.done+d.left, 1))
	full := int(share * barCells)
	percent := min(int(share*100), 99) // something is left
	return fmt.Sprintf("[%s%s] %2d%%  %s  %s left",
		strings.Repeat("#", full), strings.Repeat(".", barCells-full), percent, d.rate.text(), d.remaining())
}

func (a *average) text() string {
	if !a.known {
		return "-"
	}
	return byteText(int64(max(a.value, 0))) + "/s"
}

// remaining is the time until nothing is left, if it goes on like that.
func (d *drain) remaining() string {
	if !d.net.known || d.net.value < 1 {
		return "-"
	}
	seconds := int64(math.Ceil(float64(d.left) / d.net.value))
	switch {
	case seconds >= 100*3600:
		return "-"
	case seconds >= 3600:
		return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	default:
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
}
