package proc

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/bounds"
)

func TestUsageOfOurselves(t *testing.T) {
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
		runtime.Gosched() // so that there is a tick of it
	}
	seen, err := Measure(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	spent := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	u := seen.Usage
	if u.Ending || u.PPID != os.Getppid() || u.Threads < 2 || u.CPU <= 0 || u.CPU > spent+20*time.Millisecond {
		t.Errorf("usage %+v; we have spent %v", u, spent)
	}
	const slack = 4 << 20 // the kernel counts pages for each processor, and adds them up now and then
	if peak := used.Maxrss << 10; u.RSSBytes < 1<<20 || u.RSSBytes > peak+slack {
		t.Errorf("RSS %d, at most %d", u.RSSBytes, peak)
	}
}

func TestUsageOfAZombie(t *testing.T) {
	pid := ended(t, "n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done")
	seen, err := Measure(pid)
	if err != nil || !seen.Zombie || !seen.Usage.Ending || seen.Usage.CPU < 10*time.Millisecond || seen.Usage.RSSBytes != 0 || seen.Usage.PPID != os.Getpid() {
		t.Errorf("seen %+v, %v", seen, err)
	}
}

func TestCountDescriptors(t *testing.T) {
	c := exec.Command("sleep", "1000")
	for range 40 {
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
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	dir := Default.path(strconv.Itoa(c.Process.Pid), "fd")
	n := CountDescriptors(c.Process.Pid, 1000)
	for deadline := time.Now().Add(30 * time.Second); n < 3+40 || n != countEach(dir, 1000); time.Sleep(time.Millisecond) { // exec closes some
		if n = CountDescriptors(c.Process.Pid, 1000); time.Now().After(deadline) {
			t.Fatalf("%d descriptors, and %d are listed", n, countEach(dir, 1000))
		}
	}
	if fast := CountDescriptors(c.Process.Pid, 0); fast != n && fast != dtc.Absent { // Absent before Linux 6.2
		t.Errorf("the kernel counts %d descriptors, and %d are listed", fast, n)
	}
	if n := CountDescriptors(math.MaxInt32, 1000); n != dtc.Absent {
		t.Errorf("nobody has %d descriptors", n)
	}
	// A kernel that does not count them has directories of the size 0, as a
	// tmpfs has none: count them in one.
	files := map[string]string{"8/cwd": ""}
	for i := range 25 {
		files["7/fd/"+string(rune('a'+i))] = ""
	}
	tree := testTree(t, files)
	for _, c := range []struct {
		pid         string
		limit, want int
	}{{"7", 25, 25}, {"7", 24, dtc.Absent}, {"7", 0, dtc.Absent}, {"8", 25, dtc.Absent}} {
		if n := countEach(tree.path(c.pid, "fd"), c.limit); n != c.want {
			t.Errorf("%+v: %d entries", c, n)
		}
	}
}

// named starts a process with the arguments that cannot be run by a name.
func named(t *testing.T, args ...string) int {
	t.Helper()
	c := exec.Command("sleep")
	c.Args = args
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c.Process.Pid
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		args  []string
		limit int
		want  string
	}{
		{[]string{"sleep", "1000"}, 512, "sleep 1000"},
		{[]string{"a\nb\x1b[2J\xff", "1000"}, 512, "a b?[2J? 1000"},
		{[]string{"sleep", "1000"}, 7, "sleep 1"},
		{[]string{"größe", "1000"}, 4, "grö"},
		{[]string{"größe", "1000"}, 3, "gr"},
	} {
		pid := named(t, c.args...)
		var got string
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) { // until the exec
			var err error
			if got, err = Command(pid, c.limit); err != nil {
				t.Fatal(err)
			}
			if got == c.want || time.Now().After(deadline) {
				break
			}
		}
		if got != c.want {
			t.Errorf("%q at most %d: %q, want %q", c.args, c.limit, got, c.want)
		}
	}
	if got, err := Command(ended(t, "exit 0"), 512); err != nil || got != "[sh]" {
		t.Errorf("a zombie's: %q, %v", got, err)
	}
	if got, err := Command(math.MaxInt32, 512); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody's: %q, %v", got, err)
	}
}

func FuzzCommand(f *testing.F) {
	f.Add([]byte("a\x00b\xffc\x00"), uint8(4))
	f.Fuzz(func(t *testing.T, line []byte, limit uint8) {
		defer bounds.Alloc(t, len(line))()
		got := cutText(string(AppendArguments(nil, bytes.Clone(line))), int(limit))
		if len(got) > int(limit) || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\x00\x1b") {
			t.Fatalf("%q at most %d: %q", line, limit, got)
		}
	})
}

// TestCoreDump has the kernel write a core dump, and one process that may not.
func TestCoreDump(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for script, want := range map[string]dtc.Exit{
		"ulimit -c unlimited; kill -SEGV $$": {Kind: dtc.ExitSignal, Number: int(unix.SIGSEGV), Core: true},
		"ulimit -c 0; kill -SEGV $$":         {Kind: dtc.ExitSignal, Number: int(unix.SIGSEGV)},
		"ulimit -c unlimited; kill -9 $$":    {Kind: dtc.ExitSignal, Number: int(unix.SIGKILL)},
	} {
		c := exec.CommandContext(ctx, "sh", "-c", script)
		c.Dir = t.TempDir()
		_ = c.Run()
		status, ok := c.ProcessState.Sys().(syscall.WaitStatus)
		if !ok {
			t.Fatal("no wait status")
		}
		if exit := WaitStatus(int(status)); exit != want {
			t.Errorf("%s: %+v, want %+v", script, exit, want)
		}
	}
}
