package follow

import (
	"errors"
	"io/fs"
	"runtime"

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
			return unix.Open(path, openFlags|unix.O_NOFOLLOW, 0)
		default:
			return fd, err
		}
	}
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
