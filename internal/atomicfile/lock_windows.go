package atomicfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockNow locks one byte far behind any content, or returns ErrLocked. Windows'
// locks are not advisory, and the bytes of the file are to stay readable.
func lockNow(f *os.File) error {
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}
