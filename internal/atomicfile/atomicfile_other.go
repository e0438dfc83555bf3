//go:build !windows

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// createPrivate is createTemp: a file of os.CreateTemp has mode 0600 from the
// start.
func createPrivate(path string) (*os.File, error) { return createTemp(path) }

// keepOwner gives f the owner and group of another file. That needs rights that
// the caller may not have; the content matters more.
func keepOwner(f *os.File, of fs.FileInfo) {
	if st, ok := of.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(st.Uid), int(st.Gid))
	}
}

func rename(from, to string) error { return os.Rename(from, to) }

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil // file systems that cannot sync a folder say so
	}
	return errors.Join(err, d.Close())
}
