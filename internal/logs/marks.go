package logs

import (
	"slices"
	"time"
)

// arrival says that the bytes from base on came at time or later, and those
// before it earlier. The bytes up to the next arrival came within reach
// seconds of time.
type arrival struct {
	base  int64 // logical position
	time  int64 // Unix seconds
	reach int64 // seconds
}

// thinning says how fine arrivals are kept when they are older.
var thinning = []struct {
	age   int64 // seconds
	every int64 // seconds
}{
	{90 * 86400, 3600},
	{7 * 86400, 600},
	{86400, 60},
	{3600, 10},
	{0, 1},
}

func reachAt(age int64) int64 {
	for _, t := range thinning {
		if age >= t.age {
			return t.every
		}
	}
	return 1
}

// thin drops arrivals that lie closer together than their age deserves.
func thin(all []arrival, now int64) []arrival {
	kept := all[:0:0]
	for _, a := range all {
		if n := len(kept); n > 0 {
			last := &kept[n-1]
			// A clock that was set back is no reason to drop what it said.
			if gap := a.time - last.time; gap >= 0 && gap < reachAt(now-a.time) {
				last.reach = max(last.reach, gap+a.reach)
				continue
			}
		}
		kept = append(kept, a)
	}
	return kept
}

// since returns the logical position of the first byte that came at t or
// later; bytes up to the arrivals' reach earlier may be among them, never is
// one left out. ok is false when every byte is older.
func since(all []arrival, t time.Time) (base int64, ok bool) {
	i := slices.IndexFunc(all, func(a arrival) bool { return a.time+a.reach > t.Unix() })
	if i < 0 {
		return 0, false
	}
	return all[i].base, true
}

// before returns the logical position of the first byte that may have come at
// t or later: none that came earlier lies behind it, but bytes that came up to
// the arrivals' reach later may lie before it.
func before(all []arrival, t time.Time) (base int64) {
	i := slices.IndexFunc(all, func(a arrival) bool { return a.time >= t.Unix() })
	if i < 0 {
		return unlimited
	}
	return all[i].base
}

// markEntry is one arrival.
type markEntry struct{ arrival }

func (*markEntry) kind() kind            { return kindMark }
func (e *markEntry) put(b []byte) []byte { return putInt(putInt(b, e.base), e.time) }

// marksEntry is a row of arrivals, as differences: what a compaction leaves.
type marksEntry struct{ arrivals []arrival }

// maxMarks bounds one row so that its record stays below maxRecord.
const maxMarks = 20_000

func (*marksEntry) kind() kind { return kindMarks }

func (e *marksEntry) put(b []byte) []byte {
	b = putUint(b, uint64(len(e.arrivals)))
	var last arrival
	for _, a := range e.arrivals {
		b = putInt(b, a.base-last.base)
		b = putInt(b, a.time-last.time)
		b = putInt(b, a.reach)
		last = a
	}
	return b
}

func readMarks(d *decoder) *marksEntry {
	n := d.uint()
	if n > maxMarks || n > uint64(len(d.b)) {
		d.fail()
		return &marksEntry{}
	}
	e := &marksEntry{arrivals: make([]arrival, 0, n)}
	var last arrival
	for range n {
		last = arrival{last.base + d.int(), last.time + d.int(), d.int()}
		e.arrivals = append(e.arrivals, last)
	}
	return e
}
