package watch

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"dtc"
	"dtc/internal/proc"
)

// memoryGroup makes a control group whose processes may use so much memory, in
// whichever hierarchy counts memory on this machine.
func memoryGroup(tb testing.TB, name string, limit int) (dir string) {
	tb.Helper()
	name = fmt.Sprintf("dtc-test-%d-%s", os.Getpid(), name)
	limits := map[string]int{"memory.limit_in_bytes": limit, "memory.swappiness": 0}
	root := "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(root, "memory.limit_in_bytes")); err != nil {
		root = "/sys/fs/cgroup"
		limits = map[string]int{"memory.max": limit, "memory.swap.max": 0}
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	dir = filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatalf("the test needs root to make a control group: %v", err)
	}
	tb.Cleanup(func() { removeMemoryGroup(tb, dir) })
	for file, value := range limits {
		err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(value)), 0)
		if err != nil && file != "memory.swap.max" { // that a kernel without swap does not have
			tb.Fatal(err)
		}
	}
	return dir
}

// removeMemoryGroup waits until the group is empty.
func removeMemoryGroup(tb testing.TB, dir string) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		err := os.Remove(dir)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Errorf("remove %s: %v", dir, err)
			return
		}
	}
}

// prey is a process in a control group: a sleeping one, that eats memory without
// end once it is told to.
type prey struct {
	*exec.Cmd
	in io.WriteCloser
}

// newPrey starts one, whose command line is no other's: of two that are alike the
// second could be taken for the one who comes after the first.
func newPrey(t *testing.T, group string, n int) *prey {
	t.Helper()
	p := &prey{Cmd: exec.Command("sh", "-c", "read now; exec tail -n $0 /dev/zero", strconv.Itoa(n))}
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		_ = p.Wait()
	})
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(p.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill kills it. Its zombie stays, by which every kernel tells how it ended.
func (p *prey) kill() { _ = p.Process.Kill() }

// eat has it eat until the kernel kills it.
func (p *prey) eat() { _, _ = io.WriteString(p.in, "now\n") }

var (
	killed = dtc.Exit{Kind: dtc.ExitSignal, Number: int(unix.SIGKILL)}
	outOf  = dtc.Exit{Kind: dtc.ExitSignal, Number: int(unix.SIGKILL), OOM: true}
)

// byCounters has a watcher that may not read the kernel's log.
func byCounters(w *Watcher) {
	w.oom.open = func() (*proc.KernelLog, error) { return nil, os.ErrPermission }
}

// TestOutOfMemory has the kernel kill processes, and kills others beside them.
func TestOutOfMemory(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*Watcher)
		precise bool // it is known who was killed, and not only in which group
	}{
		{"by the kernel's log", func(*Watcher) {}, true},
		{"by the counters", byCounters, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			group, quiet := memoryGroup(t, "full", 32<<20), memoryGroup(t, "quiet", 32<<20)
			victim, beside, apart := newPrey(t, group, 1), newPrey(t, group, 2), newPrey(t, quiet, 3)
			w := newWatcher(t, c.prepare)
			f := watchFor(t, w, "m", pids(victim.Process.Pid, beside.Process.Pid, apart.Process.Pid)...)
			for _, p := range []*prey{victim, beside, apart} {
				f.is(t, p.Process.Pid, dtc.StateAlive)
			}
			if c.precise {
				beside.kill()
				wantExit(t, f, beside.Process.Pid, killed)
			}
			victim.eat()
			dead := wantExit(t, f, victim.Process.Pid, outOf)
			if post := dead.PostMortem; post == nil || post.Command != "tail -n 1 /dev/zero" && !strings.HasPrefix(post.Command, "sh -c") {
				t.Errorf("post-mortem %+v", post)
			}
			apart.kill()
			wantExit(t, f, apart.Process.Pid, killed)
			if !c.precise {
				beside.kill() // the one kill was told
				wantExit(t, f, beside.Process.Pid, killed)
			}
		})
	}
}

func wantExit(t *testing.T, f *feed, pid int, want dtc.Exit) dtc.Sighting {
	t.Helper()
	dead := f.is(t, pid, dtc.StateDead)
	if dead.Exit != want {
		t.Errorf("process %d: exit %+v, want %+v", pid, dead.Exit, want)
	}
	return dead
}

// TestManyOutOfMemory has two at a time killed, so that the log has more than
// one line to be read at an end.
func TestManyOutOfMemory(t *testing.T) {
	const n = 6
	group := memoryGroup(t, "many", 24<<20)
	var all []*prey
	var targets []int
	for i := range n {
		all = append(all, newPrey(t, group, i+1))
		targets = append(targets, all[len(all)-1].Process.Pid)
	}
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(targets...)...)
	for _, pid := range targets {
		f.is(t, pid, dtc.StateAlive)
	}
	for _, p := range all {
		p.eat()
	}
	for range n {
		if dead := f.next(t); dead.State != dtc.StateDead || dead.Exit != outOf {
			t.Errorf("told %+v", dead)
		}
	}
}

func TestKernelLogIsClosedWithTheLastProcess(t *testing.T) {
	w := newWatcher(t, func(w *Watcher) { w.sampler.fewEach = time.Millisecond })
	open := func() bool {
		w.oom.mu.Lock()
		defer w.oom.mu.Unlock()
		return w.oom.log != nil
	}
	if open() {
		t.Error("the kernel's log is open while nothing is watched")
	}
	for _, asker := range []string{"a", "b"} {
		c := start(t, "exit 0")
		f := watchFor(t, w, asker, pids(c.pid)...)
		f.is(t, c.pid, dtc.StateAlive)
		if !open() {
			t.Error("the kernel's log is not open")
		}
		c.kill()
		wantExit(t, f, c.pid, killed)
		eventually(t, "the log is closed", func() bool { return !open() })
		f.stop()
	}
}

func TestVictims(t *testing.T) {
	o := newOOMWatch(slog.New(slog.DiscardHandler))
	at := func(pid int, began time.Duration) *process {
		return &process{id: dtc.ProcessID{PID: pid}, began: began}
	}
	const hour = time.Hour
	o.note(7, hour)
	o.note(7, hour) // a group is killed with the first victim once more
	o.note(8, hour)
	for _, c := range []struct {
		what string
		p    *process
		end  time.Duration
		want bool
	}{
		{"another pid", at(9, 0), hour, false},
		{"it started later", at(7, hour+time.Millisecond), hour + time.Second, false},
		{"the log is too old", at(7, 0), hour + victimFor + 1, false},
		{"itself", at(7, hour-1), hour + victimFor, true},
		{"told before", at(7, hour-1), hour + victimFor, false},
		{"the other", at(8, hour), hour, true},
	} {
		if got := o.take(c.p, c.end); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	for pid := range 3 * maxVictims {
		o.note(pid, 2*hour)
	}
	if len(o.victims) != maxVictims || cap(o.victims) > 2*maxVictims || !o.take(at(3*maxVictims-1, 0), 2*hour) {
		t.Errorf("%d victims are remembered", len(o.victims))
	}
	o.note(1, 3*hour)
	if len(o.victims) != 1 {
		t.Errorf("%d victims are remembered after an hour", len(o.victims))
	}
}

// TestKillCounter is the property that as many ends are told to be of a kill as
// there were kills while they were fresh, and none without one.
func TestKillCounter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory.events")
	rapid.Check(t, func(t *rapid.T) {
		var said, told uint64
		say := func() {
			if err := os.WriteFile(file, fmt.Appendf(nil, "oom 9\noom_kill %d\n", said), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		said = rapid.Uint64Range(0, 3).Draw(t, "before")
		first := said
		say()
		c := &killCounter{file: file, settled: said, count: said}
		var clock, grown time.Duration
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			clock += time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				said, grown = said+1, clock
				say()
				c.read(clock) // the refresh, within a round
			case 1:
				c.read(clock)
			default:
				fresh := said > first && clock-grown <= settlesIn
				if c.takeOne(clock) {
					told++
					if !fresh {
						t.Fatalf("told at %v of a kill at %v", clock, grown)
					}
				}
			}
			if told > said-first {
				t.Fatalf("told %d ends of %d kills", told, said-first)
			}
		}
	})
}

func TestCountersAreBounded(t *testing.T) {
	o := newOOMWatch(slog.New(slog.DiscardHandler))
	o.counters = map[string]*killCounter{}
	dir := t.TempDir()
	file := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)) }
	add := func(i int) bool {
		return o.counter(file(i)) != nil
	}
	for i := range maxGroups + 1 {
		if err := os.WriteFile(file(i), []byte("oom_kill 0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := add(i); got != (i < maxGroups) {
			t.Fatalf("counter %d: %v", i, got)
		}
	}
	if err := os.Remove(file(3)); err != nil {
		t.Fatal(err)
	}
	if !add(maxGroups) || add(3) || len(o.counters) != maxGroups {
		t.Errorf("after one is gone there are %d", len(o.counters))
	}
}

// TestNobodyTellsOfKills has neither log nor groups.
func TestNobodyTellsOfKills(t *testing.T) {
	o := newOOMWatch(slog.New(slog.DiscardHandler))
	o.open = func() (*proc.KernelLog, error) { return nil, errors.New("no") }
	o.ready = true
	p := &process{id: dtc.ProcessID{PID: os.Getpid()}}
	o.attach(p)
	o.refresh()
	if o.killed(p, killed, now()) || o.killed(p, dtc.Exit{}, now()) {
		t.Error("told out of memory")
	}
	o.rest()
}
