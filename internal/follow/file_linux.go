package follow

import (
	"errors"
	"io/fs"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// fsIocGetVersion is FS_IOC_GETVERSION of linux/fs.h on 64-bit machines.
const fsIocGetVersion = 0x80087601

// openNoLinks opens path without following any symbolic link in it.
func openNoLinks(path string) (handle, error) {
	how := unix.OpenHow{Flags: openFlags, Resolve: unix.RESOLVE_NO_SYMLINKS}
	for {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // before Linux 5.6, or a filter
			return walkNoLinks(path)
		default:
			return fd, err
		}
	}
}

// walkNoLinks is openNoLinks, folder by folder.
func walkNoLinks(path string) (handle, error) {
	at, rest := unix.AT_FDCWD, strings.TrimLeft(path, "/")
	if rest != path {
		root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		at = root
	}
	for {
		name, more, deeper := strings.Cut(rest, "/")
		flags := openFlags | unix.O_NOFOLLOW
		if deeper {
			flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
		}
		fd, err := openAt(at, name, flags)
		if at >= 0 {
			_ = unix.Close(at)
		}
		if err != nil || !deeper {
			return fd, err
		}
		at, rest = fd, strings.TrimLeft(more, "/")
	}
}

// openAt is openat(2) that does not end early. A link that a folder should be is
// the error ELOOP, as of openat2(2).
func openAt(at int, name string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Openat(at, name, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil || flags&unix.O_PATH == 0 {
		return fd, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = unix.ELOOP
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// identify returns the identity of an open file.
func identify(fd handle) (Identity, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return Identity{}, err
	}
	id := lightIdentity(&st)
	if v, err := unix.IoctlGetUint32(fd, fsIocGetVersion); err == nil {
		id.Version = uint64(v)
	}
	return id, nil
}

func lightIdentity(st *unix.Statx_t) Identity {
	id := Identity{Device: unix.Mkdev(st.Dev_major, st.Dev_minor), Node: [2]uint64{st.Ino}}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id
}

// glance returns what can be known of the regular file at path without opening
// it. Symbolic links are not followed.
func glance(path string) (Identity, Stat, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	if err != nil {
		return Identity{}, Stat{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if uint32(st.Mode)&unix.S_IFMT != unix.S_IFREG {
		return Identity{}, Stat{}, notRegular(path)
	}
	return lightIdentity(&st), Stat{
		Size:     int64(st.Size),
		Modified: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec),
		Changed:  st.Ctime.Sec*1e9 + int64(st.Ctime.Nsec),
		Links:    uint64(st.Nlink),
	}, nil
}

func statOf(st *unix.Stat_t) Stat {
	return Stat{Size: st.Size, Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(), Links: uint64(st.Nlink)} //nolint:unconvert // narrower on other architectures
}

// unwritten takes a read lease, which the kernel grants only if nobody has the
// file open for writing, and gives it back at once: while it is held, a process
// that opens the file for writing waits.
func unwritten(fd handle) bool {
	runtime.LockOSThread() // so that nothing comes between the two calls
	defer runtime.UnlockOSThread()
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	if err != nil {
		return false
	}
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK) // closing gives it back too
	return true
}

func deviceOf(st *unix.Stat_t) uint64 { return st.Dev }
