//go:build linux || darwin

package proc

import "dtc"

// coreDumped is the bit of a wait status that says that there is a core dump.
const coreDumped = 0x80

// WaitStatus decodes a wait status as wait(2), field 52 of proc_pid_stat(5) and
// PIDFD_GET_INFO of ioctl_pidfd(2) have it.
func WaitStatus(status int) dtc.Exit {
	if sig := status & 0x7f; sig != 0 {
		return dtc.Exit{Kind: dtc.ExitSignal, Number: sig, Core: status&coreDumped != 0}
	}
	return dtc.Exit{Kind: dtc.ExitCode, Number: status >> 8 & 0xff}
}
