package notify

import (
	"slices"
	"time"

	"dtc"
)

// Window is a time in which what happens is not told: once, between Start and
// End, or each week. What is still wrong when it is over is told then.
type Window struct {
	For []string // as of a [Receiver]; empty: everything

	Start, End time.Time // zero: without a beginning, an end

	// From and To are times of a day, in the zone of the monitor's clock, as what
	// passed since midnight: 0 to 24 h. A To that is not after From is of the next
	// day. Both 0: all day.
	From, To time.Duration
	Days     []time.Weekday // on which it begins; empty: every day
}

// mute is a time in which some events are not told.
type mute struct {
	covers func(e *dtc.Event) bool

	// end returns when the time is over in which now lies, the zero time if now
	// lies in none.
	end func(now time.Time) time.Time
}

func (w *Window) mute(r *roster) mute { return mute{covers: newFilter(w.For, r).covers, end: w.end} }

// end is mute's.
func (w *Window) end(now time.Time) time.Time {
	if now.Before(w.Start) || !w.End.IsZero() && !now.Before(w.End) {
		return time.Time{}
	}
	for before := range 2 { // it may have begun yesterday
		begin, end := w.on(now, -before)
		if now.Before(begin) || !now.Before(end) || len(w.Days) > 0 && !slices.Contains(w.Days, begin.Weekday()) {
			continue
		}
		if !w.End.IsZero() && w.End.Before(end) {
			end = w.End
		}
		return end
	}
	return time.Time{}
}

// on returns the window that begins on the day of now, or so many days later:
// at these times of the clock on the wall, also where that is set forward or
// back on the day.
func (w *Window) on(now time.Time, days int) (begin, end time.Time) {
	year, month, day := now.Date()
	at := func(day int, passed time.Duration) time.Time {
		return time.Date(year, month, day, 0, 0, int(passed/time.Second), 0, now.Location())
	}
	day += days
	if w.To > w.From {
		return at(day, w.From), at(day, w.To)
	}
	return at(day, w.From), at(day+1, w.To)
}
