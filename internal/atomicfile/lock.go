package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked is in the chain of the error of [TryLock] when another process, or
// another holder in this one, has the lock.
var ErrLocked = errors.New("locked by another process")

// patience is how long Lock waits for somebody who holds the lock for the moment
// of a change, before it says so: nobody may hang with a process that does.
const patience = 10 * time.Second

// Lock takes the exclusive lock on the file at path, which it makes (empty, mode
// 0600) if there is none. While somebody else has it, Lock waits, but for ten
// seconds only: then it returns [ErrLocked]. The lock is advisory, for those who
// lock the same path; it ends with unlock or with the process. Take a file of
// its own for it, beside what it guards, and leave that file there.
func Lock(path string) (unlock func(), err error) { return lock(path, patience) }

// TryLock is [Lock] that does not wait: it returns [ErrLocked] if somebody has
// the lock.
func TryLock(path string) (unlock func(), err error) { return lock(path, 0) }

func lock(path string, wait time.Duration) (func(), error) {
	const step = 5 * time.Millisecond
	for began := time.Now(); ; <-time.After(step) {
		f, err := take(path)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing it releases the lock
		}
		if !errors.Is(err, ErrLocked) || time.Since(began) >= wait {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// take returns the file with its lock. It makes sure that the file that it
// locked is still the one at path: somebody may have removed it meanwhile, and
// then the next one would lock another file.
func take(path string) (*os.File, error) {
	for {
		f, err := openLock(path)
		if err != nil {
			return nil, err
		}
		same := false
		if err = lockNow(f); err == nil {
			same, err = isAt(f, path)
		}
		if err == nil && same {
			return f, nil
		}
		_ = f.Close() // nothing was written
		if err != nil {
			return nil, err
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
