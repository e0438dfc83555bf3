//go:build !windows

package notify

import (
	"io/fs"
	"os"
	"syscall"
)

// openValueFile opens a file to read. It does not wait for who writes into a
// pipe.
func openValueFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// exposed tells whether others than the owner and the group may read a file.
func exposed(info fs.FileInfo) bool { return info.Mode().Perm()&0o004 != 0 }
