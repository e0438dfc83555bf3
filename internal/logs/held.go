package logs

import (
	"os"
	"path/filepath"
)

// Held tells whether a program has the copies under dir (home/logs), as a
// [Store] does.
func Held(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if err != nil {
		return false // there is none, or whoever wants the copies says what is wrong
	}
	defer f.Close() // nothing was written; it lets go of the lock
	return lockFile(f) != nil
}
