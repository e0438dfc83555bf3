package proc

import (
	"bytes"
	"cmp"

	"golang.org/x/sys/unix"
)

// FileID is what identifies a file on this machine.
type FileID struct {
	Major, Minor uint32
	Inode        uint64
}

// compare orders files.
func (f FileID) compare(g FileID) int {
	return cmp.Or(cmp.Compare(f.Inode, g.Inode), cmp.Compare(f.Major, g.Major), cmp.Compare(f.Minor, g.Minor))
}

// longestMapping is the longest line of maps that is read. A path of 4096 bytes,
// each written as four, has room; in folders within folders it can be longer.
const longestMapping = 32 << 10

// Maps reads the files that a process has in its memory, proc_pid_maps(5), a
// piece at a time: there may be a million. The zero value is ready to be opened.
type Maps struct {
	fd   int
	buf  []byte
	rest []byte // of buf, not yet returned
	skip bool   // rest begins in the midst of a line that is too long
}

// Open begins with the process that in has entered.
func (m *Maps) Open(in *Scanner) error {
	fd, err := openat(in.dir, in.cpath("maps"), unix.O_RDONLY)
	if err != nil {
		return err
	}
	if m.buf == nil {
		m.buf = make([]byte, longestMapping)
	}
	m.fd, m.rest, m.skip = fd, nil, false
	return nil
}

// Close must be called after Open.
func (m *Maps) Close() { _ = unix.Close(m.fd) }

// Next returns the next mapping that has something behind its addresses, false
// at the end. It is valid until the next call.
func (m *Maps) Next() (MapsLine, bool) {
	for {
		line, rest, whole := bytes.Cut(m.rest, []byte("\n"))
		if !whole {
			if !m.fill() {
				return MapsLine{}, false
			}
			continue
		}
		m.rest = rest
		if m.skip { // the end of a path, which may look like a line
			m.skip = false
			continue
		}
		if l, ok := splitMaps(line); ok {
			return l, true
		}
	}
}

// fill reads more behind what is left of the buffer.
func (m *Maps) fill() bool {
	length := copy(m.buf, m.rest)
	if length == len(m.buf) {
		length, m.skip = 0, true
	}
	n, err := read(m.fd, m.buf[length:])
	if n <= 0 || err != nil {
		return false
	}
	m.rest = m.buf[:length+n]
	return true
}

// MapsLine is a line of maps with a file behind it, perhaps. It has the same
// File for all mappings of one file under one name, in all processes.
type MapsLine struct {
	Addresses []byte // "7f01-7f02"
	File      []byte // device, inode and path: "fe:00 12345    /usr/lib/x.so"
}

// splitMaps cuts off what is of this mapping only: the addresses, the permissions
// and the offset. It is not ok if there is nothing behind.
func splitMaps(line []byte) (l MapsLine, ok bool) {
	l.Addresses, line = word(line)
	_, line = word(line) // permissions
	_, line = word(line) // offset
	if len(line) == 0 {
		return l, false
	}
	l.File = line[1:]
	// What has no file: "00:00 0" and the purpose, if any.
	return l, !bytes.HasPrefix(l.File, []byte("00:00 0 "))
}

// MappedFile is a file that is mapped. Its path is valid as long as the line.
type MappedFile struct {
	ID      FileID
	Path    []byte // without the mark of a deleted file
	Deleted bool   // the path had that mark, or ends like it
}

// Mapped reads what stands in File. It is not ok if that is no file.
func (l MapsLine) Mapped() (m MappedFile, ok bool) {
	device, line := word(l.File)
	major, minor, isDevice := bytes.Cut(device, []byte(":"))
	inode, line := word(line)
	m.ID, ok = parseFileID(major, minor, inode)
	m.Path = bytes.TrimLeft(line, " \t")
	if !ok || !isDevice || m.ID == (FileID{}) || len(m.Path) == 0 {
		return m, false
	}
	if path, deleted := bytes.CutSuffix(m.Path, []byte(" (deleted)")); deleted && len(path) > 0 {
		m.Path, m.Deleted = path, true
	}
	return m, true
}

// parseFileID reads a device in hexadecimal and an inode in decimal, as most
// files of /proc have them.
func parseFileID(major, minor, inode []byte) (id FileID, ok bool) {
	const most = 1<<32 - 1
	ma, ok1 := parseHex(major)
	mi, ok2 := parseHex(minor)
	number, ok3 := parseDecimal(inode)
	return FileID{uint32(ma), uint32(mi), number}, ok1 && ok2 && ok3 && ma <= most && mi <= most
}

// word cuts the first word off a line.
func word(line []byte) (first, rest []byte) {
	start := 0
	for start < len(line) && (line[start] == ' ' || line[start] == '\t') {
		start++
	}
	for end := start; end < len(line); end++ {
		if line[end] == ' ' || line[end] == '\t' {
			return line[start:end], line[end:]
		}
	}
	return line[start:], nil
}

func parseHex(b []byte) (uint64, bool) {
	var v uint64
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | uint64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

func parseDecimal(b []byte) (uint64, bool) {
	var v uint64
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}
