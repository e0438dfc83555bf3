package proc

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// sleeping starts a process that lives until the test ends.
func sleeping(tb testing.TB) *exec.Cmd {
	tb.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func fresh(tb testing.TB, c *Census) []int {
	tb.Helper()
	pids, err := c.Fresh(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return pids
}

func TestCensus(t *testing.T) {
	c, err := Default.Census()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if all := fresh(t, c); !slices.Contains(all, os.Getpid()) || !slices.Contains(all, 1) {
		t.Errorf("all: %v", all)
	}
	cmd := sleeping(t)
	pid := cmd.Process.Pid
	if got := fresh(t, c); !slices.Contains(got, pid) || slices.Contains(got, os.Getpid()) {
		t.Errorf("%v, want %d and not %d", got, pid, os.Getpid())
	}
	if got := fresh(t, c); slices.Contains(got, pid) {
		t.Errorf("again: %v", got)
	}

	// The pid becomes another process'.
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	again := startAs(t, pid)
	defer func() { _ = again.Process.Kill(); _ = again.Wait() }()
	if got := fresh(t, c); !slices.Contains(got, pid) {
		t.Errorf("%v, want %d", got, pid)
	}
}

// startAs starts a process with this pid.
func startAs(tb testing.TB, pid int) *exec.Cmd {
	tb.Helper()
	for range 200 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			tb.Fatal(err)
		}
		cmd := exec.Command("/bin/sleep", "1000")
		if err := cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		if cmd.Process.Pid == pid {
			return cmd
		}
		_ = cmd.Process.Kill() // another process was faster
		_ = cmd.Wait()
	}
	tb.Fatalf("no process gets the pid %d", pid)
	return nil
}

// TestCensusCounts shows that a list is made only when something has started, and
// that a file which is not the kernel's is not trusted.
func TestCensusCounts(t *testing.T) {
	root := testTree(t, map[string]string{
		"loadavg": "0.00 0.01 0.05 1/95 4711\n", "stat": "cpu 1 2 3\nctxt 5\nprocesses 77\n", "5/stat": "", "12/stat": "", "x/y": "", "007/y": "",
	})
	c, err := root.Census()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if n, err := c.count(); err != nil || n != (startCount{4711, 77}) {
		t.Errorf("%+v, %v", n, err)
	}
	if got := fresh(t, c); !slices.Equal(got, []int{5, 12}) {
		t.Errorf("%v", got)
	}
	mkdir := func(name string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(string(root), name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("13")
	if got := fresh(t, c); got != nil {
		t.Errorf("nothing has started: %v", got)
	}
	if err := os.WriteFile(filepath.Join(string(root), "stat"), []byte("cpu 1 2 3\nprocesses 78\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := fresh(t, c); !slices.Equal(got, []int{13}) {
		t.Errorf("%v", got)
	}
	mkdir("14")
	c.trusted = false
	if got := fresh(t, c); !slices.Equal(got, []int{14}) {
		t.Errorf("%v", got)
	}
	if _, err := FS(t.TempDir() + "/none").Census(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestKernelsOwnFiles(t *testing.T) {
	in, err := Default.Scan()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if !in.isKernels("loadavg") || !in.isKernels("stat") || in.isKernels("none") || in.isKernels("../etc/passwd") {
		t.Error("it is not told which files are the kernel's")
	}
}

func TestScannerSeen(t *testing.T) {
	in, err := Default.Scan()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	cmd := sleeping(t)
	if err := in.Enter(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	data, err := in.Read("stat")
	if err != nil {
		t.Fatal(err)
	}
	var st Stat
	if err := st.Parse(data); err != nil {
		t.Fatal(err)
	}
	want, err := Look(cmd.Process.Pid)
	if got := st.Seen(); err != nil || got.ID != want.ID || got.Name != want.Name || got.Zombie || got.Lived <= 0 {
		t.Errorf("%+v, want %+v: %v", got, want, err)
	}
	if st.Forked() {
		t.Error("it has executed no program")
	}
	if line, err := in.Command([]byte("> "), 100); err != nil || string(line) != "> /bin/sleep 1000" {
		t.Errorf("%q, %v", line, err)
	}
	if line, err := in.Command(nil, 6); err != nil || string(line) != "/bin/s" {
		t.Errorf("%q, %v", line, err)
	}
	if err := in.Enter(2); err != nil {
		t.Fatal(err)
	}
	if line, err := in.Command(nil, 100); err != nil || string(line) != "[kthreadd]" {
		t.Errorf("%q, %v", line, err)
	}
	if err := in.Enter(ended(t, "exit 0")); err != nil {
		t.Fatal(err)
	}
	if line, err := in.Command(nil, 100); err != nil || string(line) != "[sh] <defunct>" {
		t.Errorf("%q, %v", line, err)
	}
	if err := in.Enter(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Signal(unix.SIGKILL)
	_ = cmd.Wait()
	if line, err := in.Command(nil, 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q, %v", line, err)
	}
}

func TestForked(t *testing.T) {
	cmd := exec.Command("/usr/bin/perl", "-e", `my $p = fork; if (!$p) { sleep 1000 } $| = 1; print "$p\n"; <STDIN>; kill 9, $p`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	line := make([]byte, 16)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/proc/" + string(line[:n-1]) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	var st Stat
	if err := st.Parse(data); err != nil || !st.Forked() {
		t.Errorf("%+v, %v", st, err)
	}
}
