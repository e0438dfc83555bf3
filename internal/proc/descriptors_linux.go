package proc

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Descriptors reads the open descriptors of a process, a piece of the list at a
// time: there may be a million. It holds their directory open, by which each is
// found with a step less. The zero value is ready to be opened.
type Descriptors struct {
	dir     int
	path    []byte // of one system call, ends in NUL
	link    []byte // what Readlink returned
	ents    []byte // raw directory entries
	numbers []int  // what Next returned
}

// Open begins with the process that in has entered.
func (d *Descriptors) Open(in *Scanner) error {
	dir, err := openat(in.dir, in.cpath("fd"), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	if d.ents == nil {
		d.path, d.link, d.ents = make([]byte, 0, 16), make([]byte, unix.PathMax), make([]byte, 16<<10)
	}
	d.dir = dir
	return nil
}

// Close must be called after Open.
func (d *Descriptors) Close() { _ = unix.Close(d.dir) }

// Next returns some more descriptors, ascending; none at the end. They are valid
// until the next call.
func (d *Descriptors) Next() ([]int, error) {
	for {
		n, err := unix.Getdents(d.dir, d.ents)
		if n <= 0 || err != nil {
			return nil, err
		}
		d.numbers = appendNumbers(d.numbers[:0], d.ents[:n])
		if len(d.numbers) > 0 {
			return d.numbers, nil
		}
	}
}

// Readlink returns what the link of a descriptor says. It is valid until the
// next call.
func (d *Descriptors) Readlink(fd int) ([]byte, error) {
	n, err := readlinkat(d.dir, d.cpath(fd), d.link)
	if err != nil {
		return nil, err
	}
	return d.link[:n], nil
}

// Stat fills st with what is known of the file that is open, without asking a
// file server for it: a dead one would not answer.
func (d *Descriptors) Stat(fd int, st *unix.Statx_t) error {
	return statx(d.dir, d.cpath(fd), unix.AT_STATX_DONT_SYNC, st)
}

// Lstat is Stat of the link itself, whose mode is how the file was opened.
func (d *Descriptors) Lstat(fd int, st *unix.Statx_t) error {
	return statx(d.dir, d.cpath(fd), unix.AT_STATX_DONT_SYNC|unix.AT_SYMLINK_NOFOLLOW, st)
}

func (d *Descriptors) cpath(fd int) []byte {
	d.path = append(strconv.AppendInt(d.path[:0], int64(fd), 10), 0)
	return d.path
}
