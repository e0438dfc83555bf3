package proc

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// firstPIDNamespace is the inode of the first pid namespace: PROC_PID_INIT_INO
// of the kernel's include/linux/proc_ns.h.
const firstPIDNamespace = 0xEFFFFFFC

// longestRecord is more than one record of the kernel's log can have.
const longestRecord = 8 << 10

// KernelLog reads what the kernel logs from the moment on at which it was
// opened. It is not safe for concurrent use.
type KernelLog struct {
	fd  int
	buf []byte
}

// OpenKernelLog opens the kernel's log at its end. It fails where that may not
// be read, and in another pid namespace than the first: the pids in the log are
// of that one.
func OpenKernelLog() (*KernelLog, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return nil, fmt.Errorf("look at the pid namespace: %w", err)
	}
	if st.Ino != firstPIDNamespace {
		return nil, errors.New("read the kernel's log: it names processes by other pids than this pid namespace")
	}
	return openKernelLog("/dev/kmsg")
}

func openKernelLog(path string) (*KernelLog, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's log: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("read the kernel's log: %w", err)
	}
	return &KernelLog{fd: fd, buf: make([]byte, longestRecord)}, nil
}

// Close closes the log.
func (l *KernelLog) Close() error { return unix.Close(l.fd) }

// Drain gives the records that came since the last call to each, in order, for
// no longer than patience, and goes to the log's end then. all is false if some
// were not given: there were too many, or they were overwritten before. A record
// is valid during the call.
func (l *KernelLog) Drain(patience time.Duration, each func(record []byte)) (all bool) {
	const often = 64 // the clock is looked at after so many records
	all = true
	for began, n := SinceBoot(), 1; ; n++ {
		size, err := unix.Read(l.fd, l.buf)
		switch {
		case err == nil && size > 0:
			each(l.buf[:size])
		case errors.Is(err, unix.EPIPE): // overwritten: the next read gives what is left
			all = false
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return all
		default:
			return false
		}
		if n%often == 0 && SinceBoot()-began > patience {
			_, _ = unix.Seek(l.fd, 0, unix.SEEK_END)
			return false
		}
	}
}
