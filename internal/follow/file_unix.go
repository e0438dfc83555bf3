//go:build linux || darwin

package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// handle is an open file descriptor.
type handle = int

// owner is a user id.
type owner uint32

func (o owner) trusted() bool { return o == 0 }

const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// openPlain opens the regular file at path, which no symbolic link may be a
// part of. What is no regular file is not opened at all: to open a FIFO or a
// device can have an effect.
func openPlain(path string) (handle, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(unix.AT_FDCWD, path, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFLNK {
		return 0, &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
	} else if kind != unix.S_IFREG {
		return 0, notRegular(path)
	}
	fd, err := openNoLinks(path)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return 0, notRegular(path)
	}
	return fd, nil
}

func notRegular(path string) error { return &Refusal{path, "it is not a regular file"} }

func isLink(err error) bool { return errors.Is(err, unix.ELOOP) }

// readLink returns where the symbolic link at path leads, and whose it is; ""
// if there is none.
func readLink(path string) (string, owner, error) {
	for range 4 {
		before, err := os.Lstat(path)
		if err != nil {
			return "", 0, err
		}
		if before.Mode()&fs.ModeSymlink == 0 {
			return "", 0, nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			continue
		}
		after, err := os.Lstat(path)
		st, ok := before.Sys().(*syscall.Stat_t)
		// What was read belongs to the owner that was seen only if the link is the same one still.
		if err == nil && ok && os.SameFile(before, after) {
			return target, owner(st.Uid), nil
		}
	}
	return "", 0, fmt.Errorf("read the symbolic link %s: it changes all the time", path)
}

func ownerOf(fd handle) (owner, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	return owner(st.Uid), nil
}

func readAt(fd handle, b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Pread(fd, b[n:], off+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("read: %w", err)
		}
		n += m
		if m == 0 || n > 0 { // a short read is the end of the file, as far as this read saw
			break
		}
	}
	return n, nil
}

func statHandle(fd handle) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Stat{}, fmt.Errorf("stat: %w", err)
	}
	return statOf(&st), nil
}

func closeHandle(fd handle) error { return unix.Close(fd) }

// At reports whether path leads to this very file. It costs one system call.
func (f *File) At(path string) (bool, error) {
	var st unix.Stat_t
	for {
		err := unix.Stat(path, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		// While the file is open no other can have its number.
		return deviceOf(&st) == f.id.Device && st.Ino == f.id.Node[0], nil
	}
}

// HoldsNames says that no other file can be given the name of one that is open,
// whatever whoever opened it shares.
const HoldsNames = false

// descriptorLimit returns how many descriptors following may take.
func descriptorLimit() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 256
	}
	n := min(int64(min(lim.Cur, 1<<20)), 1<<20)
	return int(max(n-max(n/8, 32), 16))
}

// StampOf returns the stamp of the folder dir.
func StampOf(dir string) (Stamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return Stamp{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	s := statOf(&st)
	id := Identity{Device: deviceOf(&st), Node: [2]uint64{st.Ino}}
	return Stamp{id: id, modified: s.Modified, changed: s.Changed}, nil
}

// isStale reports whether err says that the server has the file no more.
func isStale(err error) bool { return errors.Is(err, unix.ESTALE) }

// isNotDir: a folder of the path is a file, so nothing is at the path.
func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }
