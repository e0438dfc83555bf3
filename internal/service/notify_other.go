//go:build !linux

package service

// monotonicMicros is 0: systemd, which asks for it, is Linux only.
func monotonicMicros() int64 { return 0 }
