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

// identify returns the identity of an open file, and whether its file system is
// one whose changes inotify does not tell.
func identify(fd handle) (Identity, bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return Identity{}, false, err
	}
	id := lightIdentity(&st)
	if v, err := unix.IoctlGetUint32(fd, fsIocGetVersion); err == nil {
		id.Version = uint64(v)
	}
	var sys unix.Statfs_t
	if err := unix.Fstatfs(fd, &sys); err != nil {
		return Identity{}, false, err
	}
	return id, !localFS(int64(sys.Type)), nil //nolint:unconvert // narrower on other architectures
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

// localFS reports whether f_type of statfs(2) is a file system whose every
// change passes through this kernel.
func localFS(kind int64) bool {
	switch uint32(kind) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.REISERFS_SUPER_MAGIC, unix.NILFS_SUPER_MAGIC,
		unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC, unix.ECRYPTFS_SUPER_MAGIC, unix.MINIX_SUPER_MAGIC,
		unix.ISOFS_SUPER_MAGIC, unix.SQUASHFS_MAGIC, unix.UDF_SUPER_MAGIC, unix.EROFS_SUPER_MAGIC_V1,
		0x2fc12fc1, // zfs
		0xca451a4e, // bcachefs
		0x3153464a, // jfs
		0x7366746e: // ntfs3
		return true
	}
	return false
}

func deviceOf(st *unix.Stat_t) uint64 { return st.Dev }
