package proc

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of any one file: no process may fill our memory
// with, say, a million mappings.
const maxFile = 64 << 20

// Scanner reads one process after the other from an open proc(5), with buffers
// that it keeps: it allocates nothing once they have grown. What it reads of a
// process is of that process, even if the pid is given to another meanwhile. It
// is not safe for concurrent use.
type Scanner struct {
	fs   FS
	root int // descriptor of the file system's directory, -1 if it is not open
	dir  int // of the process entered, -1 for none

	path []byte // of one system call, ends in NUL
	buf  []byte // what Read returned
	link []byte // what Readlink returned; nil until it is called
	ents []byte // raw directory entries; nil until there are some
}

// Scan opens the file system for reading.
func (f FS) Scan() (*Scanner, error) {
	s := NewScanner(f)
	return s, s.Open()
}

// NewScanner returns a scanner that is not open yet.
func NewScanner(f FS) *Scanner {
	return &Scanner{fs: f, root: -1, dir: -1, path: make([]byte, 0, 64), buf: make([]byte, 8<<10)}
}

// Open opens the file system, for the first time or again after Close.
func (s *Scanner) Open() error {
	root, err := unix.Open(string(s.fs), unix.O_DIRECTORY|unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: string(s.fs), Err: err}
	}
	s.root = root
	return nil
}

// Close closes what the scanner holds open. It may be called twice.
func (s *Scanner) Close() error {
	s.Leave()
	if s.root < 0 {
		return nil
	}
	err := unix.Close(s.root)
	s.root = -1
	return err
}

// PIDs appends the ids of all processes to pids, ascending.
func (s *Scanner) PIDs(pids []int) ([]int, error) {
	start := len(pids)
	pids, err := s.numbers(s.root, ".", pids)
	if err != nil {
		return pids, fmt.Errorf("list the processes: %w", err)
	}
	if found := pids[start:]; !slices.IsSorted(found) {
		slices.Sort(found)
	}
	return pids, nil
}

// FDs appends the numbers of the open descriptors of the process entered to
// fds, ascending.
func (s *Scanner) FDs(fds []int) ([]int, error) { return s.numbers(s.dir, "fd", fds) }

// Enter makes pid the process that is read. The error is [fs.ErrNotExist] if
// there is none.
func (s *Scanner) Enter(pid int) error {
	s.Leave()
	s.path = append(strconv.AppendInt(s.path[:0], int64(pid), 10), 0)
	dir, err := openat(s.root, s.path, unix.O_DIRECTORY|unix.O_PATH)
	if err != nil {
		return err
	}
	s.dir = dir
	return nil
}

// Leave closes the process entered.
func (s *Scanner) Leave() {
	if s.dir >= 0 {
		_ = unix.Close(s.dir)
		s.dir = -1
	}
}

// Owner is the effective user id of the process entered: that of the
// directory, not of the files in it, which are root's if the process may not be
// dumped.
func (s *Scanner) Owner() (uint32, error) {
	var st unix.Statx_t
	if err := statx(s.dir, s.cpath(""), unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, &st); err != nil {
		return 0, err
	}
	return st.Uid, nil
}

// Read returns the content of a small file of the process entered, which the
// kernel gives in one piece. It is valid until the next call of a method.
func (s *Scanner) Read(name string) ([]byte, error) {
	return s.read(s.dir, name, maxFile, short)
}

// ReadHead is Read of no more than the first limit bytes.
func (s *Scanner) ReadHead(name string, limit int) ([]byte, error) {
	return s.read(s.dir, name, limit, short)
}

// ReadAll is Read for files that the kernel gives in pieces.
func (s *Scanner) ReadAll(name string) ([]byte, error) {
	return s.read(s.dir, name, maxFile, empty)
}

// ReadSystem is ReadAll of a file that belongs to no process.
func (s *Scanner) ReadSystem(name string) ([]byte, error) {
	return s.read(s.root, name, maxFile, empty)
}

// short and empty tell from what one read(2) gave and had room for whether it
// was the last.
func short(n, room int) bool { return n < room }
func empty(n, _ int) bool    { return n == 0 }

// end says how the end of a file shows: see short and empty.
type end func(n, room int) bool

func (s *Scanner) read(dir int, name string, limit int, last end) ([]byte, error) {
	fd, err := openat(dir, s.cpath(name), unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	for length := 0; ; {
		if length == len(s.buf) {
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		room := s.buf[length:min(limit, len(s.buf))]
		n, err := read(fd, room)
		if err != nil {
			return nil, err
		}
		length += n
		if last(n, len(room)) || length >= limit {
			return s.buf[:length], nil
		}
	}
}

// Readlink returns what a link of the process entered says. It is valid until
// the next call of a method.
func (s *Scanner) Readlink(name string) ([]byte, error) {
	if s.link == nil {
		s.link = make([]byte, unix.PathMax)
	}
	n, err := readlinkat(s.dir, s.cpath(name), s.link)
	if err != nil {
		return nil, err
	}
	return s.link[:n], nil
}

// Stat fills st with what is known of the file that a link of the process
// entered leads to, without asking a file server for it: a dead one would not
// answer.
func (s *Scanner) Stat(name string, st *unix.Statx_t) error {
	return statx(s.dir, s.cpath(name), unix.AT_STATX_DONT_SYNC, st)
}

// Lstat is Stat of the link itself.
func (s *Scanner) Lstat(name string, st *unix.Statx_t) error {
	return statx(s.dir, s.cpath(name), unix.AT_STATX_DONT_SYNC|unix.AT_SYMLINK_NOFOLLOW, st)
}

// cpath puts a path into the scanner's buffer as the kernel wants it.
func (s *Scanner) cpath(name string) []byte {
	s.path = append(append(s.path[:0], name...), 0)
	return s.path
}

// numbers appends the names in a directory that are decimal numbers.
func (s *Scanner) numbers(dir int, name string, into []int) ([]int, error) {
	fd, err := openat(dir, s.cpath(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return into, err
	}
	defer func() { _ = unix.Close(fd) }()
	if s.ents == nil {
		s.ents = make([]byte, 32<<10)
	}
	for {
		n, err := unix.Getdents(fd, s.ents)
		if err != nil {
			return into, err
		}
		if n == 0 {
			return into, nil
		}
		into = appendNumbers(into, s.ents[:n])
	}
}
