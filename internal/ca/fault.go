package ca

import (
	"errors"
	"fmt"
	"time"

	"dtc"
)

// ErrNotIssued is what [Authority.Revoke] returns for a name that no
// certificate has.
var ErrNotIssued = errors.New("no certificate has that name")

// fault returns an error with a kind, for the other end of a connection.
func fault(kind dtc.ErrorKind, format string, args ...any) error {
	return &dtc.Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// day formats a date for a message.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// minute formats a time for a message.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
