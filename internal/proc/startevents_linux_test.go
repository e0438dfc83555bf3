package proc

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc/internal/bounds"
)

// collected are the events of a subscription.
type collected struct {
	mu   sync.Mutex
	list []StartEvent
	lost int
}

func (c *collected) has(e StartEvent) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.list, e)
}

func (c *collected) waitFor(tb testing.TB, e StartEvent) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !c.has(e); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("no event %+v", e)
		}
	}
}

// collect subscribes until the test ends.
func collect(tb testing.TB) *collected {
	tb.Helper()
	events, err := Default.StartEvents()
	if err != nil {
		tb.Fatal(err)
	}
	c := new(collected)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			err := events.Next(func(e StartEvent) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.list = append(c.list, e)
			})
			switch {
			case errors.Is(err, ErrEventsLost):
				c.mu.Lock()
				c.lost++
				c.mu.Unlock()
			case errors.Is(err, os.ErrClosed):
				return
			case err != nil:
				tb.Errorf("Next: %v", err)
				return
			}
		}
	})
	tb.Cleanup(func() {
		if err := events.Close(); err != nil {
			tb.Error(err)
		}
		wg.Wait()
	})
	return c
}

func TestStartEvents(t *testing.T) {
	c := collect(t)
	cmd := exec.Command("/bin/sh", "-c", "exec /bin/sleep 0.01")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	for _, kind := range []StartKind{Forked, ChangedUser, Executed} {
		c.waitFor(t, StartEvent{pid, kind})
	}
}

// TestThreadsAndEndsAreNoEvents has threads start and processes end, and then
// waits for a start that came later.
func TestThreadsAndEndsAreNoEvents(t *testing.T) {
	c := collect(t)
	tids := make(chan int)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			runtime.LockOSThread() // and ends with the goroutine
			tids <- unix.Gettid()
		})
	}
	threads := map[int]bool{}
	for range 20 {
		if tid := <-tids; tid != os.Getpid() {
			threads[tid] = true
		}
	}
	wg.Wait()
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	c.waitFor(t, StartEvent{cmd.Process.Pid, Executed})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.list {
		if threads[e.PID] {
			t.Errorf("event %+v of a thread", e)
		}
	}
}

// TestKernelFiltersEvents listens without our own filter: the kernel's leaves
// out the ends, from 6.6 on.
func TestKernelFiltersEvents(t *testing.T) {
	e, err := Default.StartEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if err := control(e.socket, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) }); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := exec.Command("/bin/true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[uint32]int{}
	for {
		msg, err := e.receive()
		if err != nil {
			t.Fatal(err)
		}
		if msg == nil {
			break
		}
		kinds[binary.NativeEndian.Uint32(msg[eventWhat:])]++
	}
	if kinds[whatFork] < 5 || kinds[whatExec] < 5 {
		t.Errorf("events %v", kinds)
	}
	delete(kinds, whatFork)
	delete(kinds, whatExec)
	delete(kinds, whatUser)
	if len(kinds) > 0 {
		t.Errorf("more events %v", kinds)
	}
}

func TestStartEventsAreLost(t *testing.T) {
	e, err := Default.StartEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if err := control(e.socket, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0) }); err != nil {
		t.Fatal(err)
	}
	for range 10 { // two events each, of some hundred bytes
		if err := exec.Command("/bin/true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	err = e.Next(func(StartEvent) { got++ })
	if !errors.Is(err, ErrEventsLost) {
		t.Errorf("%v after %d events", err, got)
	}
	if err := e.Next(func(StartEvent) { got++ }); err != nil || got == 0 || got >= 20 {
		t.Errorf("%d events are left: %v", got, err)
	}
}

func TestNoStartEventsElsewhere(t *testing.T) {
	if _, err := FS(t.TempDir()).StartEvents(); err == nil {
		t.Error("events of a folder")
	}
}

func TestCloseEndsNext(t *testing.T) {
	e, err := Default.StartEvents()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for err == nil {
			err = e.Next(func(StartEvent) {})
		}
	})
	time.Sleep(10 * time.Millisecond)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
}

func FuzzStartEvents(f *testing.F) {
	f.Add(make([]byte, eventFork))
	for _, what := range []uint32{whatAnswer, whatFork, whatExec, whatUser, 1 << 31} {
		msg := make([]byte, eventFork+8)
		binary.NativeEndian.PutUint32(msg[nlHeader:], connectorProcess)
		binary.NativeEndian.PutUint32(msg[connectorAck:], 1)
		binary.NativeEndian.PutUint32(msg[eventWhat:], what)
		for at := eventData; at < len(msg); at += 4 {
			binary.NativeEndian.PutUint32(msg[at:], 4711)
		}
		f.Add(msg)
		f.Add(msg[:eventSmallest])
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		defer bounds.Alloc(t, len(msg))()
		if e, ok := parseStart(msg); ok && e.PID <= 0 {
			t.Errorf("event %+v", e)
		}
		answerTo(msg, 0)
	})
}
