package watch

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dtc"
)

// sleepAs runs a program, a copy of sleep or a link to one.
func sleepAs(tb testing.TB, path string) (pid int) {
	tb.Helper()
	cmd := exec.Command(path, "1000")
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// TestNameOfLink looks for a program by the name of a link to it: of sh, which is
// dash here.
func TestNameOfLink(t *testing.T) {
	target, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil || filepath.Base(target) == "sh" {
		t.Fatalf("the test needs /bin/sh to be a link to another name: %s, %v", target, err)
	}
	f := newTestFinder(t)
	cmd := exec.Command(target, "-c", "read line; :")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	apart := sleepAs(t, "/bin/sleep")
	for _, exe := range []string{"sh", "/bin/sh", filepath.Base(target), target} {
		list, err := one(t, f, dtc.ProcessRule{Exe: exe})
		if pids := pidsOf(list); err != nil || !slices.Contains(pids, cmd.Process.Pid) || slices.Contains(pids, apart) {
			t.Errorf("%s: %v, %v: want %d and not %d", exe, pids, err, cmd.Process.Pid, apart)
		}
	}
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Exe: "sh"})
	f.want(sels)
	a.at(t, sels[0], cmd.Process.Pid)
}

// TestManyProgramsInOneFile has links to one file, which runs as what it is called.
func TestManyProgramsInOneFile(t *testing.T) {
	f, dir := newTestFinder(t), t.TempDir()
	data, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	all := filepath.Join(dir, "busybox.static")
	if err := os.WriteFile(all, data, 0o755); err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{all: sleepAs(t, all)}
	for _, name := range []string{"one", "another-of-a-long-name"} {
		path := filepath.Join(dir, name)
		if err := os.Symlink(all, path); err != nil {
			t.Fatal(err)
		}
		pids[path] = sleepAs(t, path)
	}
	for path, pid := range pids {
		if path != all {
			wantPIDs(t, f, dtc.ProcessRule{Exe: path}, pid)
		}
	}
	list, err := one(t, f, dtc.ProcessRule{Exe: all})
	if err != nil || len(list) != len(pids) {
		t.Errorf("of the file itself: %v, %v", pidsOf(list), err)
	}
}

func TestClockAtBoot(t *testing.T) {
	if at, ok := birthInMemory("/proc"); ok {
		t.Errorf("a file system of the kernel was made at %v", at)
	}
	if at, ok := birthInMemory(filepath.Join(t.TempDir(), "none")); ok {
		t.Errorf("what is not there was made at %v", at)
	}
	at, ok := birthInMemory("/dev/shm")
	if booted := time.Now().Add(-now()); ok && (at.Before(booted.Add(-24*time.Hour)) || at.After(time.Now())) {
		t.Errorf("memory was mounted at %v, and we booted at %v", at, booted)
	}
}
