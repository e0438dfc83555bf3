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

// Event is one thing that a Watcher saw.
type Event struct {
	Kind   EventKind
	Folder string // as it was given to Watch
	Name   string
	Token  uint64 // as it was given to WatchFile, 0 for a folder
}
