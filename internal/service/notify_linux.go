package service

import "golang.org/x/sys/unix"

// monotonicMicros is the system's CLOCK_MONOTONIC, in microseconds.
func monotonicMicros() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return t.Nano() / 1000
}
