package proc

import (
	"time"

	"dtc"
)

// Seen is one look at one process.
type Seen struct {
	ID   dtc.ProcessID
	Name string // the kernel's short name; any bytes

	// Zombie says that the process has ended and only its entry is left. A
	// process whose first thread has ended while others run is none.
	Zombie bool

	// Exit is how a zombie ended; ExitUnknown of a process that runs, and where
	// the system does not tell.
	Exit dtc.Exit

	// Lived is the time from the start of the process until this look.
	Lived time.Duration

	// Usage is what it uses, zero where the look does not tell that at no cost:
	// see Measure.
	Usage Usage
}

// Usage is what a process uses, at one look. A number that the system does not
// tell is [dtc.Absent]; the zero value tells nothing at all.
type Usage struct {
	PPID     int
	Threads  int
	CPU      time.Duration // user and system time of all its threads, of those that ended too
	RSSBytes int64         // 0 of a zombie

	// Ending says that its first thread is on its way out, or gone: its memory
	// and its command line are not shown any more.
	Ending bool
}

// Identify returns the identity and the short name of the process with this
// pid, zombies included. The error wraps [os.ErrNotExist] if there is none.
func Identify(pid int) (dtc.ProcessID, string, error) {
	seen, err := Look(pid)
	return seen.ID, seen.Name, err
}
