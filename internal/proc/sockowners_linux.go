package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// SocketWalk finds the processes that have sockets open: it reads where each
// descriptor of each process leads to, and nothing else of a process that has
// no wanted socket. It is not safe for concurrent use.
type SocketWalk struct {
	root int    // descriptor of the file system's directory
	path []byte // of one system call, ends in NUL
	ents []byte // raw directory entries
	comm []byte // of the current process
	link [64]byte
}

// SocketFile is a descriptor that is a socket. Comm, the short name of the
// process, is valid during the call that gets it; it is empty if the process
// ended meanwhile.
type SocketFile struct {
	PID, FD int
	Inode   uint64
	Comm    []byte
}

// WalkSockets prepares a walk.
func (f FS) WalkSockets() (*SocketWalk, error) {
	root, err := unix.Open(string(f), unix.O_DIRECTORY|unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: string(f), Err: err}
	}
	return &SocketWalk{root: root, ents: make([]byte, 32<<10)}, nil
}

// Close ends the walk.
func (w *SocketWalk) Close() error { return unix.Close(w.root) }

// Process passes each descriptor of a process that is a wanted socket to put,
// ascending. The error is [fs.ErrPermission] if the process may not be looked
// into; that it ended is none.
func (w *SocketWalk) Process(pid int, wanted func(inode uint64) bool, put func(SocketFile)) error {
	w.path = append(strconv.AppendInt(w.path[:0], int64(pid), 10), "/fd\x00"...)
	dir, err := openat(w.root, w.path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return endedIsNone(err)
	}
	defer func() { _ = unix.Close(dir) }()
	w.comm = w.comm[:0]
	named := false
	for {
		n, err := unix.Getdents(dir, w.ents)
		if n <= 0 || err != nil {
			return endedIsNone(err)
		}
		for fd, name := range numericEntries(w.ents[:n]) {
			inode, ok, err := w.socket(dir, name)
			if err != nil {
				return err // and so would all others: the folder may be listed, its links not read
			}
			if !ok || !wanted(inode) {
				continue
			}
			if !named {
				named = true
				w.name(dir)
			}
			put(SocketFile{PID: pid, FD: fd, Inode: inode, Comm: w.comm})
		}
	}
}

// socket returns the inode of a descriptor, if it is a socket's. The name ends
// in a NUL. The error is that the process may not be looked into.
func (w *SocketWalk) socket(dir int, name []byte) (inode uint64, ok bool, err error) {
	n, err := readlinkat(dir, name, w.link[:])
	if errors.Is(err, fs.ErrPermission) { // so the kernel says of one that ended just now, too, but once
		if n, err = readlinkat(dir, name, w.link[:]); errors.Is(err, fs.ErrPermission) {
			return 0, false, err
		}
	}
	if err != nil {
		return 0, false, nil // it was closed meanwhile
	}
	number, ok := bytes.CutPrefix(w.link[:n], []byte("socket:["))
	if !ok {
		return 0, false, nil
	}
	number, ok = bytes.CutSuffix(number, []byte("]"))
	if !ok {
		return 0, false, nil
	}
	inode, ok = parseDecimal(number)
	return inode, ok, nil
}

// name reads the name of the process whose descriptors are in dir: it is asked
// for through that directory, so that it is not that of a newcomer with the same
// pid.
func (w *SocketWalk) name(dir int) {
	fd, err := openat(dir, []byte("../comm\x00"), unix.O_RDONLY)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	var buf [64]byte // the kernel cuts a process' name to 15 bytes
	if n, err := read(fd, buf[:]); err == nil {
		w.comm = append(w.comm, bytes.TrimSuffix(buf[:n], []byte("\n"))...)
	}
}

func endedIsNone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// numericEntries are the names of raw directory entries that are decimal
// numbers: as a number, and as it stands there, with a NUL behind it.
func numericEntries(ents []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		for len(ents) > direntName {
			length := int(binary.NativeEndian.Uint16(ents[direntReclen:]))
			if length <= direntName || length > len(ents) {
				return
			}
			name := ents[direntName:length]
			if n, ok := numericName(name); ok && !yield(n, name) {
				return
			}
			ents = ents[length:]
		}
	}
}
