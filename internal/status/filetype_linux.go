package status

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

const anonInode = "anon_inode"

// file fills in what stat(2) says of a file that is no socket.
func (r *fileReader) file(f *dtc.OpenFile, path []byte, st *unix.Statx_t) {
	device := [2]uint32{st.Dev_major, st.Dev_minor}
	id := fileID(st)
	name := path
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		f.Type, device = "BLK", [2]uint32{st.Rdev_major, st.Rdev_minor}
	case unix.S_IFCHR:
		f.Type, device = "CHR", [2]uint32{st.Rdev_major, st.Rdev_minor}
	case unix.S_IFIFO:
		f.Type = "FIFO"
	default:
		f.Type = r.sizedType(st, path)
		f.SizeBytes = int64(st.Size)
		name = r.mounts.appendServer(path, id)
	}
	f.Device = r.device(device)
	f.Node = r.number(st.Ino)
	f.Name = r.text.string(name)
	f.Lock = r.lock(id)
}

// sizedType names the types of files whose size is shown.
func (r *fileReader) sizedType(st *unix.Statx_t, path []byte) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "DIR"
	case unix.S_IFREG:
		if r.mounts.isQueue(st.Dev_major, st.Dev_minor) {
			return "PSXMQ"
		}
		return "REG"
	case unix.S_IFLNK:
		return "LINK"
	case 0:
		if string(path) == anonInode {
			return "a_inode"
		}
	}
	return fmt.Sprintf("%04o", st.Mode>>12)
}

// device is a device number as lsof prints it.
func (r *fileReader) device(number [2]uint32) string {
	text, ok := r.devices[number]
	if !ok {
		text = fmt.Sprintf("%d,%d", number[0], number[1])
		r.devices[number] = text
	}
	return text
}

func (r *fileReader) number(n uint64) string {
	const cached = 100 // strconv has these ready
	if n < cached {
		return strconv.FormatUint(n, 10)
	}
	r.line = strconv.AppendUint(r.line[:0], n, 10)
	return r.text.string(r.line)
}

// lock is the character of a lock that the process has on a file.
func (r *fileReader) lock(id proc.FileID) string {
	if len(r.locks) == 0 {
		return ""
	}
	switch r.locks[proc.Lock{PID: r.base.PID, File: id}] {
	case 'r':
		return "r"
	case 'w':
		return "w"
	case 'R':
		return "R"
	case 'W':
		return "W"
	default:
		return ""
	}
}
