package proc

import "bytes"

// Lock says which process has a lock on which file.
type Lock struct {
	PID  int
	File FileID
}

// ParseLocks reads proc_locks(5) and adds to locks the character that lsof(8)
// shows for each lock: r or w for a part of the file, R or W for all of it.
func ParseLocks(data []byte, locks map[Lock]byte) {
	for line := range bytes.Lines(data) {
		if lock, char, ok := parseLock(line); ok {
			locks[lock] = char
		}
	}
}

func parseLock(line []byte) (lock Lock, char byte, ok bool) {
	var fields [8][]byte
	line = bytes.TrimRight(line, "\n")
	for i := range fields {
		fields[i], line = word(line)
	}
	// "1: POSIX ADVISORY WRITE 812 fe:00:9978104 0 EOF"; who only waits for a
	// lock has "->" in the second field, and then one more.
	kind, owner, file, from, to := fields[3], fields[4], fields[5], fields[6], fields[7]
	switch {
	case bytes.HasPrefix(kind, []byte("R")):
		char = 'r'
	case bytes.HasPrefix(kind, []byte("W")):
		char = 'w'
	default:
		return lock, 0, false
	}
	pid, okPID := parseDecimal(owner)
	var okFile [3]bool
	major, rest, _ := bytes.Cut(file, []byte(":"))
	minor, inode, _ := bytes.Cut(rest, []byte(":"))
	var dev [2]uint64
	dev[0], okFile[0] = parseHex(major)
	dev[1], okFile[1] = parseHex(minor)
	lock.File.Inode, okFile[2] = parseDecimal(inode)
	if !okPID || okFile != [3]bool{true, true, true} || bytes.Equal(fields[1], []byte("->")) || len(to) == 0 {
		return lock, 0, false
	}
	lock.PID, lock.File.Major, lock.File.Minor = int(pid), uint32(dev[0]), uint32(dev[1])
	if string(from) == "0" && string(to) == "EOF" {
		char -= 'a' - 'A'
	}
	return lock, char, true
}
