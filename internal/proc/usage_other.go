//go:build !linux

package proc

import (
	"fmt"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/process"

	"dtc"
)

// Measure is [Look] with the usage filled in on every system.
func Measure(pid int) (Seen, error) {
	seen, err := Look(pid)
	if err != nil {
		return seen, err
	}
	of := &process.Process{Pid: int32(pid)}
	seen.Usage = Usage{PPID: parentOf(pid), Threads: threadsOf(of), CPU: dtc.Absent, RSSBytes: dtc.Absent}
	if t, err := try(of.Times); err == nil {
		seen.Usage.CPU = cpuTime(t)
	}
	if m, err := try(of.MemoryInfo); err == nil {
		seen.Usage.RSSBytes = int64(m.RSS)
	}
	return seen, nil
}

func cpuTime(t *cpu.TimesStat) time.Duration {
	return time.Duration((t.User + t.System) * float64(time.Second))
}

// CountDescriptors returns how many descriptors (Windows: handles) a process has
// open, or [dtc.Absent] if the system does not say. There is nothing to be
// counted one by one.
func CountDescriptors(pid, _ int) int {
	of := &process.Process{Pid: int32(pid)}
	n, err := try(of.NumFDs)
	if err != nil || n < 1 {
		return dtc.Absent
	}
	return int(n)
}

// Command returns the command line of a process in one line, at most limit bytes
// of it, with a question mark for what is not printable; the short name in
// brackets if the system does not tell.
func Command(pid, limit int) (string, error) {
	of := &process.Process{Pid: int32(pid)}
	line, err := try(of.Cmdline)
	if err == nil && line != "" {
		return cutText(printable(line), limit), nil
	}
	seen, err := Look(pid)
	if err != nil {
		return "", fmt.Errorf("read the command line of process %d: %w", pid, err)
	}
	return cutText("["+printable(seen.Name)+"]", limit), nil
}

// printable puts a question mark in the place of control characters, as ps does.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\x00':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return '?'
		default:
			return r
		}
	}, strings.ToValidUTF8(s, "?"))
}

// try calls a function of the library, which may meet a system that it does not
// know.
func try[T any](call func() (T, error)) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this system cannot tell: %v", p)
		}
	}()
	return call()
}
