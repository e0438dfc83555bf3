//go:build linux || darwin || freebsd

package logs

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// holeFrom returns the first position from at on where a file has no data, at
// most end: lseek(2), SEEK_HOLE. Where the system does not tell it is end.
func holeFrom(f *os.File, at, end int64) int64 {
	hole, err := unix.Seek(int(f.Fd()), at, unix.SEEK_HOLE)
	runtime.KeepAlive(f)
	if err != nil {
		return end
	}
	return min(max(hole, at), end)
}
