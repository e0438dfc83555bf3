package logs

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// bornAt returns the time of birth of an open file in nanoseconds, 0 where the
// file system does not know it. With it an inode that was given away again is
// not taken for the old one.
func bornAt(f *os.File) int64 {
	var stx unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BTIME, &stx)
	runtime.KeepAlive(f)
	if err != nil || stx.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return stx.Btime.Sec*1e9 + int64(stx.Btime.Nsec)
}

// syncData makes the bytes of f safe from a power loss: fdatasync(2).
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		runtime.KeepAlive(f)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// syncFS makes everything on the file system of f safe from a power loss:
// syncfs(2), which tells of failed writes from Linux 5.8 on.
func syncFS(f *os.File) error {
	err := unix.Syncfs(int(f.Fd()))
	runtime.KeepAlive(f)
	if err != nil {
		return &os.PathError{Op: "syncfs", Path: f.Name(), Err: err}
	}
	return nil
}

// letGo has the system forget what its memory holds of bytes of f that are on
// the disk: posix_fadvise(2).
func letGo(f *os.File, from, to int64) {
	_ = unix.Fadvise(int(f.Fd()), from, to-from, unix.FADV_DONTNEED) // it is advice
	runtime.KeepAlive(f)
}

// bootID names this boot of the machine; "" when the system does not tell.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
