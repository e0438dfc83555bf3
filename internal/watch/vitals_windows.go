package watch

import (
	"time"

	"golang.org/x/sys/windows"

	"dtc"
	"dtc/internal/proc"
)

// usageAtEnd is what a process has used that has ended: its handle tells the
// time still.
func usageAtEnd(handle windows.Handle) proc.Usage {
	var created, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(handle, &created, &ended, &kernel, &user); err != nil {
		return proc.Usage{}
	}
	return proc.Usage{CPU: filetimeDuration(kernel) + filetimeDuration(user), Threads: dtc.Absent, RSSBytes: dtc.Absent}
}

// filetimeDuration is a time span in units of 100 ns.
func filetimeDuration(t windows.Filetime) time.Duration {
	return time.Duration(uint64(t.HighDateTime)<<32|uint64(t.LowDateTime)) * 100
}
