package follow

import (
	"cmp"
	"io/fs"

	"golang.org/x/sys/unix"
)

// openNoLinks opens path without following any symbolic link in it.
func openNoLinks(path string) (handle, error) {
	return unix.Open(path, openFlags|unix.O_NOFOLLOW_ANY, 0)
}

// identify returns the identity of an open file.
func identify(fd handle) (Identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Identity{}, err
	}
	id := identityOf(&st)
	id.Version = uint64(st.Gen)
	return id, nil
}

// volumeOf returns what is known of the file system of an open file.
func volumeOf(fd handle) volume {
	var sys unix.Statfs_t
	if err := unix.Fstatfs(fd, &sys); err == nil && sys.Flags&unix.MNT_LOCAL != 0 {
		return volume{}
	}
	return volume{remote: cmp.Or(unix.ByteSliceToString(sys.Fstypename[:]), "unknown file system")}
}

func identityOf(st *unix.Stat_t) Identity {
	return Identity{Device: deviceOf(st), Node: [2]uint64{st.Ino}, Birth: st.Btim.Nano()}
}

// glance returns what can be known of the regular file at path without opening
// it. Symbolic links are not followed.
func glance(path string) (Identity, Stat, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Identity{}, Stat{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return Identity{}, Stat{}, notRegular(path)
	}
	return identityOf(&st), statOf(&st), nil
}

func statOf(st *unix.Stat_t) Stat {
	return Stat{Size: st.Size, Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(), Links: uint64(st.Nlink)}
}

// unwritten: macOS has no way to ask.
func unwritten(handle) bool { return false }

func deviceOf(st *unix.Stat_t) uint64 { return uint64(st.Dev) }
