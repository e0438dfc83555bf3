package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// lookEnv makes this program look at a process and print what it sees.
const lookEnv = "DTC_PROC_LOOK"

func TestMain(m *testing.M) {
	if pid, ok := os.LookupEnv(lookEnv); ok {
		n, _ := strconv.Atoi(pid)
		seen, err := Look(n)
		fmt.Println(seen.Zombie, seen.Exit.Kind, seen.Exit.Number, err)
		return
	}
	os.Exit(m.Run())
}

func TestLookAtOurselves(t *testing.T) {
	before := time.Now()
	seen, err := Look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if seen.ID.PID != os.Getpid() || seen.Zombie || seen.Exit != (dtc.Exit{}) || seen.Name != filepath.Base(exe)[:len(seen.Name)] || seen.Name == "" {
		t.Errorf("seen %+v", seen)
	}
	if seen.Lived <= 0 || seen.Lived > time.Hour {
		t.Errorf("lived %v", seen.Lived)
	}
	again, name, err := Identify(os.Getpid())
	if err != nil || again != seen.ID || name != seen.Name {
		t.Errorf("identified as %v %q, %v", again, name, err)
	}
	later, err := Look(os.Getpid())
	if took := time.Since(before); err != nil || later.Lived < seen.Lived || later.Lived-seen.Lived > took {
		t.Errorf("lived %v, then %v after %v: %v", seen.Lived, later.Lived, took, err)
	}
}

func TestLookAtNobody(t *testing.T) {
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{0, -1, math.MaxInt32, gone.Process.Pid}
	for _, thread := range threads {
		if tid, _ := strconv.Atoi(thread.Name()); tid != os.Getpid() {
			pids = append(pids, tid)
		}
	}
	if len(pids) == 4 {
		t.Fatal("we have one thread only")
	}
	for _, pid := range pids {
		if seen, err := Look(pid); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("process %d: %+v, %v", pid, seen, err)
		}
	}
}

// ended starts a process that ends and is not waited for.
func ended(t *testing.T, script string) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		seen, err := Look(cmd.Process.Pid)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", seen, err)
		}
		if seen.Zombie {
			return cmd.Process.Pid
		}
	}
}

func TestLookAtZombies(t *testing.T) {
	for script, want := range map[string]dtc.Exit{
		"exit 0":       {Kind: dtc.ExitCode},
		"exit 3":       {Kind: dtc.ExitCode, Number: 3},
		"exit 255":     {Kind: dtc.ExitCode, Number: 255},
		"kill -9 $$":   {Kind: dtc.ExitSignal, Number: 9},
		"kill -TERM 0": {Kind: dtc.ExitSignal, Number: 15},
		"kill -11 $$":  {Kind: dtc.ExitSignal, Number: 11},
	} {
		if strings.HasSuffix(script, " 0") && strings.HasPrefix(script, "kill") {
			script = "trap - TERM; kill -TERM $$"
		}
		seen, err := Look(ended(t, script))
		if err != nil || !seen.Zombie || seen.Exit != want || seen.Name != "sh" {
			t.Errorf("%s: %+v, %v", script, seen, err)
		}
	}
}

// TestExitIsNotGuessed looks at the zombie of another user: the kernel hides how
// it ended, and shows what looks like a clean exit.
func TestExitIsNotGuessed(t *testing.T) {
	pid := ended(t, "exit 3")
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = []string{lookEnv + "=" + strconv.Itoa(pid)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintln(true, dtc.ExitUnknown, 0, nil); err != nil || string(out) != want {
		t.Errorf("another user sees %q, want %q: %v", out, want, err)
	}
}

func TestBoot(t *testing.T) {
	id, err := BootID()
	if err != nil || len(id) != len("01234567-89ab-cdef-0123-456789abcdef") {
		t.Errorf("boot id %q, %v", id, err)
	}
	again, err := BootID()
	if err != nil || again != id {
		t.Errorf("boot id %q, then %q: %v", id, again, err)
	}
	if _, err := FS(t.TempDir()).BootID(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if since := SinceBoot().Seconds(); math.Abs(since-float64(info.Uptime)) > 2 {
		t.Errorf("%v s since the boot, the system says %d", since, info.Uptime)
	}
}

// testTree makes a proc(5) of the given files.
func testTree(t *testing.T, files map[string]string) FS {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return FS(root)
}

// statLine is a line of stat with the given state, number of threads and exit
// status.
func statLine(pid int, comm, state string, threads, exit int) string {
	return fmt.Sprintf("%d (%s) %s 1 2 3 34816 5 6 7 8 9 10 11 12 13 14 20 -5 %d 0 4711 123456 100 %s%d\n",
		pid, comm, state, threads, strings.Repeat("0 ", 27), exit)
}

func TestLookInATree(t *testing.T) {
	f := testTree(t, map[string]string{
		"7/stat":   statLine(7, "lives on", "Z", 3, 0),
		"7/status": "Name:\tlives on\nTgid:\t7\n",
		"8/stat":   statLine(8, "a) Z (b\nc", "S", 1, 0),
		"8/status": "Tgid:\t8\n",
		"9/stat":   "nonsense",
		"10/stat":  statLine(10, "x", "X", 0, 2<<8),
	})
	if seen, err := f.Look(7); err != nil || seen.Zombie || seen.Name != "lives on" || seen.ID.Start != 4711 {
		t.Errorf("its first thread has ended: %+v, %v", seen, err)
	}
	if seen, err := f.Look(8); err != nil || seen.Name != "a) Z (b\nc" {
		t.Errorf("%+v, %v", seen, err)
	}
	if _, err := f.Look(9); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Look(10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no status: got %v", err)
	}
}
