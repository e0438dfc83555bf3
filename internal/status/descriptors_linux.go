package status

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// descriptors are the files that the process has open.
func (r *fileReader) descriptors() {
	if err := r.fds.Open(r.in); err != nil {
		f := r.base
		f.FD = "NOFD"
		r.line = appendReason(append(r.line[:0], r.inProcess("fd")...), "opendir", err)
		f.Name = r.text(r.line)
		r.put(f)
		return
	}
	defer r.fds.Close()
	for {
		numbers, err := r.fds.Next()
		if err != nil || len(numbers) == 0 {
			return // an error says that the process has ended
		}
		for _, fd := range numbers {
			r.descriptor(fd)
		}
	}
}

func (r *fileReader) descriptor(fd int) {
	f := r.base
	f.FD = r.number(fd)
	link, err := r.fds.Readlink(fd)
	if errors.Is(err, unix.ENOENT) {
		return // closed meanwhile
	}
	if err != nil {
		r.unreadable(&f, r.inProcess("fd/"+f.FD), "readlink", err)
		return
	}
	source, rest := splitLink(link)
	if r.isSocket(&f, source, rest) {
		return
	}
	if r.fds.Lstat(fd, &r.stat) == nil {
		f.Mode = accessMode(r.stat.Mode)
	}
	if r.isPipe(&f, source, rest) {
		return
	}
	if err := r.fds.Stat(fd, &r.stat); err != nil {
		r.unreadable(&f, source, "stat", err)
		return
	}
	switch r.stat.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		// Opened by its path as what it is in the file system: it is no socket
		// of a process then.
		f.Offset = 0
		r.foreignSocket(&f, r.stat.Ino, [2]uint32{r.stat.Dev_major, r.stat.Dev_minor})
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

// isSocket puts a socket, of which the link tells all that stat(2) would:
// "socket:[33065]". No path looks like that, as it begins with a slash. It is
// always open for reading and writing.
func (r *fileReader) isSocket(f *dtc.OpenFile, source, rest []byte) bool {
	_, inode, ok := bracketed(rest)
	if !ok || string(source) != "socket" || !r.sockfs.known {
		return false
	}
	f.Mode, f.Offset = "u", 0
	r.socket(f, inode)
	r.put(*f)
	return true
}

// isPipe puts a pipe, likewise: "pipe:[33065]".
func (r *fileReader) isPipe(f *dtc.OpenFile, source, rest []byte) bool {
	digits, inode, ok := bracketed(rest)
	if !ok || string(source) != "pipe" || !r.pipes.known {
		return false
	}
	device := r.pipes.number
	f.Type, f.Device, f.Node, f.Name, f.Offset = "FIFO", r.device(device), r.text(digits), "pipe", 0
	f.Lock = r.lock(proc.FileID{Major: device[0], Minor: device[1], Inode: inode})
	r.put(*f)
	return true
}

// bracketed reads a number in brackets: "[33065]".
func bracketed(b []byte) (digits []byte, number uint64, ok bool) {
	const most = 19 // digits that surely fit
	if len(b) < len("[0]") || len(b) > most+len("[]") || b[0] != '[' || b[len(b)-1] != ']' {
		return nil, 0, false
	}
	digits = b[1 : len(b)-1]
	for _, c := range digits {
		if c < '0' || c > '9' {
			return nil, 0, false
		}
		number = number*10 + uint64(c-'0')
	}
	return digits, number, true
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
// behind a lock, and can be very long: what is shown stands at the beginning.
func (r *fileReader) readInfo(fd int) bool {
	if r.careful {
		return false
	}
	const enough = 8 << 10
	r.line = strconv.AppendInt(append(r.line[:0], "fdinfo/"...), int64(fd), 10)
	data, err := r.in.ReadHead(string(r.line), enough)
	if err != nil {
		return false
	}
	r.info.Parse(data)
	return true
}

// anonymous is the name of what has an inode but no path; some kinds tell more.
func (r *fileReader) anonymous(rest []byte, fd int) string {
	switch string(rest) {
	case "":
		return anonInode
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
	return r.text(rest)
}

func (r *fileReader) labeled(label string, n int64) string {
	r.line = append(strconv.AppendInt(append(r.line[:0], label...), n, 10), ']')
	return r.text(r.line)
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
	return r.text(r.line)
}

// socket fills in what is known of a socket by its inode.
func (r *fileReader) socket(f *dtc.OpenFile, inode uint64) {
	r.line = strconv.AppendUint(r.line[:0], inode, 10)
	digits := len(r.line)
	if s, ok := r.sockets.Unix(inode); ok {
		f.Type = "unix"
		r.line = appendUnixName(r.line, &s)
		named := len(r.line)
		r.line = r.sockets.AppendUnixAddress(append(r.line, "0x"...), inode)
		text := r.text(r.line)
		f.Node, f.Name = text[:digits], text[digits:named]
		if len(text) > named+len("0x") {
			f.Device = text[named:]
		}
		return
	}
	if s, ok := r.sockets.Inet(inode); ok {
		f.Type = "IPv4"
		if s.IPv6 {
			f.Type = "IPv6"
		}
		r.line = appendInetName(r.line, &s)
		text := r.text(r.line)
		f.Device, f.Node, f.Name = text[:digits], s.Protocol.String(), text[digits:]
		return
	}
	if s, ok := r.sockets.Other(inode); ok {
		f.Type, f.Name, f.Node = s.Type, s.Name, r.text(r.line)
		if s.Protocol != "" {
			f.Device, f.Node = f.Node, s.Protocol
		}
		return
	}
	r.foreignSocket(f, inode, r.sockfs.number)
}

// foreignSocket fills in what is known of a socket of another network namespace,
// and of one that is in no table because it has not been used: its protocol.
func (r *fileReader) foreignSocket(f *dtc.OpenFile, inode uint64, device [2]uint32) {
	f.Type, f.Device = "sock", r.device(device)
	r.line = strconv.AppendUint(r.line[:0], inode, 10)
	digits := len(r.line)
	if device == r.sockfs.number || !r.sockfs.known {
		r.line = r.appendProtocol(r.line, f.FD)
	} else { // a file, of which its file server would be asked
		r.line = append(r.line, noProtocol...)
	}
	text := r.text(r.line)
	f.Node, f.Name = text[:digits], text[digits:]
}

const noProtocol = "can't identify protocol"

func (r *fileReader) appendProtocol(b []byte, fd string) []byte {
	var name [64]byte
	n, err := unix.Getxattr(r.host.path(string(r.inProcess("fd/"+fd))), "system.sockprotoname", name[:])
	if err != nil || n <= 0 {
		return append(b, noProtocol...)
	}
	protocol, _, _ := bytes.Cut(name[:n], []byte{0})
	return append(append(b, "protocol: "...), protocol...)
}
