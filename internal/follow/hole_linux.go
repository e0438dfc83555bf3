package follow

import (
	"errors"

	"golang.org/x/sys/unix"
)

// dataFrom returns the first position in [at, end) with data, end if there is
// none, and at where the system does not tell: lseek(2), SEEK_DATA.
func dataFrom(fd handle, at, end int64) int64 {
	for {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENXIO): // nothing but a hole up to its end
			return end
		case err != nil:
			return at
		}
		return min(max(data, at), end)
	}
}
