// Package notify tells people what happened in the fleet: it makes notices of
// events, one for what belongs together, and has them delivered, in order and
// over restarts, by whichever way a receiver is told.
package notify

import (
	"context"
	"errors"
	"time"

	"dtc"
)

// NoticeKind says what a notice is about.
type NoticeKind string

// The kinds of notices.
const (
	Problem  NoticeKind = "problem"  // something is wrong, or went wrong
	Recovery NoticeKind = "recovery" // what was told before is right again
	Reminder NoticeKind = "reminder" // it is still wrong
	Test     NoticeKind = "test"     // somebody tries the receiver
)

// Notice is what one receiver is told at once.
type Notice struct {
	ID       string // unique; the same in each attempt to deliver it
	Receiver string // its name
	Kind     NoticeKind
	Time     time.Time   // when it was made
	Title    string      // one line, not escaped
	Events   []dtc.Event // what it tells, in order; at most [MaxEvents]
	Since    time.Time   // of a recovery or a reminder: since when it was wrong
}

// MaxEvents is how many events one notice holds at most; more make a second
// one.
const MaxEvents = 500

// Sender delivers notices in one way. Its methods are not called concurrently.
type Sender interface {
	// Send delivers a notice. It returns nil when the receiver has taken it. An
	// error is one line without any secret; it is a [Refused] if the receiver
	// will never take this notice, and a [Later] if it says when to try again.
	// ctx has a deadline.
	Send(ctx context.Context, n *Notice) error
}

// Refused is the error of a notice that will never be taken as it is.
type Refused struct{ Err error }

func (e *Refused) Error() string { return e.Err.Error() }

func (e *Refused) Unwrap() error { return e.Err }

// Later is the error of a receiver that wants to be left alone for a time.
type Later struct {
	Err   error
	After time.Duration
}

func (e *Later) Error() string { return e.Err.Error() }

func (e *Later) Unwrap() error { return e.Err }

// Settings are the settings of a sender.
type Settings struct {
	Home   string            // a relative path is relative to it
	Values map[string]string // attributes of the configuration; "file=PATH" stands for what the file holds
	Now    func() time.Time  // nil: time.Now
}

// errKind is of a kind of sender that is not known.
var errKind = errors.New("no such way to tell someone")
