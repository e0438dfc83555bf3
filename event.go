package dtc

import "time"

// EventKind groups events by what they are about.
type EventKind string

// The kinds of events.
const (
	EventProcess EventKind = "process"
	EventLog     EventKind = "log"
	EventHost    EventKind = "host"
	EventNotify  EventKind = "notify"
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
	PID        int // 0 of a rule's missing, count and normal
	Name       string
	Rule       string        // name of the rule, "" of a single pid
	Exit       *Exit         // of StateDead and StateRestarted
	Lived      time.Duration // of these
	DiedAt     time.Time     // of these, if told more than a second after it; zero where only bounds are known
	DiedAfter  time.Time     // of these, where nobody saw the end: it lived then
	DiedBefore time.Time     // and was gone then
	NewPID     int           // of StateRestarted and StateReplaced
	Gap        time.Duration // of these: from the end to the newcomer's start
	Count      int           // of StateCount, StateNormal and a rule's StateMissing
	Min, Max   int           // of these: what the rule allows; Max 0 is no limit
	PostMortem *PostMortem   // of StateDead and StateRestarted; nil: nothing is known

	// Of a log.
	Alias  string
	From   *int64 // position in the source's generation
	To     *int64 // nil: unknown
	Reason string // one line, in words
}
