package watch

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// platformHelper has the modes that only this system can show.
func platformHelper(verb, arg string) {
	switch verb {
	case "find":
		findHelper(arg)
	case "exe":
		exeHelper(arg)
	case "parent": // of a child, which it reaps if arg says so; the child's pid is its first line
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			panic(err)
		}
		fmt.Println(c.Process.Pid)
		if arg == "reap" {
			_ = c.Wait()
		}
		select {}
	case "leaderless": // its first thread ends, the others run on
		fmt.Println("ready")
		go func() { select {} }()
		time.Sleep(20 * time.Millisecond)
		if unix.Gettid() != unix.Getpid() {
			panic("not on the first thread")
		}
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	case "agent": // watches with a journal in the folder arg, see remoteRun
		remoteRun(arg)
	case "ruled": // the same of a rule, see remoteRules
		remoteRules(arg)
	case "watch": // watches a process and prints what it saw
		pid, _ := strconv.Atoi(arg)
		w := New(Options{Run: "h", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		go func() { panic(w.Run(context.Background())) }()
		_ = w.Watch(context.Background(), "m", dtc.Watching{Targets: []dtc.WatchTarget{{PID: pid}}}, func(s dtc.Sighting) error {
			return json.NewEncoder(os.Stdout).Encode(s)
		})
	}
}

// The mode leaderless has to run on the first thread, where only
// initialization is sure to be.
var _ = func() bool {
	if os.Getenv(helperEnv) == "leaderless" {
		runtime.LockOSThread()
	}
	return true
}()

func TestSignals(t *testing.T) {
	w := newWatcher(t)
	for _, sig := range []syscall.Signal{unix.SIGKILL, unix.SIGSEGV, unix.SIGUSR1} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			c := exec.Command("sleep", "1000")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			f := watchFor(t, w, t.Name(), pids(c.Process.Pid)...)
			f.is(t, c.Process.Pid, dtc.StateAlive)
			_ = c.Process.Signal(sig)
			_ = c.Wait()
			dead := f.is(t, c.Process.Pid, dtc.StateDead)
			if want := (dtc.Exit{Kind: dtc.ExitSignal, Number: int(sig)}); dead.Exit != want {
				t.Errorf("exit %+v, want %+v", dead.Exit, want)
			}
			if dead.Name != "sleep" {
				t.Errorf("name %q", dead.Name)
			}
		})
	}
}

// startParent starts a process that has a child, and returns the child's pid.
func startParent(t *testing.T, mode string) (parent *child, pid int) {
	t.Helper()
	parent = &child{Cmd: exec.Command(os.Args[0])}
	parent.Env = append(os.Environ(), helperEnv+"="+mode)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	parent.out = bufio.NewScanner(out)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid, err = strconv.Atoi(parent.line(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		parent.kill()
	})
	return parent, pid
}

func TestUnreapedZombieIsToldAtOnce(t *testing.T) {
	_, pid := startParent(t, "parent")
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(pid)...)
	f.is(t, pid, dtc.StateAlive)
	killed := time.Now()
	_ = unix.Kill(pid, unix.SIGTERM)
	dead := f.is(t, pid, dtc.StateDead)
	if took := time.Since(killed); took > 500*time.Millisecond {
		t.Errorf("told after %v", took)
	}
	if dead.Exit != (dtc.Exit{Kind: dtc.ExitSignal, Number: 15}) {
		t.Errorf("exit %+v", dead.Exit)
	}
	seen, err := proc.Look(pid)
	if err != nil || !seen.Zombie {
		t.Fatalf("the zombie is gone: %+v, %v", seen, err)
	}

	// To who watches it only now it is dead too, with its status; when
	// it ended, it is too late to say.
	g := watchFor(t, w, "later", pids(pid)...)
	if dead := g.is(t, pid, dtc.StateDead); dead.Exit.Number != 15 || dead.AgeMost < time.Since(killed) {
		t.Errorf("found dead as %+v", dead)
	}
	g.quiet(t)
	// And once it is recorded, it is no process any more.
	if err := w.Acknowledge(t.Context(), "m", "run1", dead.Number); err != nil {
		t.Error(err)
	}
	f.stop()
	f = watchFor(t, w, "m", pids(pid)...)
	f.is(t, pid, dtc.StateMissing)
}

func TestProcessOfAnotherParent(t *testing.T) {
	_, pid := startParent(t, "parent reap")
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(pid)...)
	f.is(t, pid, dtc.StateAlive)
	_ = unix.Kill(pid, unix.SIGKILL)
	if dead := f.is(t, pid, dtc.StateDead); dead.Exit != (dtc.Exit{Kind: dtc.ExitSignal, Number: 9}) {
		t.Errorf("exit %+v", dead.Exit)
	}
}

func TestLeaderThreadEnds(t *testing.T) {
	c := start(t, "leaderless")
	eventually(t, "the first thread ends", func() bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
		return err == nil && strings.Contains(string(data), ") Z ")
	})
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(c.pid)...)
	f.is(t, c.pid, dtc.StateAlive)
	f.quiet(t)
	c.kill()
	if dead := f.is(t, c.pid, dtc.StateDead); dead.Exit.Number != 9 {
		t.Errorf("exit %+v", dead.Exit)
	}
}

func TestThreadIsNoProcess(t *testing.T) {
	c := start(t, "exit 0")
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", c.pid))
	if err != nil || len(entries) < 2 {
		t.Fatalf("the helper has no second thread: %v", err)
	}
	tid, _ := strconv.Atoi(entries[len(entries)-1].Name())
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(tid)...)
	f.is(t, tid, dtc.StateMissing)
}

// reuse starts a process with a pid that was another's.
func reuse(t *testing.T, pid int) *exec.Cmd {
	t.Helper()
	for range 200 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Fatalf("the test needs root to choose a pid: %v", err)
		}
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if c.Process.Pid == pid {
			t.Cleanup(func() {
				_ = c.Process.Kill()
				_ = c.Wait()
			})
			return c
		}
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	t.Fatalf("no process got pid %d", pid)
	return nil
}

func TestPIDIsReused(t *testing.T) {
	old := start(t, "exit 0")
	id := identify(t, old.pid)
	time.Sleep(30 * time.Millisecond) // the start time has ticks of 10 ms
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(old.pid)...)
	f.is(t, old.pid, dtc.StateAlive)
	old.kill()
	c := reuse(t, old.pid)
	dead := f.is(t, old.pid, dtc.StateDead)
	if dead.Process != id {
		t.Errorf("dead is %+v, want %+v", dead.Process, id)
	}
	if seen, err := w.Check(t.Context(), "m", nil, nil); err != nil || len(seen) != 0 {
		t.Errorf("the newcomer is watched: %+v, %v", seen, err)
	}
	f.stop()

	// An agent that knows nothing: the known process is dead, the newcomer none of ours.
	other := newWatcher(t)
	f = watchFor(t, other, "m", dtc.WatchTarget{PID: old.pid, Known: id, KnownBoot: other.boot})
	if dead := f.is(t, old.pid, dtc.StateDead); dead.Process != id || dead.Exit.Kind != dtc.ExitUnknown {
		t.Errorf("told %+v", dead)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	f.quiet(t)
}

func TestMissingComesToBe(t *testing.T) {
	c := start(t, "exit 0")
	pid := c.pid
	c.kill()
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(pid)...)
	f.is(t, pid, dtc.StateMissing)
	n := reuse(t, pid)
	seen, err := w.Check(t.Context(), "m", nil, nil)
	if err != nil || len(seen) != 1 || seen[0].State != dtc.StateAlive || seen[0].Process != identify(t, pid) {
		t.Fatalf("Check = %+v, %v", seen, err)
	}
	_ = n.Process.Kill()
	_ = n.Wait()
	if dead := f.is(t, pid, dtc.StateDead); dead.Exit.Number != 9 {
		t.Errorf("exit %+v", dead.Exit)
	}
}

// TestOfAnotherUser watches as a user who may not inspect the process.
func TestOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "watch.test")
	if err := os.WriteFile(binary, data, 0o755); err != nil {
		t.Fatal(err)
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	watching := func(t *testing.T, pid int) *json.Decoder {
		t.Helper()
		c := exec.Command(binary)
		c.Env = append(os.Environ(), fmt.Sprintf("%s=watch %d", helperEnv, pid))
		c.Dir, c.SysProcAttr, c.Stderr = "/", nobody, os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = c.Process.Kill()
			_ = c.Wait()
		})
		return json.NewDecoder(out)
	}
	next := func(t *testing.T, d *json.Decoder, want dtc.State) (s dtc.Sighting) {
		t.Helper()
		if err := d.Decode(&s); err != nil || s.State != want {
			t.Fatalf("saw %+v, %v; want %s", s, err, want)
		}
		return s
	}
	t.Run("reaped", func(t *testing.T) {
		_, pid := startParent(t, "parent reap")
		d := watching(t, pid)
		next(t, d, dtc.StateAlive)
		_ = unix.Kill(pid, unix.SIGKILL)
		if dead := next(t, d, dtc.StateDead); dead.Exit != (dtc.Exit{Kind: dtc.ExitSignal, Number: 9}) {
			t.Errorf("exit %+v", dead.Exit)
		}
	})
	t.Run("zombie", func(t *testing.T) {
		_, pid := startParent(t, "parent")
		d := watching(t, pid)
		next(t, d, dtc.StateAlive)
		killed := time.Now()
		_ = unix.Kill(pid, unix.SIGKILL)
		dead := next(t, d, dtc.StateDead)
		if took := time.Since(killed); took > time.Second {
			t.Errorf("told after %v", took)
		}
		if dead.Exit.Kind != dtc.ExitUnknown {
			t.Errorf("exit %+v, which nobody can know", dead.Exit)
		}
	})
}

// herd starts n processes of one parent that reaps them.
func herd(tb testing.TB, n int) []int {
	tb.Helper()
	c := exec.Command("sh", "-c", `n=$1; while [ $n -gt 0 ]; do sleep 1000 & echo $!; n=$((n-1)); done; wait`, "herd", strconv.Itoa(n))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = unix.Kill(-c.Process.Pid, unix.SIGKILL)
		_ = c.Wait()
	})
	var list []int
	for lines := bufio.NewScanner(out); len(list) < n && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, pid)
	}
	if len(list) != n {
		tb.Fatalf("%d processes started of %d", len(list), n)
	}
	return list
}

func TestThousandsAtOnce(t *testing.T) {
	const all, dying = 2000, 200
	list := herd(t, all)
	descriptors := countDescriptors(t)
	w := newWatcher(t)
	began := time.Now()
	f := watchFor(t, w, "m", pids(list...)...)
	for _, pid := range list {
		f.is(t, pid, dtc.StateAlive)
	}
	t.Logf("%d watches started in %v", all, time.Since(began))

	for _, pid := range list[:dying] {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	seen := map[int]bool{}
	last := uint64(0)
	for range dying {
		s := f.next(t)
		if s.State != dtc.StateDead || seen[s.Process.PID] || !slices.Contains(list[:dying], s.Process.PID) || s.Number <= last {
			t.Fatalf("saw %+v after number %d", s, last)
		}
		if s.Exit != (dtc.Exit{Kind: dtc.ExitSignal, Number: 9}) {
			t.Errorf("exit of %d: %+v", s.Process.PID, s.Exit)
		}
		seen[s.Process.PID], last = true, s.Number
	}
	f.quiet(t)
	f.stop()

	// Not acknowledged: all of them again, in the same order, and nothing else.
	f = watchFor(t, w, "m")
	numbers := []uint64{}
	for range dying {
		s := f.next(t)
		if !seen[s.Process.PID] {
			t.Fatalf("told again %+v", s)
		}
		delete(seen, s.Process.PID)
		numbers = append(numbers, s.Number)
	}
	if !slices.IsSorted(numbers) {
		t.Error("told again in another order")
	}
	f.quiet(t)
	eventually(t, "the descriptors are closed", func() bool { return countDescriptors(t) <= descriptors+8 })
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestLatency is the time from kill(2) to the emitted sighting. The bound is
// far above what a quiet machine takes: what it guards against is polling.
func TestLatency(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testLatency(t, newWatcher(t)) })
	t.Run("journal", func(t *testing.T) { testLatency(t, startRun(t, t.TempDir(), "run1").Watcher) })
}

func testLatency(t *testing.T, w *Watcher) {
	t.Helper()
	const n = 200
	list := herd(t, n)
	killed := make(map[int]time.Time, n)
	var took []time.Duration
	now := make(chan time.Time, 1)
	go func() {
		_ = w.Watch(t.Context(), "m", dtc.Watching{Targets: pids(list...)}, func(s dtc.Sighting) error {
			if s.State == dtc.StateDead {
				now <- time.Now()
			}
			return nil
		})
	}()
	eventually(t, "all are watched", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.held) == n
	})
	for _, pid := range list {
		killed[pid] = time.Now()
		_ = unix.Kill(pid, unix.SIGKILL)
		took = append(took, (<-now).Sub(killed[pid]))
	}
	slices.Sort(took)
	p50, p99 := took[n/2], took[n*99/100-1]
	t.Logf("kill to emit: p50 %v, p99 %v, max %v", p50, p99, took[n-1])
	if p50 > 100*time.Millisecond {
		t.Errorf("p50 is %v", p50)
	}
}
