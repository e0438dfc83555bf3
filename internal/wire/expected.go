package wire

import (
	"context"
	"time"
)

// expected is a context with a deadline that ends nothing: who collects an answer
// learns from it how long it is waited for. An asker who reads slowly has time
// after it.
type expected struct {
	context.Context //nolint:containedctx // it is one

	by time.Time
}

// Deadline implements [context.Context].
func (e expected) Deadline() (time.Time, bool) {
	if d, ok := e.Context.Deadline(); ok && d.Before(e.by) {
		return d, true
	}
	return e.by, true
}
