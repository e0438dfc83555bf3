package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked is in the chain of the error of [TryLock] when another process, or
// another holder in this one, has the lock.
var ErrLocked = errors.New("locked by another process")

// Lock waits until it has the exclusive lock on the file at path, which it
// makes (empty, mode 0600) if there is none. The lock is advisory, for those
// who lock the same path; it ends with unlock or with the process. Take a file
// of its own for it, beside what it guards, and leave that file there.
func Lock(path string) (unlock func(), err error) { return lock(path, lockWait) }

// TryLock is [Lock] that does not wait: it returns [ErrLocked] if somebody has
// the lock.
func TryLock(path string) (unlock func(), err error) { return lock(path, lockNow) }

// lock takes the lock by take and makes sure that the file that it locked is
// still the one at path: somebody may have removed it meanwhile, and then the
// next one would lock another file.
func lock(path string, take func(*os.File) error) (func(), error) {
	for {
		f, err := openLock(path)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if err := take(f); err != nil {
			_ = f.Close() // nothing was written
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		same, err := isAt(f, path)
		if err == nil && same {
			return func() { _ = f.Close() }, nil // closing it releases the lock
		}
		_ = f.Close() // nothing was written
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// openLock opens the file, or makes it. A new one belongs to whom its folder
// belongs to: what root's commands have locked the service's user must be able
// to lock too.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, privateMode)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path, os.O_RDWR|os.O_CREATE, privateMode)
	}
	if err != nil {
		return nil, err
	}
	if dir, err := os.Stat(filepath.Dir(path)); err == nil {
		keepOwner(f, dir)
	}
	return f, nil
}

// isAt says whether path leads to the open file f.
func isAt(f *os.File, path string) (bool, error) {
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(mine, there), nil
}
