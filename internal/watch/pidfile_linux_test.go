package watch

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// TestPIDFilesThatAreNone has files that a reader could hang on.
func TestPIDFilesThatAreNone(t *testing.T) {
	f, dir := newTestFinder(t), t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, link, "/dev/zero", "/dev/null"} {
		wantNothing(t, f, dtc.ProcessRule{PIDFile: path}, "is no plain file")
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if list, err := one(t, f, dtc.ProcessRule{PIDFile: loop}); err == nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	c := start(t, "exit 0")
	good := pidfile(t, strconv.Itoa(c.pid))
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	wantPIDs(t, f, dtc.ProcessRule{PIDFile: link}, c.pid)
	wantPIDs(t, f, dtc.ProcessRule{PIDFile: link, User: "root"}, c.pid)
	wantPIDs(t, f, dtc.ProcessRule{PIDFile: link, User: "nobody"})
}

// TestPIDFileOfThread names a thread, and a process that is a zombie.
func TestPIDFileOfThread(t *testing.T) {
	f := newTestFinder(t)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	last := threads[len(threads)-1].Name()
	if last == strconv.Itoa(os.Getpid()) {
		t.Fatal("we have one thread only")
	}
	wantNothing(t, f, dtc.ProcessRule{PIDFile: pidfile(t, last)}, "there is no process")

	_, pid := startParent(t, "parent")
	path := pidfile(t, strconv.Itoa(pid))
	wantPIDs(t, f, dtc.ProcessRule{PIDFile: path}, pid)
	_ = unix.Kill(pid, unix.SIGKILL)
	eventually(t, "nothing is found", func() bool {
		list, _ := one(t, f, dtc.ProcessRule{PIDFile: path})
		return len(list) == 0
	})
}

// TestPIDFileOnHungServer has one file that nobody can read, and another.
func TestPIDFileOnHungServer(t *testing.T) {
	f, c := newTestFinder(t), start(t, "exit 0")
	good := pidfile(t, strconv.Itoa(c.pid))
	f.files.stuck["/srv/hung/x.pid"] = struct{}{}
	lists, errs := f.scan(t.Context(), selectors(t, dtc.ProcessRule{PIDFile: "/srv/hung/x.pid"}, dtc.ProcessRule{PIDFile: good}))
	if len(lists[0]) > 0 || errs[0] == nil || len(lists[1]) != 1 || errs[1] != nil {
		t.Errorf("%v, %v", lists, errs)
	}
	delete(f.files.stuck, "/srv/hung/x.pid")
}

// TestTouchedPIDFile has a file that seemed too old be written anew.
func TestTouchedPIDFile(t *testing.T) {
	t.Parallel() // it mostly waits
	f, c := newTestFinder(t), start(t, "exit 0")
	path := pidfile(t, strconv.Itoa(c.pid))
	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, hour, hour); err != nil {
		t.Fatal(err)
	}
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{PIDFile: path})
	f.want(sels)
	time.Sleep(100 * time.Millisecond)
	if got := a.of(sels[0]); got != nil {
		t.Errorf("%v came", got)
	}
	write(t, path, strconv.Itoa(c.pid))
	a.at(t, sels[0], c.pid)
}
