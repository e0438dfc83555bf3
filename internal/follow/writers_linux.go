package follow

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// writers says whether some process has the file open for writing, and whether
// that is known. It asks for a lease and gives it back at once, as unwritten
// does.
func writers(fd handle) (some, known bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return false, true
	case errors.Is(err, unix.EAGAIN):
		return true, true
	default:
		return false, false
	}
}
