package watch

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

func TestDescriptorsRunOut(t *testing.T) {
	a, b := start(t, "exit 0"), start(t, "exit 5")
	w := newWatcher(t)
	w.waiter.budget = 1
	f := watchFor(t, w, "m", pids(a.pid, b.pid)...)
	f.is(t, a.pid, dtc.StateAlive)
	f.is(t, b.pid, dtc.StateAlive)
	b.end() // polled
	f.is(t, b.pid, dtc.StateDead)
	a.kill()
	if dead := f.is(t, a.pid, dtc.StateDead); dead.Exit.Number != 9 {
		t.Errorf("exit %+v", dead.Exit)
	}
}

// TestOutOfDescriptors shows that a process which cannot be looked at is not
// taken for dead: neither a new one whose descriptor was the last that we might
// open, nor one that the asker knows.
func TestOutOfDescriptors(t *testing.T) {
	for left, known := range map[int]bool{1: false, 0: true} {
		c := start(t, "exit 5")
		target := dtc.WatchTarget{PID: c.pid}
		_, name, err := proc.Identify(c.pid)
		if err != nil {
			t.Fatal(err)
		}
		w := newWatcher(t)
		if known {
			target.Known, target.KnownBoot = identify(t, c.pid), w.boot
		}
		restore := leaveDescriptors(t, left)
		f := watchFor(t, w, "m", target)
		f.is(t, c.pid, dtc.StateAlive)
		f.quiet(t)
		restore()
		c.end()
		if dead := f.is(t, c.pid, dtc.StateDead); dead.Name != "" && dead.Name != name || dead.Lived < 100*time.Millisecond {
			t.Errorf("told %+v", dead)
		}
	}
}

// leaveDescriptors lets this process open so many descriptors more, until
// restore is called.
func leaveDescriptors(t *testing.T, n int) (restore func()) {
	t.Helper()
	free, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0) // the kernel gives the lowest
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(free)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	set := func(cur uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cur, Max: limit.Max}); err != nil {
			t.Error(err)
		}
	}
	set(uint64(free + n))
	t.Cleanup(func() { set(limit.Cur) })
	return func() { set(limit.Cur) }
}
