package status

import (
	"encoding/binary"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fileServer answers what is asked about the one file of a fuseServer's file
// system, "a file", until it falls silent. Nothing that it says may be taken as
// known any longer: each look at the file is a question.
type fileServer struct {
	*fuseServer

	silent  atomic.Bool
	unknown atomic.Int64 // questions that it does not know
}

// serveFile answers until it is told to fall silent.
func (s *fileServer) serveFile() {
	s.served.Go(func() {
		request := make([]byte, 1<<17)
		for {
			n, err := s.dev.Read(request)
			if err != nil {
				return
			}
			if !s.silent.Load() {
				s.answerFile(request[:n])
			}
		}
	})
}

func (s *fileServer) answerFile(request []byte) {
	const lookup, forget, getattr, open, read, statfs, release, flush, opendir, interrupt = 1, 2, 3, 14, 15, 17, 18, 25, 27, 36
	const root, file, socket, size = 1, 2, 3, 12345
	attr := func(node uint64) []byte {
		var b [88]byte // struct fuse_attr
		binary.NativeEndian.PutUint64(b[0:], node)
		binary.NativeEndian.PutUint32(b[64:], 1) // links
		switch node {
		case root:
			binary.NativeEndian.PutUint32(b[60:], unix.S_IFDIR|0o755)
		case socket:
			binary.NativeEndian.PutUint32(b[60:], unix.S_IFSOCK|0o755)
		default:
			binary.NativeEndian.PutUint64(b[8:], size)
			binary.NativeEndian.PutUint32(b[60:], unix.S_IFREG|0o755)
		}
		return b[:]
	}
	node := binary.NativeEndian.Uint64(request[16:])
	switch binary.NativeEndian.Uint32(request[4:]) {
	case lookup:
		name, _, _ := strings.Cut(string(request[40:]), "\x00")
		found, ok := map[string]uint64{"a file": file, "a socket": socket}[name]
		if !ok {
			s.reply(request, unix.ENOENT, nil)
			return
		}
		entry := make([]byte, 40, 128) // node, generation, no validity
		binary.NativeEndian.PutUint64(entry, found)
		s.reply(request, 0, append(entry, attr(found)...))
	case getattr:
		s.reply(request, 0, append(make([]byte, 16), attr(node)...))
	case open, opendir:
		s.reply(request, 0, make([]byte, 16))
	case read:
		offset, want := binary.NativeEndian.Uint64(request[48:]), uint64(binary.NativeEndian.Uint32(request[56:]))
		s.reply(request, 0, make([]byte, min(want, size-min(offset, size))))
	case release, flush:
		s.reply(request, 0, nil)
	case interrupt, forget:
	default:
		s.unknown.Add(1)
		s.reply(request, unix.ENOSYS, nil)
	}
}

// A socket that is a file is shown as lsof does, without a question to its
// server: a silent one would make the process unreadable.
func TestSocketOfAFileServer(t *testing.T) {
	dir := folder(t, t.TempDir(), "served")
	s := &fileServer{fuseServer: mountFUSE(t, "somewhere:/x", "fuse.test", dir, ",allow_other,default_permissions")}
	s.serveFile()
	fd, err := unix.Open(dir+"/a socket", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	before := s.unknown.Load()
	got := strings.Join(ourFiles(New(Options{}), t.Errorf)[os.Getpid()], "\n")
	if asked := s.unknown.Load() - before; asked > 0 || !strings.Contains(got, "\t3\tcan't identify protocol") {
		t.Errorf("%d questions, and it is shown so:\n%s", asked, got)
	}
}

// A process has a file of a file server open, in its memory and as its folder.
// As long as the server answers we say what lsof says. When it falls silent lsof
// hangs; our answer comes, and is the same.
func TestOpenFilesOfAHungServer(t *testing.T) {
	dir := folder(t, t.TempDir(), "served")
	s := &fileServer{fuseServer: mountFUSE(t, "somewhere:/x", "fuse.test", dir, ",allow_other,default_permissions")}
	s.serveFile()
	pid := helper(t, "files elsewhere", func(c *exec.Cmd) { c.Dir = dir })
	// The process cannot end before the file system has.
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH|unix.MNT_FORCE)
		_ = s.dev.Close()
	})
	c := New(Options{})
	agreeWithLsof(t, map[int]string{pid: "on a file server"}, func() files { return lsof(t, nil) }, func() files { return ourFiles(c, t.Errorf) })
	want := ourFiles(c, t.Errorf)[pid]
	if got := strings.Join(want, "\n"); strings.Count(got, "12345") != 2 || !strings.Contains(got, "mem\tREG") {
		t.Fatalf("the file is not shown:\n%s", got)
	}

	s.silent.Store(true)
	begun := time.Now()
	if got := ourFiles(c, t.Errorf)[pid]; !slices.Equal(got, want) {
		t.Errorf("of a silent server:\n%s", diff(got, want))
	}
	t.Logf("our answer took %v", time.Since(begun))

	// Who may not ask about mappings is told so.
	others := toldFiles(t, func(c *exec.Cmd) { c.Env = append(c.Env, "DTC_STATUS_UID=nobody") })
	if got := strings.Join(others[pid], "\n"); !strings.Contains(got, "cwd\tunknown\t\t\t\t/proc/"+strconv.Itoa(pid)+"/cwd (readlink: Permission denied)") {
		t.Errorf("nobody is told:\n%s", got)
	}

	// Last, as nothing but the end of the file system is sure to end it: a
	// question that the server has read cannot be killed.
	theirs := exec.CommandContext(t.Context(), "lsof", "-n", "-P", "-p", strconv.Itoa(pid))
	if err := theirs.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- theirs.Wait() }()
	select {
	case err := <-ended:
		t.Errorf("lsof does not hang (%v): this test is of no use", err)
		return
	case <-time.After(time.Second):
	}
	_ = theirs.Process.Kill()
	_ = s.dev.Close()
	<-ended
}
