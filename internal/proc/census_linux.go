package proc

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Census tells which processes came since it was last taken. It opens nothing of
// them: that a pid is another process' now shows in the number of its directory's
// inode. It is not safe for concurrent use.
type Census struct {
	in      *Scanner
	last    []entry // of the last listing, by pid
	now     []entry
	counted startCount // before the last listing
	trusted bool       // what counts starts is the kernel's own
}

// entry is the directory of a process.
type entry struct {
	pid   int
	inode uint64
}

// startCount changes with every process, and thread, that starts.
type startCount struct {
	last  int64 // pid: proc_loadavg(5)
	forks int64 // since the boot: proc_stat(5)
}

// Census prepares a census.
func (f FS) Census() (*Census, error) {
	in, err := f.Scan()
	if err != nil {
		return nil, err
	}
	return &Census{in: in, trusted: in.isKernels("loadavg") && in.isKernels("stat")}, nil
}

// Close ends it.
func (c *Census) Close() error { return c.in.Close() }

// Fresh appends the pids of the processes that came since the last call, all of
// them the first time. While nothing at all starts on the system it does not even
// list them.
func (c *Census) Fresh(into []int) ([]int, error) {
	count, err := c.count()
	counted := err == nil && c.trusted
	if counted && count == c.counted && c.last != nil {
		return into, nil
	}
	if c.now, err = c.in.entries(c.now[:0]); err != nil {
		return into, fmt.Errorf("list the processes: %w", err)
	}
	slices.SortFunc(c.now, func(a, b entry) int { return cmp.Compare(a.pid, b.pid) })
	old := c.last
	for _, e := range c.now {
		for len(old) > 0 && old[0].pid < e.pid {
			old = old[1:]
		}
		if len(old) == 0 || old[0] != e {
			into = append(into, e.pid)
		}
	}
	c.last, c.now = c.now, c.last
	c.counted = startCount{}
	if counted {
		c.counted = count // of before: who came during the listing is looked for again
	}
	return into, nil
}

// Counted says whether the system counts its starts, so that a census costs next
// to nothing while there are none.
func (c *Census) Counted() bool { return c.trusted }

func (c *Census) count() (n startCount, err error) {
	data, err := c.in.ReadSystem("loadavg")
	if err != nil {
		return n, err
	}
	n.last, _ = number(data[bytes.LastIndexByte(bytes.TrimSpace(data), ' ')+1:])
	if data, err = c.in.ReadSystem("stat"); err != nil {
		return n, err
	}
	n.forks, _ = number(after(data, "\nprocesses "))
	return n, nil
}

// isKernels tells whether a file of the system is one of the kernel: in many a
// container another program's is mounted over it.
func (s *Scanner) isKernels(name string) bool {
	var root, file unix.Statx_t
	if statx(s.root, s.cpath(""), unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, &root) != nil ||
		statx(s.root, s.cpath(name), unix.AT_STATX_DONT_SYNC, &file) != nil {
		return false
	}
	return root.Dev_major == file.Dev_major && root.Dev_minor == file.Dev_minor
}

// entries appends the directories of all processes.
func (s *Scanner) entries(into []entry) ([]entry, error) {
	fd, err := openat(s.root, s.cpath("."), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return into, err
	}
	defer func() { _ = unix.Close(fd) }()
	if s.ents == nil {
		s.ents = make([]byte, 32<<10)
	}
	for {
		n, err := unix.Getdents(fd, s.ents)
		if err != nil || n == 0 {
			return into, err
		}
		into = appendEntries(into, s.ents[:n])
	}
}

// appendEntries appends the raw directory entries whose names are decimal
// numbers.
func appendEntries(into []entry, ents []byte) []entry {
	for len(ents) > direntName {
		length := int(binary.NativeEndian.Uint16(ents[direntReclen:]))
		if length <= direntName || length > len(ents) {
			break
		}
		if pid, ok := numericName(ents[direntName:length]); ok && pid > 0 {
			into = append(into, entry{pid, binary.NativeEndian.Uint64(ents)})
		}
		ents = ents[length:]
	}
	return into
}
