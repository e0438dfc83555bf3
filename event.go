package dtc

import "time"

// EventKind groups events by what they are about.
type EventKind string

// The kinds of events.
const (
	EventProcess EventKind = "process"
	EventLog     EventKind = "log"
	EventHost    EventKind = "host"
)

// Event is one thing that happened in the fleet, as the monitor records it.
// Fields that do not belong to its kind are zero.
type Event struct {
	ID      string    // unique to the event, so that nothing is told twice over a crash
	Time    time.Time // when the monitor wrote it down, on the monitor's clock
	Host    string    // name in the configuration
	Address string    // ip:port of the agent; for a host that only ships logs its ip
	Kind    EventKind
	State   State

	// Of a process.
	PID    int
	Name   string
	Exit   *Exit         // of StateDead
	Lived  time.Duration // of StateDead
	DiedAt time.Time     // of StateDead, if told more than a second after it

	// Of a log.
	Alias  string
	From   *int64 // position in the source's generation
	To     *int64 // nil: unknown
	Reason string // of a log or a host: one line, in words
}
