//go:build unix

package logs

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// statOf returns what one fstat(2) says of an open file.
func statOf(f *os.File) (fileStat, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	runtime.KeepAlive(f)
	if err != nil {
		return fileStat{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return fileStat{
		size:    st.Size,
		links:   uint64(st.Nlink), //nolint:unconvert // its width depends on the platform
		device:  uint64(st.Dev),   //nolint:unconvert // its width depends on the platform
		inode:   st.Ino,
		regular: st.Mode&unix.S_IFMT == unix.S_IFREG,
	}, nil
}

// letReplace has nothing to do: an open file may be replaced, and stays locked
// until then.
func letReplace(*os.File) error { return nil }

// lockFile takes the exclusive advisory lock of f, or fails at once.
func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	runtime.KeepAlive(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: another program holds it", f.Name())
	}
	if err != nil {
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return nil
}

// noRoom tells whether err says that the place where copies are kept cannot
// take bytes now, but may later.
func noRoom(err error) bool {
	for _, e := range []error{
		unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ESTALE,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// syncDir makes the names in a folder safe from a power loss.
func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// diskRoom returns the bytes that may still be written where path is, and
// the size of the file system, as df(1) prints them.
func diskRoom(path string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// isTooLong tells whether err says that a file may not be as long.
func isTooLong(err error) bool { return errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EINVAL) }

// makeSparse has nothing to do: what is not written takes no room.
func makeSparse(*os.File) {}

// leadsPlainly tells whether it is certain that a name in the folder of p leads
// to an open file, by way of no symbolic link: three system calls where
// [os.Root] takes ten, for a question that is asked with each line.
func (p *place) leadsPlainly(f *os.File, name string) bool {
	if p.dir == nil {
		return false
	}
	var folder, there, open unix.Stat_t
	dir := int(p.dir.Fd())
	ok := unix.Fstatat(dir, p.folder, &folder, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		folder.Mode&unix.S_IFMT == unix.S_IFDIR &&
		unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		unix.Fstat(int(f.Fd()), &open) == nil
	runtime.KeepAlive(p.dir)
	runtime.KeepAlive(f)
	return ok && there.Dev == open.Dev && there.Ino == open.Ino
}
