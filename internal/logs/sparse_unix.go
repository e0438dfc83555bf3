//go:build linux || darwin || freebsd

package logs

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dataFrom returns the first position in [at, end) of a file where it has
// data, and end where all of that is a hole: lseek(2), SEEK_DATA. Where the
// system does not tell it is at.
func dataFrom(f *os.File, at, end int64) int64 {
	data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	runtime.KeepAlive(f)
	switch {
	case errors.Is(err, unix.ENXIO): // nothing but a hole up to its end
		return end
	case err != nil:
		return at
	}
	return min(max(data, at), end)
}
