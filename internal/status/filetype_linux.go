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
	id := fileID(st)
	device := [2]uint32{st.Dev_major, st.Dev_minor}
	r.line = strconv.AppendUint(r.line[:0], st.Ino, 10)
	digits := len(r.line)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		f.Type, device = "BLK", [2]uint32{st.Rdev_major, st.Rdev_minor}
		r.line = append(r.line, path...)
	case unix.S_IFCHR:
		f.Type, device = "CHR", [2]uint32{st.Rdev_major, st.Rdev_minor}
		r.line = append(r.line, path...)
	case unix.S_IFIFO:
		f.Type = "FIFO"
		r.line = append(r.line, path...)
	default:
		f.Type = r.sizedType(st.Mode, device, path)
		f.SizeBytes = int64(st.Size)
		r.line = r.mounts.appendServer(r.line, path, id)
	}
	text := r.text(r.line)
	f.Node, f.Name = text[:digits], text[digits:]
	f.Device = r.device(device)
	f.Lock = r.lock(id)
}

// sizedType names the types of files whose size is shown.
func (r *fileReader) sizedType(mode uint16, device [2]uint32, path []byte) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "DIR"
	case unix.S_IFREG:
		if r.mounts.isQueue(device) {
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
	return fmt.Sprintf("%04o", mode>>12)
}

// device is a device number as lsof prints it.
func (r *fileReader) device(number [2]uint32) string {
	text, ok := r.devices[number]
	if !ok {
		if len(r.devices) >= maxDevices {
			clear(r.devices)
		}
		text = fmt.Sprintf("%d,%d", number[0], number[1])
		r.devices[number] = text
	}
	return text
}

// number is the number of a descriptor.
func (r *fileReader) number(fd int) string {
	if fd >= maxNumbers {
		r.line = strconv.AppendInt(r.line[:0], int64(fd), 10)
		return r.text(r.line)
	}
	for n := len(r.numbers); n <= fd; n++ {
		r.numbers = append(r.numbers, strconv.Itoa(n))
	}
	return r.numbers[fd]
}

// lock is the character of a lock that the process has on a file.
func (r *fileReader) lock(id proc.FileID) string {
	switch r.held.On(id) {
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
