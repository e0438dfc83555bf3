package watch

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockAtBoot returns what the clock said in the first seconds after the boot: it
// is the birth of the file system in memory that is mounted on /run then, which
// tmpfs(5) of newer kernels tell. In a container, whose /run is younger, the time
// is too late.
func clockAtBoot() (at time.Time, ok bool) { return birthInMemory("/run") }

func birthInMemory(path string) (at time.Time, ok bool) {
	var system unix.Statfs_t
	var file unix.Statx_t
	if unix.Statfs(path, &system) != nil || system.Type != unix.TMPFS_MAGIC {
		return at, false
	}
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_BTIME, &file) != nil || file.Mask&unix.STATX_BTIME == 0 {
		return at, false
	}
	return time.Unix(file.Btime.Sec, int64(file.Btime.Nsec)), true
}
