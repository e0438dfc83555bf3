package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"dtc"
)

// Measure is [Look] with the usage filled in on every system.
func Measure(pid int) (Seen, error) { return Look(pid) }

// CountDescriptors returns how many descriptors a process has open, or [dtc.Absent]
// if the system does not say. Where they have to be counted one by one (Linux
// before 6.2) it is Absent too if there are more than limit.
func CountDescriptors(pid, limit int) int { return Default.CountDescriptors(pid, limit) }

// Command returns the command line of a process as ps(1) shows it in a UTF-8
// locale, at most limit bytes of it: the arguments with a space between them, a
// question mark for what is not printable; the short name in brackets of a
// process that has none, such as a thread of the kernel. The reading can block
// for as long as somebody holds the lock on the memory of that process.
func Command(pid, limit int) (string, error) { return Default.Command(pid, limit) }

// usageOf is the usage that the two files of a process tell. Field 24 of stat is
// off by some pages a processor, status is exact.
func usageOf(st *Stat, status []byte) Usage {
	const exiting = 0x4 // PF_EXITING of the kernel's include/linux/sched.h
	var s Status
	s.Parse(status)
	return Usage{
		PPID:     st.PPID,
		Threads:  st.Threads,
		CPU:      TicksToDuration(st.UserTicks + st.SysTicks),
		RSSBytes: s.VMRSSBytes,
		Ending:   st.Flags&exiting != 0,
	}
}

// CountDescriptors is [CountDescriptors] in this file system.
func (f FS) CountDescriptors(pid, limit int) int {
	path := f.path(strconv.Itoa(pid), "fd")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return dtc.Absent
	}
	if st.Size > 0 {
		return int(st.Size) // their number, from Linux 6.2 on: proc_pid_fd(5)
	}
	return countEach(path, limit)
}

// countEach counts the entries of a directory, up to limit.
func countEach(path string, limit int) int {
	if limit <= 0 {
		return dtc.Absent
	}
	dir, err := os.Open(path)
	if err != nil {
		return dtc.Absent
	}
	defer func() { _ = dir.Close() }()
	const atOnce = 1000
	for n := 0; n <= limit; {
		names, err := dir.Readdirnames(atOnce)
		n += len(names)
		switch {
		case n <= limit && errors.Is(err, io.EOF):
			return n
		case err != nil:
			return dtc.Absent
		}
	}
	return dtc.Absent
}

// Command is [Command] in this file system.
func (f FS) Command(pid, limit int) (string, error) {
	line, err := readHead(f.path(strconv.Itoa(pid), "cmdline"), limit+utf8.UTFMax)
	if err == nil && len(line) == 0 {
		line, err = readHead(f.path(strconv.Itoa(pid), "comm"), limit)
		line = fmt.Appendf(nil, "[%s]", line[:max(0, len(line)-1)]) // without its newline
	}
	if err != nil {
		return "", fmt.Errorf("read the command line of process %d: %w", pid, goneAsNotExist(err))
	}
	return cutText(string(AppendArguments(nil, line)), limit), nil
}

// readHead returns the first limit bytes of a file.
func readHead(path string, limit int) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	buf := make([]byte, limit)
	n, err := io.ReadFull(file, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return buf[:n], err
}
