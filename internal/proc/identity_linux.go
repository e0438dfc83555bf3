package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// Default is where the kernel's own proc(5) is mounted.
const Default FS = "/proc"

// ticksPerSecond is USER_HZ, the unit of the times in /proc. It is part of the
// kernel's interface: 100 on every architecture that Go runs on.
const ticksPerSecond = 100

// FS is the directory at which a proc(5) file system is mounted.
type FS string

// Look returns what is known of the process with this pid: see [Seen]. The
// error wraps [os.ErrNotExist] if there is none; the id of a thread that leads
// no process is none.
func Look(pid int) (Seen, error) { return Default.Look(pid) }

// BootID names this boot of the machine: another value means that it rebooted
// since, and that no identity of before is valid.
func BootID() (string, error) { return Default.BootID() }

// SinceBoot is the time since the machine started, with the time that it was
// suspended (CLOCK_BOOTTIME). Nobody can set this clock.
func SinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// BootID is [BootID] of the kernel whose proc(5) this is.
func (f FS) BootID() (string, error) {
	path := f.path("sys/kernel/random/boot_id")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the boot's id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if id == "" {
		return "", fmt.Errorf("read the boot's id: %s is empty", path)
	}
	return id, nil
}

// Look is [Look] in this file system.
func (f FS) Look(pid int) (Seen, error) {
	if pid <= 0 {
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, fs.ErrNotExist)
	}
	data, err := os.ReadFile(f.path(strconv.Itoa(pid), "stat"))
	if err != nil {
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, goneAsNotExist(err))
	}
	var st Stat
	if err := st.Parse(data); err != nil {
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	status, err := os.ReadFile(f.path(strconv.Itoa(pid), "status"))
	if err != nil {
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, goneAsNotExist(err))
	}
	if !leads(pid, status) {
		return Seen{}, fmt.Errorf("look at process %d: it is a thread of another process: %w", pid, fs.ErrNotExist)
	}
	seen := Seen{
		ID:     dtc.ProcessID{PID: pid, Start: st.StartTicks},
		Name:   string(st.Comm),
		Zombie: st.Ended(),
		Lived:  max(0, SinceBoot()-TicksToDuration(st.StartTicks)),
		Usage:  usageOf(&st, status),
	}
	if seen.Zombie && f.mayInspect(pid) {
		seen.Exit = WaitStatus(st.ExitCode)
	}
	return seen, nil
}

// leads says by /proc/PID/status whether pid is a process and not merely a
// thread of one: the kernel serves /proc/TID for every thread, though no listing
// shows it.
func leads(pid int, status []byte) bool {
	_, rest, ok := bytes.Cut(status, []byte("\nTgid:"))
	if !ok {
		return true
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	tgid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	return err != nil || tgid == pid
}

// mayInspect says whether the kernel shows us field 52 of a zombie's stat: it
// gives 0 to those who may not trace the process, which looks like a clean
// exit. The link to the executable asks for the same permission, and a zombie
// has none: "no such file" is the answer to who may know.
func (f FS) mayInspect(pid int) bool {
	_, err := os.Readlink(f.path(strconv.Itoa(pid), "exe"))
	return !errors.Is(err, fs.ErrPermission)
}

func (f FS) path(elem ...string) string {
	return filepath.Join(string(f), filepath.Join(elem...))
}

// TicksToDuration converts a time in /proc, in clock ticks.
func TicksToDuration(ticks uint64) time.Duration {
	const tick = time.Second / ticksPerSecond
	if ticks > uint64(1<<63-1)/uint64(tick) {
		return 1<<63 - 1
	}
	return time.Duration(ticks) * tick
}

// DurationToTicks is the inverse of [TicksToDuration], cut to a whole number.
func DurationToTicks(d time.Duration) uint64 {
	return uint64(max(0, d) / (time.Second / ticksPerSecond))
}

// goneAsNotExist makes one error of the two that a process gives that ended
// between the opening and the reading of its file.
func goneAsNotExist(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return fs.ErrNotExist
	}
	return err
}
