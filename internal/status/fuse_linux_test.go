package status

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// fuseServer is a file system whose only file is its root, spoken on /dev/fuse
// (fuse(4)). It says of its room what it was told to, an error, or nothing.
type fuseServer struct {
	dev    *os.File
	dir    string
	served sync.WaitGroup

	mu    sync.Mutex // guards what follows
	room  fuseStatfs
	errno unix.Errno
}

// fuseStatfs is struct fuse_kstatfs of linux/fuse.h.
type fuseStatfs struct {
	Blocks, Free, Available, Files, FreeFiles uint64
	BlockSize, NameLength, FragmentSize       uint32
	_                                         [7]uint32
}

// mountFUSE mounts such a file system. Until serve is called it answers nothing
// that needs the server.
func mountFUSE(tb testing.TB, source, kind, dir, options string) *fuseServer {
	tb.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		tb.Fatal(err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0%s", fd, options)
	if err := unix.Mount(source, dir, kind, 0, data); err != nil {
		tb.Fatalf("mount %s: %v", dir, err)
	}
	// Before it is mounted, the device cannot be waited for.
	s := &fuseServer{dev: os.NewFile(uintptr(fd), "/dev/fuse"), dir: dir}
	// Closing the device makes whoever still waits for an answer go on.
	tb.Cleanup(func() {
		_ = s.dev.Close()
		s.served.Wait()
	})
	tb.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	s.greet(tb)
	return s
}

// greet does what the kernel asks first: FUSE_INIT.
func (s *fuseServer) greet(tb testing.TB) {
	tb.Helper()
	var request [1 << 17]byte
	if _, err := s.dev.Read(request[:]); err != nil {
		tb.Fatal(err)
	}
	var init [64]byte
	binary.NativeEndian.PutUint32(init[0:], 7)      // major version
	binary.NativeEndian.PutUint32(init[4:], 31)     // minor version
	binary.NativeEndian.PutUint32(init[20:], 1<<16) // largest write
	s.reply(request[:], 0, init[:])
}

func (s *fuseServer) reply(request []byte, errno unix.Errno, body []byte) {
	if errno != 0 {
		body = nil
	}
	out := make([]byte, 16, 16+len(body))
	binary.NativeEndian.PutUint32(out[0:], uint32(16+len(body)))
	binary.NativeEndian.PutUint32(out[4:], uint32(-int32(errno)))
	copy(out[8:16], request[8:16]) // which request
	_, _ = s.dev.Write(append(out, body...))
}

// say sets what the server says of its room.
func (s *fuseServer) say(room fuseStatfs, errno unix.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room, s.errno = room, errno
}

// serve answers from now on, until the device is closed.
func (s *fuseServer) serve() {
	s.served.Go(func() {
		var request [1 << 17]byte
		for {
			if _, err := s.dev.Read(request[:]); err != nil {
				return
			}
			s.answer(request[:])
		}
	})
}

func (s *fuseServer) answer(request []byte) {
	const getattr, statfs, interrupt, forget = 3, 17, 36, 2
	s.mu.Lock()
	defer s.mu.Unlock()
	switch binary.NativeEndian.Uint32(request[4:]) {
	case getattr:
		var attr [104]byte
		binary.NativeEndian.PutUint64(attr[16:], 1)                  // inode
		binary.NativeEndian.PutUint32(attr[76:], unix.S_IFDIR|0o755) // mode
		binary.NativeEndian.PutUint32(attr[80:], 2)                  // links
		s.reply(request, 0, attr[:])
	case statfs:
		body, _ := binary.Append(nil, binary.NativeEndian, s.room)
		s.reply(request, s.errno, body)
	case interrupt, forget: // want no answer
	default:
		s.reply(request, unix.ENOSYS, nil)
	}
}

// folder makes a folder to mount something at.
func folder(tb testing.TB, path ...string) string {
	tb.Helper()
	dir := filepath.Join(path...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}
