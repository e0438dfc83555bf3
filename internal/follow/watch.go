package follow

// EventKind says what a Watcher saw.
type EventKind uint8

// The kinds of events.
const (
	_ EventKind = iota
	// Wrote: bytes of the file Name in Folder changed, or of the file with
	// the number Token.
	Wrote
	// Moved: the name Name in Folder came, went or changed its rights.
	Moved
	// Lost: Folder is watched no longer; with no folder: events are missing,
	// and everything has to be looked at.
	Lost
)

// How says in which way the name of a Moved event came or went.
type How uint8

// The ways. Only Linux tells them. What a name that was made stands for is not
// known: it may be a link.
const (
	Other    How = iota // its rights changed, or it is not known
	Made                // it was made
	Left                // it was removed or renamed
	Replaced            // something was renamed to it
)

// LimitError is the error of watching when a limit of the system is reached.
type LimitError struct {
	Name string // of the limit, as the system calls it
	What string // was being done
}

// Error returns one line for an operator.
func (e *LimitError) Error() string {
	return e.What + ": the system's limit is reached (" + e.Name + "): raise it, or follow files in fewer folders"
}

// Event is one thing that a Watcher saw.
type Event struct {
	Kind   EventKind
	How    How    // of a Moved
	Folder string // as it was given to Watch
	Name   string
	Token  uint64 // as it was given to WatchFile, 0 for a folder
}
