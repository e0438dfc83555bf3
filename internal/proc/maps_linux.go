package proc

import "bytes"

// FileID is what identifies a file on this machine.
type FileID struct {
	Major, Minor uint32
	Inode        uint64
}

// Mapping is a line of /proc/PID/maps, proc_pid_maps(5), with a file behind it.
// Its texts are valid as long as the parsed data.
type Mapping struct {
	Range   []byte // the addresses: "7f01-7f02", in hexadecimal
	File    FileID
	Path    []byte // without the mark of a deleted file
	Deleted bool   // the path had that mark, or ends like it
}

// ParseMapping reads the first line of data and returns what follows it. It is
// not ok if the line is malformed or has no file.
func ParseMapping(data []byte) (m Mapping, rest []byte, ok bool) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	m.Range, line = word(line)
	_, line = word(line) // permissions
	_, line = word(line) // offset
	device, line := word(line)
	major, minor, isDevice := bytes.Cut(device, []byte(":"))
	ino, line := word(line)
	var valid [3]bool
	var dev [2]uint64
	dev[0], valid[0] = parseHex(major)
	dev[1], valid[1] = parseHex(minor)
	m.File.Inode, valid[2] = parseDecimal(ino)
	m.File.Major, m.File.Minor = uint32(dev[0]), uint32(dev[1])
	m.Path = bytes.TrimLeft(line, " \t")
	if !isDevice || valid != [3]bool{true, true, true} || m.File == (FileID{}) || len(m.Path) == 0 {
		return m, rest, false
	}
	if path, deleted := bytes.CutSuffix(m.Path, []byte(" (deleted)")); deleted && len(path) > 0 {
		m.Path, m.Deleted = path, true
	}
	return m, rest, true
}

// word cuts the first word off a line.
func word(line []byte) (first, rest []byte) {
	line = bytes.TrimLeft(line, " \t")
	if end := bytes.IndexAny(line, " \t"); end >= 0 {
		return line[:end], line[end:]
	}
	return line, nil
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
