package status

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"dtc"
)

// descriptors are the files that the process has open.
func (r *fileReader) descriptors() {
	var err error
	r.fds, err = r.in.FDs(r.fds[:0])
	if err != nil {
		f := r.base
		f.FD = "NOFD"
		r.line = appendReason(append(r.line[:0], r.inProcess("fd")...), "opendir", err)
		f.Name = r.text.string(r.line)
		r.put(f)
		return
	}
	for _, fd := range r.fds {
		r.descriptor(fd)
	}
}

func (r *fileReader) descriptor(fd int) {
	f := r.base
	f.FD = r.number(uint64(fd))
	r.name = strconv.AppendInt(append(r.name[:0], "fd/"...), int64(fd), 10)
	name := string(r.name)
	link, err := r.in.Readlink(name)
	if errors.Is(err, unix.ENOENT) {
		return // closed meanwhile
	}
	if err != nil {
		r.unreadable(&f, r.inProcess(name), "readlink", err)
		r.put(f)
		return
	}
	if r.in.Lstat(name, &r.stat) == nil {
		f.Mode = accessMode(r.stat.Mode)
	}
	source, rest := splitLink(link)
	if err := r.in.Stat(name, &r.stat); err != nil {
		r.unreadable(&f, source, "stat", err)
		r.put(f)
		return
	}
	switch r.stat.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		f.Offset = 0
		r.socket(&f, r.stat.Ino, name)
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO:
		r.file(&f, source, &r.stat)
		f.Offset = r.offset(fd)
	default:
		r.file(&f, source, &r.stat)
		if f.Type == "a_inode" {
			f.Name = r.anonymous(rest, fd)
		}
	}
	r.put(f)
}

// accessMode is the character for how a descriptor may be used; the mode is
// that of the link.
func accessMode(mode uint16) string {
	switch mode & (unix.S_IRUSR | unix.S_IWUSR) {
	case unix.S_IRUSR:
		return "r"
	case unix.S_IWUSR:
		return "w"
	default:
		return "u"
	}
}

// offset is the position of a descriptor of a device or a pipe. Those of pipes,
// terminals and /dev/null are always 0: the kernel is not asked.
func (r *fileReader) offset(fd int) int64 {
	const (
		memory  = 1 // major numbers: see devices.txt of the kernel
		null    = 3
		console = 4
		tty     = 5
		ptsMin  = 136
		ptsMax  = 143
	)
	major, minor := r.stat.Rdev_major, r.stat.Rdev_minor
	switch r.stat.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return 0
	case unix.S_IFCHR:
		if major == memory && minor == null || major == console || major == tty || major >= ptsMin && major <= ptsMax {
			return 0
		}
	}
	if !r.readInfo(fd) || r.info.Pos < 0 {
		return dtc.Absent
	}
	return r.info.Pos
}

// readInfo reads the details of a descriptor. Those of an epoll instance are
// behind a lock.
func (r *fileReader) readInfo(fd int) bool {
	if r.careful {
		return false
	}
	r.name = strconv.AppendInt(append(r.name[:0], "fdinfo/"...), int64(fd), 10)
	data, err := r.in.ReadAll(string(r.name))
	if err != nil {
		return false
	}
	r.info.Parse(data)
	return true
}

// anonymous is the name of what has an inode but no path; some kinds tell more.
func (r *fileReader) anonymous(rest []byte, fd int) string {
	if len(rest) == 0 {
		return anonInode
	}
	label := r.text.string(rest) // rest is not valid after the next reading
	switch label {
	case "[eventfd]":
		if r.readInfo(fd) && r.info.EventFD >= 0 {
			return r.labeled("[eventfd:", r.info.EventFD)
		}
	case "[pidfd]":
		if r.readInfo(fd) && r.info.PID >= 0 {
			return r.labeled("[pidfd:", r.info.PID)
		}
	case "[eventpoll]":
		if r.readInfo(fd) && len(r.info.Targets) > 0 {
			return r.eventpoll()
		}
	}
	return label
}

func (r *fileReader) labeled(label string, n int64) string {
	r.line = append(strconv.AppendInt(append(r.line[:0], label...), n, 10), ']')
	return r.text.string(r.line)
}

// eventpoll lists what an epoll(7) instance watches.
func (r *fileReader) eventpoll() string {
	b := append(r.line[:0], "[eventpoll:"...)
	for i, fd := range r.info.Targets {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(fd), 10)
	}
	if r.info.MoreTargets() {
		b = append(b, "..."...)
	}
	r.line = append(b, ']')
	return r.text.string(r.line)
}

// socket fills in what is known of a socket by its inode.
func (r *fileReader) socket(f *dtc.OpenFile, inode uint64, link string) {
	f.Node = r.number(inode)
	if s, ok := r.sockets.Unix(inode); ok {
		f.Type = "unix"
		if s.Address != nil {
			f.Device = r.text.string(append(append(r.line[:0], "0x"...), s.Address...))
		}
		r.line = appendUnixName(r.line[:0], &s)
		f.Name = r.text.string(r.line)
		return
	}
	if s, ok := r.sockets.Inet(inode); ok {
		f.Type = "IPv4"
		if s.IPv6 {
			f.Type = "IPv6"
		}
		f.Device, f.Node = f.Node, s.Protocol.String()
		r.line = appendInetName(r.line[:0], &s)
		f.Name = r.text.string(r.line)
		return
	}
	if s, ok := r.sockets.Other(inode); ok {
		f.Type, f.Name = s.Type, s.Name
		if s.Protocol != "" {
			f.Device, f.Node = f.Node, s.Protocol
		}
		return
	}
	f.Type = "sock"
	f.Device = r.device([2]uint32{r.stat.Dev_major, r.stat.Dev_minor})
	f.Name = r.protocolName(link)
}

// protocolName is all that is known of a socket of another network namespace,
// and of one that is in no table because it has not been used.
func (r *fileReader) protocolName(link string) string {
	var buf [64]byte
	n, err := unix.Getxattr(r.host.path(string(r.inProcess(link))), "system.sockprotoname", buf[:])
	if err != nil || n <= 0 {
		return "can't identify protocol"
	}
	name, _, _ := bytes.Cut(buf[:n], []byte{0})
	return "protocol: " + string(name)
}
