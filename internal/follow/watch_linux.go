package follow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	folderMask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	fileMask   = unix.IN_MODIFY
	eventBytes = 64 << 10
)

// Watcher tells of changes in folders and files, with one inotify instance.
type Watcher struct {
	file *os.File        // the instance, readable by way of the poller
	conn syscall.RawConn // the same
	fd   int
	buf  []byte // of Next

	mu      sync.Mutex        // guards all below
	folders map[string]int32  // to watch descriptors
	files   map[uint64]int32  // by token
	watches map[int32]*target // what a watch descriptor stands for
	closed  bool
}

// target is what one watched inode stands for: a folder may have several paths.
type target struct {
	folders []string
	tokens  []uint64
}

// NewWatcher returns a Watcher that watches nothing.
func NewWatcher() (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if errors.Is(err, unix.EMFILE) {
		return nil, &LimitError{"fs.inotify.max_user_instances", "make an inotify instance"}
	}
	if err != nil {
		return nil, fmt.Errorf("make an inotify instance: %w", err)
	}
	file := os.NewFile(uintptr(fd), "inotify")
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read an inotify instance: %w", err), file.Close())
	}
	return &Watcher{
		file: file, conn: conn, fd: fd, buf: make([]byte, eventBytes),
		folders: map[string]int32{}, files: map[uint64]int32{}, watches: map[int32]*target{},
	}, nil
}

// Close ends Next.
func (w *Watcher) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return w.file.Close()
}

// Watch watches the folder at path; again, if another one is there by now. If
// the system's limit of watches is reached, the error says so.
func (w *Watcher) Watch(path string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	wd, err := unix.InotifyAddWatch(w.fd, path, folderMask)
	if err != nil {
		w.drop(path)
		return watchError(path, err)
	}
	if old, ok := w.folders[path]; ok && old == int32(wd) {
		return nil
	}
	w.drop(path)
	t := w.target(wd)
	t.folders = append(t.folders, path)
	w.folders[path] = int32(wd)
	return nil
}

// WatchFile watches an open file, whatever name it has, until Forget is called
// with its token.
func (w *Watcher) WatchFile(f *File, token uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.files[token]; ok || w.closed {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return os.ErrClosed
	}
	wd, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(f.handle), fileMask|unix.IN_MASK_ADD)
	if err != nil {
		return watchError(f.real, err)
	}
	t := w.target(wd)
	t.tokens = append(t.tokens, token)
	w.files[token] = int32(wd)
	return nil
}

func watchError(path string, err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return &LimitError{"fs.inotify.max_user_watches", "watch " + path}
	}
	return fmt.Errorf("watch %s: %w", path, err)
}

// Forget ends the watch of the folder at path.
func (w *Watcher) Forget(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(path)
}

// ForgetFile ends the watch of the file with the number token.
func (w *Watcher) ForgetFile(token uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wd, ok := w.files[token]
	if !ok {
		return
	}
	delete(w.files, token)
	if t := w.watches[wd]; t != nil {
		t.tokens = slices.DeleteFunc(t.tokens, func(n uint64) bool { return n == token })
		w.release(wd, t)
	}
}

func (w *Watcher) drop(path string) {
	wd, ok := w.folders[path]
	if !ok {
		return
	}
	delete(w.folders, path)
	if t := w.watches[wd]; t != nil {
		t.folders = slices.DeleteFunc(t.folders, func(p string) bool { return p == path })
		w.release(wd, t)
	}
}

func (w *Watcher) release(wd int32, t *target) {
	if len(t.folders)+len(t.tokens) > 0 {
		return
	}
	delete(w.watches, wd)
	if !w.closed {
		_, _ = unix.InotifyRmWatch(w.fd, uint32(wd))
	}
}

func (w *Watcher) target(wd int) *target {
	key := int32(wd)
	t := w.watches[key]
	if t == nil {
		t = &target{}
		w.watches[key] = t
	}
	return t
}

// Next waits for events and returns them. It returns [os.ErrClosed] after Close.
// One goroutine at a time calls it.
func (w *Watcher) Next(events []Event) ([]Event, error) {
	n, err := w.read()
	if err != nil {
		return events, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.buf[:n]
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		end := unix.SizeofInotifyEvent + size
		if end > len(b) {
			break
		}
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
		events = w.translate(events, wd, mask, name)
		b = b[end:]
	}
	return events, nil
}

// read waits for events of the kernel's.
func (w *Watcher) read() (n int, err error) {
	var errno unix.Errno
	err = w.conn.Read(func(fd uintptr) bool {
		for {
			if n, errno = readEvents(fd, w.buf); errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed: // whatever a closed file says
		err = os.ErrClosed
	case err == nil && errno != 0:
		err = os.NewSyscallError("read", errno)
	}
	return n, err
}

// translate appends the events that one of the kernel's stands for.
func (w *Watcher) translate(events []Event, wd int32, mask uint32, name []byte) []Event {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return append(events, Event{Kind: Lost})
	}
	t := w.watches[wd]
	if t == nil {
		return events
	}
	kind := Moved
	switch {
	case mask&(unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_UNMOUNT) != 0:
		kind = Lost
	case mask&unix.IN_MODIFY != 0:
		kind = Wrote
	}
	for _, path := range t.folders {
		events = appendEvent(events, Event{Kind: kind, How: howOf(mask), Folder: path}, name)
	}
	for _, token := range t.tokens {
		events = append(events, Event{Kind: Wrote, Token: token})
	}
	if mask&unix.IN_IGNORED != 0 { // the kernel has taken the watch away
		w.ignored(wd, t)
	}
	return events
}

// howOf returns how a name came or went.
func howOf(mask uint32) How {
	switch {
	case mask&unix.IN_ISDIR != 0:
		return Other
	case mask&unix.IN_CREATE != 0:
		return Made
	case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		return Left
	case mask&unix.IN_MOVED_TO != 0:
		return Replaced
	}
	return Other
}

// appendEvent appends e, unless the same is the last one already.
func appendEvent(events []Event, e Event, name []byte) []Event {
	if n := len(events); n > 0 {
		if l := events[n-1]; l.Kind == e.Kind && l.How == e.How && l.Folder == e.Folder && l.Name == string(name) {
			return events
		}
	}
	e.Name = string(name)
	return append(events, e)
}

func (w *Watcher) ignored(wd int32, t *target) {
	for _, path := range t.folders {
		delete(w.folders, path)
	}
	for _, token := range t.tokens {
		delete(w.files, token)
	}
	delete(w.watches, wd)
}
