package dtc

import "errors"

// ErrorKind is the part of an error that survives the wire and decides what
// the asker is told.
type ErrorKind uint8

// The kinds of errors between machines.
const (
	KindOther       ErrorKind = iota
	KindRefused               // the connection was refused: nothing listens there
	KindTimeout               // no answer in time
	KindCertificate           // one side's certificate was not accepted
	KindIdentity              // a valid peer of the fleet, but not the one dialed
	KindNoRoute               // the network has no way there
	KindInvalid               // the question itself is wrong
	KindDenied                // the peer's role may not do that
	KindUnavailable           // the peer went away in the middle
)

// String returns the reason as the summary of a query prints it.
func (k ErrorKind) String() string {
	switch k {
	case KindRefused:
		return "refused"
	case KindTimeout:
		return "timed out"
	case KindCertificate:
		return "certificate not accepted"
	case KindIdentity:
		return "wrong identity"
	case KindNoRoute:
		return "no route"
	case KindInvalid:
		return "invalid request"
	case KindDenied:
		return "not permitted"
	case KindUnavailable:
		return "connection lost"
	default:
		return "failed"
	}
}

// Error is an error with its kind. Its text is Err's alone.
type Error struct {
	Kind ErrorKind
	Err  error
}

// Error returns the text of the wrapped error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first [Error] in err's chain.
func KindOf(err error) ErrorKind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindOther
}
