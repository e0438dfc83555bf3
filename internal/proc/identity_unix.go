//go:build linux || darwin

package proc

import "dtc"

// WaitStatus decodes a wait status as wait(2) and field 52 of
// proc_pid_stat(5) have it.
func WaitStatus(status int) dtc.Exit {
	if sig := status & 0x7f; sig != 0 {
		return dtc.Exit{Kind: dtc.ExitSignal, Number: sig}
	}
	return dtc.Exit{Kind: dtc.ExitCode, Number: status >> 8 & 0xff}
}
