package proc

import (
	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"

	"dtc"
)

// parentOf is the pid of a process's parent.
func parentOf(pid int) int {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return dtc.Absent
	}
	return int(info.Eproc.Ppid)
}

func threadsOf(of *process.Process) int {
	n, err := try(of.NumThreads)
	if err != nil || n < 1 {
		return dtc.Absent
	}
	return int(n)
}
