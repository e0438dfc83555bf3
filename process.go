package dtc

import "time"

// ProcessID is the identity of a process within one boot of its host. A pid
// alone is none: the kernel gives it to another process after the first ended.
type ProcessID struct {
	PID int

	// Start is when the process started, in the system's own unit, on a clock
	// that nobody sets: field 22 of proc_pid_stat(5) in ticks since boot on
	// Linux, the creation time elsewhere. 0 is unknown.
	Start uint64
}

// WatchTarget is one process to watch.
type WatchTarget struct {
	PID int

	// Known is the process that the asker saw alive under this pid before, in
	// the boot KnownBoot. If it is not there any more, that is a death and not
	// a missing process. Zero: nothing is known.
	Known     ProcessID
	KnownBoot string
}

// State is what happened to a process, a log or a host.
type State string

// The states of a watched process, of its host and of a followed log.
const (
	StateAlive   State = "alive"   // at the start of a watch, and at each routine check
	StateDead    State = "dead"    // it ended; told once
	StateMissing State = "missing" // no such process at the start of a watch, and at each routine check

	// Of a rule, see [ProcessRule].
	StateRestarted State = "restarted" // it ended, and came back as another process in time
	StateCount     State = "count"     // fewer or more processes than the rule allows
	StateNormal    State = "normal"    // and now as many as it allows

	// Of a single watched pid: after its end was told, a process with the same
	// command came.
	StateReplaced State = "replaced"

	StateStopped     State = "stopped" // somebody stopped the host's agent on purpose
	StateReachable   State = "reachable"
	StateUnreachable State = "unreachable"
	StateRebooted    State = "rebooted"
	StateRefused     State = "refused"
	StateRejoined    State = "rejoined"

	StateGap     State = "gap"     // bytes of a source were destroyed before they could be read
	StateChanged State = "changed" // somebody else changed the monitor's copy
	StateRewound State = "rewound" // a source lost its end, and goes on from before
	StateHole    State = "hole"    // a stretch of a source that was never written: it reads as zeros, and takes no room in the copy either
	StatePaused  State = "paused"  // the monitor cannot store at the moment
	StateResumed State = "resumed" // and now it can
	StateCorrupt State = "corrupt" // a sealed copy's checksum is not the source's

	StateUndelivered State = "undelivered" // a notice was given up on
)

// ExitKind says how much is known of the end of a process.
type ExitKind uint8

// The ways in which a process ended.
const (
	ExitUnknown ExitKind = iota // the system does not tell
	ExitCode                    // it exited; Exit.Number is its code
	ExitSignal                  // a signal killed it; Exit.Number is the signal
)

// Exit is how a process ended.
type Exit struct {
	Kind   ExitKind
	Number int
	Core   bool // the kernel wrote a core dump
	OOM    bool // the kernel killed it, for it was out of memory
}

// Sighting is what an agent saw of a watched process. The agent numbers its
// sightings and keeps those that tell a change until they are acknowledged.
type Sighting struct {
	Run     string // the agent's run, a part of the event's id
	Number  uint64 // counts up within the run; 0: answers a check, and is not kept
	State   State
	Process ProcessID // PID 0 of a rule's missing, count and normal, and of stopped
	Boot    string    // of the host, when seen
	Name    string    // the kernel's short name of the process, "" if unknown
	Exit    Exit      // of StateDead and StateRestarted

	Rule   string        // name of the rule that it belongs to; "" of a single pid
	Count  int           // of a rule: the processes that there are, of StateMissing, StateCount and StateNormal
	NewPID int           // of StateRestarted and StateReplaced: who came
	Gap    time.Duration // of these: from the end to the newcomer's start
	Reason string        // in words, "" where the state says all

	Lived time.Duration // of StateDead and StateRestarted: from its start to its end

	// Age is how long ago it happened, measured on a clock that runs through
	// suspension and that nobody sets (CLOCK_BOOTTIME), at the time of sending.
	// Where nobody saw it happen it is the least that it can be, and AgeMost the
	// most; else AgeMost is 0.
	Age     time.Duration
	AgeMost time.Duration

	PostMortem *PostMortem // of StateDead and StateRestarted; nil: nothing is known
}
