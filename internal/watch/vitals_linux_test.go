package watch

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// often has a watcher whose samples are not waited for.
func often(w *Watcher) { w.sampler.fewEach = time.Millisecond }

// sampled waits until a watched process was looked at again.
func sampled(t *testing.T, w *Watcher, pid int, enough func(v vitals) bool) {
	t.Helper()
	id := identify(t, pid)
	eventually(t, "a sample", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		p := w.held[id]
		return p != nil && enough(p.vitals)
	})
}

func TestPostMortem(t *testing.T) {
	w := newWatcher(t, often)
	c := exec.Command("sh", "-c", "n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done; kill -TERM $$", "busy")
	c.Stdin = nil
	for range 20 {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		c.ExtraFiles = append(c.ExtraFiles, null)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	pid := c.Process.Pid
	f := watchFor(t, w, "m", pids(pid)...)
	f.is(t, pid, dtc.StateAlive)
	dead := f.is(t, pid, dtc.StateDead)
	_ = c.Wait()
	spent := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	post := dead.PostMortem
	if post == nil {
		t.Fatal("there is no post-mortem")
	}
	// The zombie stood until Wait: its time is exact, but for the ticks.
	if d := spent - post.CPU; post.CPU <= 0 || d < -20*time.Millisecond || d > 20*time.Millisecond {
		t.Errorf("CPU %v, the system says %v", post.CPU, spent)
	}
	if post.Threads != 1 || post.RSSBytes < 100<<10 || post.Descriptors < 23 || post.Sampled < 0 || post.Sampled > 10*time.Second {
		t.Errorf("post-mortem %+v", post)
	}
	me, err := proc.Look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if post.PPID != os.Getpid() || post.Parent != me.Name {
		t.Errorf("parent %d %q, want %d %q", post.PPID, post.Parent, os.Getpid(), me.Name)
	}
	want := "sh -c n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done; kill -TERM $$ busy"
	if post.Command != want {
		t.Errorf("command %q", post.Command)
	}
}

// TestPostMortemOfTheReaped is of a process that nobody can look at any more
// when its end is told: what is known is of the last look.
func TestPostMortemOfTheReaped(t *testing.T) {
	w := newWatcher(t, often)
	_, pid := startParent(t, "parent reap")
	f := watchFor(t, w, "m", pids(pid)...)
	f.is(t, pid, dtc.StateAlive)
	sampled(t, w, pid, func(v vitals) bool { return v.command.String() == "sleep 1000" }) // after its exec
	_ = unix.Kill(pid, unix.SIGKILL)
	dead := f.is(t, pid, dtc.StateDead)
	if dead.Name != "sleep" { // of the program that ended, not of the one that it was
		t.Errorf("name %q", dead.Name)
	}
	post := dead.PostMortem
	if post == nil || post.Command != "sleep 1000" || post.Sampled < 0 || post.CPU < 0 || post.RSSBytes <= 0 || post.Threads != 1 {
		t.Errorf("post-mortem %+v", post)
	}
}

func TestExecChangesTheCommand(t *testing.T) {
	w := newWatcher(t, often)
	c := exec.Command("sh", "-c", "read now; exec sleep 1000")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pid := c.Process.Pid
	f := watchFor(t, w, "m", pids(pid)...)
	f.is(t, pid, dtc.StateAlive)
	_, _ = fmt.Fprintln(in, "now")
	sampled(t, w, pid, func(v vitals) bool { return v.command.String() == "sleep 1000" })
	_ = c.Process.Kill()
	_ = c.Wait()
	if post := f.is(t, pid, dtc.StateDead).PostMortem; post == nil || post.Command != "sleep 1000" {
		t.Errorf("post-mortem %+v", post)
	}
}

// TestCore is told with the zombie and without it.
func TestCore(t *testing.T) {
	const script = "ulimit -c unlimited; read now; kill -SEGV $$"
	want := dtc.Exit{Kind: dtc.ExitSignal, Number: int(unix.SIGSEGV), Core: true}
	for _, zombie := range []bool{false, true} {
		w := newWatcher(t)
		c := exec.Command("sh", "-c", script)
		c.Dir = t.TempDir()
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if !zombie {
			go func() { _ = c.Wait() }()
		}
		f := watchFor(t, w, "m", pids(c.Process.Pid)...)
		f.is(t, c.Process.Pid, dtc.StateAlive)
		_, _ = fmt.Fprintln(in, "now")
		wantExit(t, f, c.Process.Pid, want)
		if zombie {
			_ = c.Wait()
		}
	}
}

// TestFirstLooksAreCheap watches many at once.
func TestFirstLooksAreCheap(t *testing.T) {
	const n = 1000
	list := herd(t, n)
	w := newWatcher(t)
	seen := make([]proc.Seen, n)
	for i, pid := range list {
		var err error
		if seen[i], err = proc.Look(pid); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for i := range seen {
		w.firstLook(&process{id: seen[i].ID}, seen[i])
	}
	took := time.Since(began)
	t.Logf("%v for each of %d first looks", took/n, n)
	if took > 10*time.Second {
		t.Errorf("%d first looks took %v", n, took)
	}
}

// BenchmarkSample is one look of the sampler.
func BenchmarkSample(b *testing.B) {
	seen, err := proc.Look(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	w := New(Options{})
	w.oom.ready = true
	p := &process{id: seen.ID}
	b.ReportAllocs()
	for b.Loop() {
		w.sample(p, maxCounted)
	}
}
