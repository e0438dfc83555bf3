package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// zombie is SZOMB of sys/proc.h.
const zombie = 5

// Look returns what is known of the process with this pid: see [Seen]. The
// error wraps [os.ErrNotExist] if there is none. Start is the time of the start
// in microseconds since 1970.
func Look(pid int) (Seen, error) {
	if pid < 0 {
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, fs.ErrNotExist)
	}
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if errors.Is(err, unix.EIO) || err == nil && int(info.Proc.P_pid) != pid {
		// The kernel answers with no bytes at all if there is no such process.
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, fs.ErrNotExist)
	}
	if err != nil {
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	start := info.Proc.P_starttime
	seen := Seen{
		ID:     dtc.ProcessID{PID: pid, Start: uint64(start.Sec)*1e6 + uint64(start.Usec)},
		Name:   unix.ByteSliceToString(info.Proc.P_comm[:]),
		Zombie: info.Proc.P_stat == zombie,
		Lived:  max(0, time.Since(time.Unix(start.Sec, int64(start.Usec)*1e3))),
	}
	if seen.Zombie {
		seen.Exit = WaitStatus(int(info.Proc.P_xstat))
	}
	return seen, nil
}

// BootID names this boot of the machine: another value means that it rebooted
// since, and that no identity of before is valid.
func BootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("read the boot's id: %w", err)
	}
	return strings.TrimSpace(id), nil
}

// SinceBoot is the time since the machine started, with the time that it slept:
// CLOCK_MONOTONIC runs on in sleep on this system. Nobody can set this clock.
func SinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
