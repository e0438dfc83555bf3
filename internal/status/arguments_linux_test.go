package status

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dtc"
)

// writeTitle writes over the arguments of this program, as servers do to tell
// what they are at. The runtime's strings are the memory that the kernel reads.
func writeTitle(title string) {
	last := os.Args[len(os.Args)-1]
	first := unsafe.StringData(os.Args[0])
	room := uintptr(unsafe.Pointer(unsafe.StringData(last))) + uintptr(len(last)) + 1 - uintptr(unsafe.Pointer(first))
	memory := unsafe.Slice(first, room)
	for i := range memory {
		memory[i] = ' '
	}
	copy(memory, title)
}

// memoryMap is struct prctl_mm_map of linux/prctl.h.
type memoryMap struct {
	startCode, endCode, startData, endData, startBrk, brk, startStack uintptr

	argStart, argEnd, envStart, envEnd uintptr

	auxv     uintptr
	auxvSize uint32
	exe      int32
}

// dropArguments tells the kernel that this program has no arguments. See
// PR_SET_MM_MAP of prctl(2).
func dropArguments() {
	stat := must(os.ReadFile("/proc/self/stat"))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	field := func(n int) uintptr { return uintptr(must(strconv.ParseUint(fields[n-3], 10, 64))) }
	brk, _, _ := unix.Syscall(unix.SYS_BRK, 0, 0, 0)
	m := memoryMap{
		startCode: field(26), endCode: field(27), startStack: field(28), startData: field(45), endData: field(46), startBrk: field(47), brk: brk,
		argStart: field(48), argEnd: field(48), envStart: field(50), envEnd: field(51), exe: -1,
	}
	must(0, unix.Prctl(unix.PR_SET_MM, unix.PR_SET_MM_MAP, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m), 0))
}

// holdFile maps the file "blocked" of the current folder, and then changes its
// memory again and again.
func holdFile() {
	fd := must(unix.Open("blocked", unix.O_RDONLY, 0))
	must(0, unix.Fstat(fd, new(unix.Stat_t))) // asks for its size
	must(unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED))
	go func() {
		for {
			must(0, unix.Munmap(must(unix.Mmap(-1, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS))))
			time.Sleep(5 * time.Millisecond)
		}
	}()
}

// serveNothing answers for a file system that is one file, but never what is in
// it.
func (s *fuseServer) serveNothing() {
	const getattr, open, read, interrupt, forget = 3, 14, 15, 36, 2
	s.served.Go(func() {
		var request [1 << 17]byte
		for {
			if _, err := s.dev.Read(request[:]); err != nil {
				return
			}
			switch binary.NativeEndian.Uint32(request[4:]) {
			case getattr:
				var attr [104]byte
				binary.NativeEndian.PutUint64(attr[16:], 1)                  // inode
				binary.NativeEndian.PutUint64(attr[24:], 4096)               // size
				binary.NativeEndian.PutUint32(attr[76:], unix.S_IFREG|0o644) // mode
				binary.NativeEndian.PutUint32(attr[80:], 1)                  // links
				s.reply(request[:], 0, attr[:])
			case open:
				s.reply(request[:], 0, make([]byte, 16))
			case read, interrupt, forget:
			default:
				s.reply(request[:], unix.ENOSYS, nil)
			}
		}
	})
}

// blocked starts a process whose arguments nobody can read: somebody waits for a
// page of its memory that a dead file server has, it waits behind that with a
// change of its memory, and whoever comes after waits behind both.
func blocked(t *testing.T) (pid int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "blocked")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mountFUSE(t, "dead", "fuse", file, ",rootmode=100644").serveNothing()
	pid = helper(t, "blocked", func(cmd *exec.Cmd) { cmd.Dir = dir })
	proc := "/proc/" + strconv.Itoa(pid)
	maps, err := os.ReadFile(proc + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	var at int64
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, file) {
			from, _, _ := strings.Cut(line, "-")
			at, _ = strconv.ParseInt(from, 16, 64)
		}
	}
	memory, err := os.Open(proc + "/mem")
	if err != nil || at == 0 {
		t.Fatal(at, err)
	}
	var waits sync.WaitGroup
	waits.Go(func() { _, _ = memory.ReadAt(make([]byte, 1), at) })
	t.Cleanup(func() {
		_ = unix.Unmount(file, unix.MNT_FORCE) // fails what it waits for
		waits.Wait()
		_ = memory.Close()
	})
	eventually(t, "the process to be blocked", func() bool {
		tasks, _ := filepath.Glob(proc + "/task/*/stat")
		return slices.ContainsFunc(tasks, func(path string) bool {
			data, _ := os.ReadFile(path)
			return bytes.Contains(data, []byte(") D "))
		})
	})
	return pid
}

// TestBlockedArguments has a process whose command line blocks who reads it. It
// must not block the answer, nor those after it.
func TestBlockedArguments(t *testing.T) {
	before := sleeper(t, nil)
	pid := blocked(t)
	after := sleeper(t, nil)
	c := New(Options{})
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		found := make(map[int]string)
		var notes []string
		err := c.Get(ctx, dtc.Query{Status: dtc.StatusProcess}, func(r *dtc.Report) error {
			for _, p := range r.Process {
				found[p.PID] = strings.Clone(p.Command)
			}
			notes = append(notes, r.Notes...)
			return nil
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(found[pid], "[") || found[before] != "/bin/sleep 1000" || found[after] != "/bin/sleep 1000" {
			t.Errorf("got %q, %q and %q", found[before], found[pid], found[after])
		}
		if i == 0 && (len(notes) != 1 || notes[0] != unreadableNote(pid)) {
			t.Errorf("notes %q", notes)
		}
	}
	c.host.stuck.mu.Lock()
	if n := len(c.host.stuck.readers); n != 1 {
		t.Errorf("%d processes are marked", n)
	}
	c.host.stuck.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.host.stuck.sweepers.Wait()
	if len(c.host.stuck.readers) != 0 {
		t.Errorf("marks %v after its end", c.host.stuck.readers)
	}
}
