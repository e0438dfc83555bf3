package notify

import (
	"maps"
	"strconv"
	"time"

	"dtc"
)

// What comes and goes every few seconds would be a notice each time. So the
// notices about one host, rule, pid or log that follow each other quickly are
// held apart: a few come as they are, then each waits for longer. Nothing is
// left out of them, but that a problem is told which was over before it was.
const (
	flapFree  = 4                // how many come as they are
	flapLeast = 15 * time.Second // between the last of these and the next; twice as much each time
	flapMost  = 5 * time.Minute  // but no more
	flapCalm  = 15 * time.Minute // after so long without a notice all is as at first
)

// heard is how often the receiver was told of one thing lately.
type heard struct {
	At    time.Time `json:"at"` // the last time
	Times int       `json:"times"`
}

// subject returns the key of what an event is about, whatever happened to it;
// "" if nothing more will happen to it.
func subject(e *dtc.Event) string {
	switch e.Kind {
	case dtc.EventHost:
		if ofStore(e) {
			return joinKey("store", "", "")
		}
		return joinKey("host", e.Address, "")
	case dtc.EventLog:
		return joinKey("log", e.Address, e.Alias)
	case dtc.EventNotify:
		return joinKey("notify", e.Address, "")
	case dtc.EventProcess:
	}
	switch {
	case e.Rule != "":
		return joinKey("rule", e.Address, e.Rule)
	case e.State == dtc.StateDead || e.State == dtc.StateReplaced:
		return ""
	default:
		return joinKey("pid", e.Address, strconv.Itoa(e.PID))
	}
}

// notBefore returns when the receiver may be told of an event at the earliest.
func (m *machine) notBefore(e *storedEvent) time.Time {
	if len(m.state.Heard) == 0 {
		return time.Time{}
	}
	h := m.state.Heard[subject(e.event())]
	if h.Times < flapFree {
		return time.Time{}
	}
	const doublings = 8 // are more than enough
	return h.At.Add(min(flapLeast<<min(h.Times-flapFree, doublings), flapMost))
}

// hear notes what the receiver is told of. The parts of what is told at once
// are one time.
func (m *machine) hear(r *record) {
	if r.Kind == Reminder {
		return
	}
	maps.DeleteFunc(m.state.Heard, func(_ string, h heard) bool { return r.Time.Sub(h.At) >= flapCalm })
	for i := range r.Events {
		key := subject(r.Events[i].event())
		if h := m.state.Heard[key]; key != "" && !h.At.Equal(r.Time) {
			m.state.Heard[key] = heard{At: r.Time, Times: h.Times + 1}
		}
	}
}
