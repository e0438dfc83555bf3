package proc

import (
	"bytes"
	"cmp"
	"slices"
)

// maxLocks is how many locks are kept: any user may have as many as he likes.
const maxLocks = 1 << 18

// Locks are the locks of files, as far as lsof(8) shows them. They may be used
// side by side.
type Locks struct {
	held []heldLock // by process and file
	Many bool       // there were more than are kept
}

// heldLock says which process has a lock on which file, with the character that
// lsof shows: r or w for a part of the file, R or W for all of it.
type heldLock struct {
	file FileID
	pid  int32
	char byte
}

// ProcessLocks are the locks of one process.
type ProcessLocks []heldLock

// Locks reads proc_locks(5).
func (f FS) Locks() (*Locks, error) {
	l := new(Locks)
	err := f.eachLine(func(line []byte) bool {
		if lock, ok := parseLock(line); ok {
			l.Many = len(l.held) == maxLocks
			if !l.Many {
				l.held = append(l.held, lock)
			}
		}
		return !l.Many
	}, "locks")
	l.sort()
	return l, err
}

// sort keeps of several locks of one process on one file that one which lsof
// shows: the last whose kind was not there before.
func (l *Locks) sort() {
	slices.SortStableFunc(l.held, func(a, b heldLock) int {
		return cmp.Or(cmp.Compare(a.pid, b.pid), a.file.compare(b.file))
	})
	kept := l.held[:0]
	var seen []byte // kinds of locks on the last file that is kept
	for _, lock := range l.held {
		last := len(kept) - 1
		switch {
		case last < 0 || kept[last].pid != lock.pid || kept[last].file != lock.file:
			kept, seen = append(kept, lock), append(seen[:0], lock.char)
		case !bytes.Contains(seen, []byte{lock.char}):
			kept[last].char, seen = lock.char, append(seen, lock.char)
		}
	}
	l.held = kept
}

// Process returns the locks of one process.
func (l *Locks) Process(pid int) ProcessLocks {
	byPID := func(lock heldLock, pid int) int { return cmp.Compare(int(lock.pid), pid) }
	from, _ := slices.BinarySearchFunc(l.held, pid, byPID)
	length, _ := slices.BinarySearchFunc(l.held[from:], pid+1, byPID)
	return l.held[from : from+length]
}

// On returns the character of the lock on a file, 0 for none.
func (p ProcessLocks) On(file FileID) byte {
	if len(p) == 0 {
		return 0
	}
	i, ok := slices.BinarySearchFunc(p, file, func(lock heldLock, file FileID) int { return lock.file.compare(file) })
	if !ok {
		return 0
	}
	return p[i].char
}

// parseLock reads a line: "1: POSIX ADVISORY WRITE 812 fe:00:9978104 0 EOF".
// Who only waits for a lock has "->" in the second field.
func parseLock(line []byte) (lock heldLock, ok bool) {
	var fields [8][]byte
	for i := range fields {
		fields[i], line = word(line)
	}
	kind, owner, file, from, to := fields[3], fields[4], fields[5], fields[6], fields[7]
	switch {
	case bytes.HasPrefix(kind, []byte("R")):
		lock.char = 'r'
	case bytes.HasPrefix(kind, []byte("W")):
		lock.char = 'w'
	default:
		return lock, false
	}
	pid, okPID := parseDecimal(owner) // -1 of one that belongs to no process
	major, rest, _ := bytes.Cut(file, []byte(":"))
	minor, inode, _ := bytes.Cut(rest, []byte(":"))
	id, okFile := parseFileID(major, minor, inode)
	if !okPID || !okFile || pid > 1<<31-1 || len(to) == 0 || string(fields[1]) == "->" {
		return lock, false
	}
	lock.pid, lock.file = int32(pid), id
	const end = "2147483647" // of a file, for programs of 32 bits
	if string(from) == "0" && (string(to) == "EOF" || string(to) == end) {
		lock.char -= 'a' - 'A'
	}
	return lock, true
}
