package proc

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the hot paths. Those of golang.org/x/sys take the path as
// a string and copy it to the heap at each call; these take bytes that end in a
// NUL, from a buffer that the caller keeps.

func openat(dir int, path []byte, flags int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

func readlinkat(dir int, path, buf []byte) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// statx is statx(2) with the basic fields; of a kernel without it (before 4.11)
// the same is asked by fstatat(2).
func statx(dir int, path []byte, flags int, into *unix.Statx_t) error {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), uintptr(flags),
		unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(into)), 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS, unix.EPERM:
		// EPERM is what an old container's system call filter says.
		return fstatat(dir, path, flags, into)
	default:
		return errno
	}
}

func fstatat(dir int, path []byte, flags int, into *unix.Statx_t) error {
	var st unix.Stat_t
	const known = unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH
	if err := unix.Fstatat(dir, string(path[:len(path)-1]), &st, flags&known); err != nil {
		return err
	}
	*into = unix.Statx_t{
		Mode: uint16(st.Mode), Uid: st.Uid, Gid: st.Gid, Nlink: uint32(st.Nlink), Ino: st.Ino, Size: uint64(st.Size),
		Dev_major: unix.Major(st.Dev), Dev_minor: unix.Minor(st.Dev),
		Rdev_major: unix.Major(st.Rdev), Rdev_minor: unix.Minor(st.Rdev),
	}
	return nil
}

func read(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
