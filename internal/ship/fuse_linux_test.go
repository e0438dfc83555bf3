package ship

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fileServer is a file system whose one folder shows another one, spoken on
// /dev/fuse (fuse(4)). What is written to that one comes from another machine,
// as it were: nobody tells this kernel, which remembers names and lengths for a
// while, and bytes until the file is opened anew. That is how NFS behaves.
type fileServer struct {
	t    testing.TB
	dev  *os.File
	back string // the folder that is shown
	dir  string // where
	ttl  time.Duration

	served sync.WaitGroup

	mu      sync.Mutex // guards what follows
	nodes   map[uint64]*fuseNode
	ids     map[uint64]uint64 // of nodes, by the inode numbers behind them
	opens   int
	lookups int
	byName  bool             // inode numbers are those of names, as of servers that have none
	gone    map[uint64]bool  // nodes whose files were removed, as far as the server is concerned
	late    map[string]int64 // from where on the bytes of a file are not to be seen yet, but its length is
}

// fuseNode is a file that the kernel knows.
type fuseNode struct {
	f    *os.File
	name string // under which it was found last
}

func serveFiles(t *testing.T, back string, ttl time.Duration) *fileServer {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &fileServer{
		t: t, back: back, dir: filepath.Join(t.TempDir(), "mount"), ttl: ttl,
		nodes: map[uint64]*fuseNode{}, ids: map[uint64]uint64{}, late: map[string]int64{}, gone: map[uint64]bool{},
	}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0", fd)
	if err := unix.Mount("server", s.dir, "fuse", 0, data); err != nil {
		t.Fatalf("mount %s (the tests need root): %v", s.dir, err)
	}
	s.dev = os.NewFile(uintptr(fd), "/dev/fuse") // before it is mounted, the device cannot be waited for
	t.Cleanup(func() {
		_ = unix.Unmount(s.dir, unix.MNT_DETACH)
		_ = s.dev.Close()
		s.served.Wait()
		for _, n := range s.nodes {
			_ = n.f.Close()
		}
	})
	s.served.Go(func() {
		request := make([]byte, 1<<18)
		for {
			n, err := s.dev.Read(request)
			if err != nil {
				return
			}
			s.answer(request[:n])
		}
	})
	return s
}

// hide has the bytes of a file from a position on read as NULs; its length does
// not tell.
func (s *fileServer) hide(name string, from int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late[name] = from
}

// forget has the server know nothing any more of the file under a name, as when
// it was removed by somebody else.
func (s *fileServer) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.nodes {
		if n.name == name {
			s.gone[id] = true
		}
	}
	_ = os.Remove(filepath.Join(s.back, name))
}

func (s *fileServer) show(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.late, name)
}

func (s *fileServer) reply(request []byte, err error, body []byte) {
	var errno syscall.Errno
	if err != nil {
		errno, body = syscall.EIO, nil
		if e, ok := errors.AsType[syscall.Errno](err); ok {
			errno = e
		}
	}
	out := make([]byte, 16, 16+len(body))
	binary.NativeEndian.PutUint32(out[0:], uint32(16+len(body)))
	binary.NativeEndian.PutUint32(out[4:], uint32(-int32(errno)))
	copy(out[8:16], request[8:16]) // which request
	_, _ = s.dev.Write(append(out, body...))
}

// The requests of linux/fuse.h that matter here.
const (
	fuseLookup     = 1
	fuseForget     = 2
	fuseGetattr    = 3
	fuseOpen       = 14
	fuseRead       = 15
	fuseStatfs     = 17
	fuseRelease    = 18
	fuseInit       = 26
	fuseOpendir    = 27
	fuseReaddir    = 28
	fuseReleasedir = 29
	fuseInterrupt  = 36
	fuseForgets    = 42
)

func (s *fileServer) answer(request []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := binary.NativeEndian.Uint64(request[16:])
	args := request[40:]
	var body []byte
	var err error
	switch binary.NativeEndian.Uint32(request[4:]) {
	case fuseInit:
		body = make([]byte, 64)
		binary.NativeEndian.PutUint32(body[0:], 7)
		binary.NativeEndian.PutUint32(body[4:], 31)
		binary.NativeEndian.PutUint32(body[20:], 1<<17)
	case fuseLookup:
		body, err = s.lookup(string(args[:len(args)-1]))
	case fuseGetattr:
		body, err = s.getattr(node)
	case fuseOpen, fuseOpendir:
		s.opens++
		body = make([]byte, 16)
	case fuseRead:
		body, err = s.read(node, int64(binary.NativeEndian.Uint64(args[8:])), int(binary.NativeEndian.Uint32(args[16:])))
	case fuseReaddir:
		body, err = s.readdir(binary.NativeEndian.Uint64(args[8:]))
	case fuseStatfs:
		body = make([]byte, 80)
	case fuseRelease, fuseReleasedir:
	case fuseForget, fuseForgets, fuseInterrupt:
		return // want no answer
	default:
		err = syscall.ENOSYS
	}
	s.reply(request, err, body)
}

// lookup finds a file by its name: it has one node for each inode behind it.
func (s *fileServer) lookup(name string) ([]byte, error) {
	s.lookups++
	f, err := os.Open(filepath.Join(s.back, name))
	if err != nil {
		return nil, syscall.ENOENT
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		_ = f.Close()
		return nil, err
	}
	id := s.ids[st.Ino]
	if id == 0 {
		id = uint64(len(s.nodes)) + 2
		s.ids[st.Ino], s.nodes[id] = id, &fuseNode{f: f}
	} else {
		_ = f.Close()
	}
	s.nodes[id].name = name
	attr, err := s.attr(id)
	if err != nil {
		return nil, err
	}
	entry := make([]byte, 40)
	binary.NativeEndian.PutUint64(entry[0:], id)
	s.putTTL(entry[16:], entry[24:], entry[32:], entry[36:])
	return append(entry, attr...), nil
}

// putTTL says for how long a name and what is known of a file may be
// remembered.
func (s *fileServer) putTTL(nameSeconds, attrSeconds, nameNanos, attrNanos []byte) {
	for _, b := range [][]byte{nameSeconds, attrSeconds} {
		binary.NativeEndian.PutUint64(b, uint64(s.ttl/time.Second))
	}
	for _, b := range [][]byte{nameNanos, attrNanos} {
		binary.NativeEndian.PutUint32(b, uint32(s.ttl%time.Second))
	}
}

func (s *fileServer) getattr(id uint64) ([]byte, error) {
	body := make([]byte, 16)
	binary.NativeEndian.PutUint64(body[0:], uint64(s.ttl/time.Second))
	binary.NativeEndian.PutUint32(body[8:], uint32(s.ttl%time.Second))
	attr, err := s.attr(id)
	return append(body, attr...), err
}

// attr returns struct fuse_attr.
func (s *fileServer) attr(id uint64) ([]byte, error) {
	if s.gone[id] {
		return nil, syscall.ESTALE
	}
	attr := make([]byte, 88)
	var st unix.Stat_t
	var err error
	if id == 1 {
		err = unix.Stat(s.back, &st)
	} else {
		err = unix.Fstat(int(s.nodes[id].f.Fd()), &st)
	}
	if err != nil {
		return nil, err
	}
	number := st.Ino
	if n := s.nodes[id]; n != nil && s.byName {
		number = uint64(crc32.ChecksumIEEE([]byte(n.name)))
	}
	for i, v := range []uint64{number, uint64(st.Size), uint64(st.Blocks), uint64(st.Atim.Sec), uint64(st.Mtim.Sec), uint64(st.Ctim.Sec)} {
		binary.NativeEndian.PutUint64(attr[8*i:], v)
	}
	for i, v := range []uint32{uint32(st.Atim.Nsec), uint32(st.Mtim.Nsec), uint32(st.Ctim.Nsec), st.Mode, uint32(st.Nlink), 0, 0, 0, 4096} {
		binary.NativeEndian.PutUint32(attr[48+4*i:], v)
	}
	return attr, nil
}

func (s *fileServer) read(id uint64, at int64, n int) ([]byte, error) {
	if s.gone[id] {
		return nil, syscall.ESTALE
	}
	b := make([]byte, n)
	n, _ = s.nodes[id].f.ReadAt(b, at)
	if from, ok := s.late[s.nodes[id].name]; ok && at+int64(n) > from {
		clear(b[max(from-at, 0):n])
	}
	return b[:n], nil
}

// readdir returns all names at once, or none after them.
func (s *fileServer) readdir(offset uint64) (body []byte, err error) {
	names, err := os.ReadDir(s.back)
	for i, e := range names {
		if uint64(i) < offset {
			continue
		}
		b := make([]byte, (24+len(e.Name())+7)/8*8)
		binary.NativeEndian.PutUint64(b[0:], uint64(i)+1000) // nobody looks at it
		binary.NativeEndian.PutUint64(b[8:], uint64(i)+1)
		binary.NativeEndian.PutUint32(b[16:], uint32(len(e.Name())))
		binary.NativeEndian.PutUint32(b[20:], unix.DT_REG)
		copy(b[24:], e.Name())
		if len(body)+len(b) > 4096 {
			break
		}
		body = append(body, b...)
	}
	return body, err
}
