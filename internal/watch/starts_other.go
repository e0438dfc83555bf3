//go:build !linux

package watch

import (
	"errors"

	"dtc/internal/proc"
)

func newCensus() (*proc.Census, error) { return proc.NewCensus(), nil }

// openStarts is not to be had: the system does not tell of processes that start,
// or only to drivers.
func openStarts() (starts, error) { return nil, errors.ErrUnsupported }
