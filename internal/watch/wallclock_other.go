//go:build !linux

package watch

import "time"

// clockAtBoot is not to be had.
func clockAtBoot() (at time.Time, ok bool) { return at, false }
