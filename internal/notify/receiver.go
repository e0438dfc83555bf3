package notify

import (
	"time"
)

// What a [Receiver] has where its configuration says nothing.
const (
	DefaultWait   = 2 * time.Second
	DefaultGiveUp = 24 * time.Hour
)

// Receiver is somebody who is told.
type Receiver struct {
	Name string // unique
	Kind string // as [NewSender] takes it

	// For says of what: an item that is the word of a state is that state, any
	// other is a name or an address of a host, a group, or the name of a rule, or
	// a glob of one. Empty: of all that is wrong, and of its recovery.
	For []string

	Wait   time.Duration // what happens within it is told at once; 0: DefaultWait
	Remind time.Duration // what is still wrong is told again each time it passes; 0: never
	GiveUp time.Duration // a notice that cannot be delivered for so long is given up on; 0: DefaultGiveUp

	Values map[string]string // of its sender, as in [Settings]
}

// Host is a host that the monitor watches.
type Host struct {
	Name    string
	Address string // as it stands in events
	Groups  []string
	Rules   []string // names of its rules
	PIDs    []int    // watched
}

// Config is all that may change while a [Notifier] runs.
type Config struct {
	Receivers   []Receiver
	Maintenance []Window
	Hosts       []Host // all that are watched
}
