package ship

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtc"
)

func appLog() File { return File{Path: "app.log", Alias: "app.log"} }

func TestAppendAndRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(10)
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 5 {
		w.kill()
		all = append(all, a.lines(7)...)
		w.start()
		w.up()
		w.wait("app.log", all)
		all = append(all, a.write([]byte("no newline"))...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

func TestMissingFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "a/b/app.log", Alias: "app.log"})
	w.start()
	w.up()
	var all []byte
	for range 3 {
		time.Sleep(20 * time.Millisecond)
		if err := os.MkdirAll(w.path("a/b"), 0o755); err != nil {
			t.Fatal(err)
		}
		a := w.writer("a/b/app.log")
		all = append(all, a.lines(3)...)
		w.wait("app.log", all)
		all = append(all, a.lines(3)...)
		w.wait("app.log", all)
		if err := os.RemoveAll(w.path("a")); err != nil {
			t.Fatal(err)
		}
	}
	w.still("app.log", all)
}

func TestRenameRotation(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprintf("live=%v", live), func(t *testing.T) {
			w := newWorld(t, appLog())
			a := w.writer("app.log")
			all := a.lines(5)
			w.start()
			w.up()
			w.wait("app.log", all)
			if !live {
				w.down()
			}
			for range 6 {
				all = append(all, a.lines(3)...)
				w.rotate("app.log")
				all = append(all, a.lines(2)...) // still to the old file
				a.reopen()
				all = append(all, a.lines(4)...)
				if !live {
					time.Sleep(30 * time.Millisecond) // each must be seen: nobody holds what is rotated twice unseen
				}
			}
			if !live {
				w.up()
			}
			w.still("app.log", all)
			if e := w.told(""); len(e) != 0 {
				t.Fatalf("events: %+v", e)
			}
		})
	}
}

func TestManyRotationsUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 20 { // several between two looks
		for range 5 {
			all = append(all, a.lines(3)...)
			w.rotate("app.log")
			a.reopen()
		}
		time.Sleep(5 * time.Millisecond)
	}
	all = append(all, a.lines(1)...)
	w.still("app.log", all)
}

func TestRotatedWhileAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	all = append(all, a.lines(3)...)
	w.rotate("app.log")
	all = append(all, a.lines(3)...)
	a.reopen()
	for range 3 {
		all = append(all, a.lines(4)...)
		w.rotate("app.log")
		a.reopen()
		time.Sleep(5 * time.Millisecond)
	}
	all = append(all, a.lines(4)...)
	w.start()
	w.up()
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

func TestSiblingsBeforeFirstContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	old := w.writer("app.log.1")
	old.lines(10)
	older := w.writer("app.log-20250101")
	older.lines(10)
	a := w.writer("app.log")
	all := a.lines(3)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.rotate("app.log")
	a.reopen()
	all = append(all, a.lines(3)...)
	w.wait("app.log", all)
	w.kill()
	w.start()
	w.up()
	all = append(all, a.lines(3)...)
	w.still("app.log", all)
}

func TestDeletedWhileLinkIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	all = append(all, a.write(noise(3<<20))...)
	time.Sleep(50 * time.Millisecond)
	w.rename("app.log", "app.log.1")
	a.reopen()
	all = append(all, a.lines(5)...)
	time.Sleep(100 * time.Millisecond)
	if err := os.Remove(w.path("app.log.1")); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
	deadline := time.Now().Add(60 * time.Second)
	for w.shipper.host.Opened() != 1 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := w.shipper.host.Opened(); n != 1 {
		t.Fatalf("%d files held, want 1", n)
	}
}

func TestRemoveAndRecreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 10 {
		if err := os.Remove(w.path("app.log")); err != nil {
			t.Fatal(err)
		}
		all = append(all, a.lines(1)...) // to a file without a name
		a.reopen()
		all = append(all, a.lines(8)...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
}

func TestInodeReuseWhileAway(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"", "/dev/shm"} {
		t.Run(root, func(t *testing.T) {
			dir := t.TempDir()
			if root != "" {
				dir = filepath.Join(root, "dtc-ship-test")
				t.Cleanup(func() { os.RemoveAll(dir) })
			}
			testRemadeWhileAway(t, dir)
		})
	}
}

// testRemadeWhileAway removes a file and makes it anew, longer, while no agent
// runs. It reports whether the new one has the inode number of the old one.
func testRemadeWhileAway(t *testing.T, dir string) bool {
	t.Helper()
	w := newWorldIn(t, dir, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	_ = a.f.Close()
	inode := inodeOf(t, w.path("app.log"))
	if err := os.Remove(w.path("app.log")); err != nil {
		t.Fatal(err)
	}
	a.f = nil
	a.reopen()
	same := inodeOf(t, w.path("app.log")) == inode
	all = append(all, a.lines(50)...)
	w.start()
	w.up()
	w.still("app.log", all)
	w.wantEvents(dtc.StateGap, 1) // what followed in the first file while nobody looked is not known
	return same
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(20)
	w.start()
	w.up()
	w.wait("app.log", all)
	for _, n := range []int{1, 20, 21, 100, 3} { // less, as much, more
		if err := os.Truncate(w.path("app.log"), 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, a.lines(n)...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

func TestTruncateToSome(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprintf("live=%v", live), func(t *testing.T) {
			w := newWorld(t, appLog())
			a := w.writer("app.log")
			all := a.write(noise(100_000))
			w.start()
			w.up()
			w.wait("app.log", all)
			if !live {
				w.kill()
			}
			if err := os.Truncate(w.path("app.log"), 60_000); err != nil {
				t.Fatal(err)
			}
			if live {
				w.wantEvents(dtc.StateRewound, 1)
			} else {
				w.start()
				w.up()
				w.wantEvents(dtc.StateRewound, 1)
			}
			all = append(all, a.lines(5)...)
			w.wait("app.log", all)
			e := w.told(dtc.StateRewound)[0]
			if *e.From != 60_000 {
				t.Fatalf("%+v", e)
			}
			w.kill()
			all = append(all, a.lines(5)...)
			w.start()
			w.up()
			w.still("app.log", all)
		})
	}
}

func TestCopyTruncate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(200)
	w.start()
	w.up()
	w.wait("app.log", all)
	for i := range 5 {
		w.down() // what comes now is only in the copy
		all = append(all, a.write(noise(10_000+i*100_000))...)
		time.Sleep(20 * time.Millisecond)
		for k := i; k > 0; k-- {
			w.rename(fmt.Sprintf("app.log.%d", k), fmt.Sprintf("app.log.%d", k+1))
		}
		b, _ := os.ReadFile(w.path("app.log"))
		if err := os.WriteFile(w.path("app.log.1"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(w.path("app.log"), 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, a.lines(30)...)
		time.Sleep(20 * time.Millisecond)
		w.up()
		w.wait("app.log", all)
	}
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
	w.kill()
	all = append(all, a.lines(30)...)
	w.start()
	w.up()
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

func TestCopyTruncateWhileAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(200)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.kill()
	for i := range 3 {
		all = append(all, a.lines(50)...)
		for k := i; k > 0; k-- {
			w.rename(fmt.Sprintf("app.log.%d", k), fmt.Sprintf("app.log.%d", k+1))
		}
		b, _ := os.ReadFile(w.path("app.log"))
		if err := os.WriteFile(w.path("app.log.1"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(w.path("app.log"), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	all = append(all, a.lines(30)...)
	w.start()
	w.up()
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

func TestTruncatedUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(20)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	a.write(noise(5000))
	time.Sleep(100 * time.Millisecond)
	_ = os.Truncate(w.path("app.log"), 0)
	time.Sleep(600 * time.Millisecond)
	all2 := a.lines(2)
	w.up()
	w.still("app.log", append(all, all2...))
	e := w.wantEvents(dtc.StateGap, 1)[0]
	if *e.From != int64(len(all)) || e.To == nil || *e.To != int64(len(all))+5000 {
		t.Fatalf("%+v", e)
	}
}

func TestLateWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	first := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", first)
	w.rename("app.log", "app.log.1")
	b := w.writer("app.log")
	all := append(first, a.lines(1)...)
	time.Sleep(400 * time.Millisecond)
	all = append(all, b.lines(1)...)
	w.wait("app.log", all)
	rounds, pause := 5, time.Duration(0)
	if long() {
		rounds, pause = 60, time.Second // a minute of somebody who does not heed the rotation
	}
	for range rounds {
		all = append(all, a.lines(2)...)
		w.wait("app.log", all)
		all = append(all, b.lines(2)...)
		w.wait("app.log", all)
		time.Sleep(pause)
	}
	_ = os.Remove(w.path("app.log.1"))
	time.Sleep(300 * time.Millisecond)
	all = append(all, a.lines(2)...)
	w.wait("app.log", all)
	all = append(all, b.lines(2)...)
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

func TestMovedAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	_ = os.Mkdir(w.path("elsewhere"), 0o755)
	w.rename("app.log", "elsewhere/x")
	for range 5 {
		all = append(all, a.lines(2)...)
		w.wait("app.log", all)
	}
}

func TestSymlink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	_ = os.MkdirAll(w.path("t"), 0o755)
	a, b := w.writer("t/a"), w.writer("t/b")
	_ = os.Symlink(w.path("t/a"), w.path("l"))
	_ = os.Symlink("l", w.path("app.log"))
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	all = append(all, a.lines(5)...)
	w.wait("app.log", all)
	b1 := b.lines(5)
	_ = os.Symlink(w.path("t/b"), w.path("l2"))
	w.rename("l2", "l")
	a1 := a.lines(3)
	all = join(all, a1, b1)
	w.wait("app.log", all)
	all = append(all, b.lines(5)...)
	w.wait("app.log", all)
	all = append(all, a.lines(5)...)
	w.still("app.log", all)
}

func TestDanglingLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	_ = os.Symlink(w.path("later/target"), w.path("app.log"))
	w.start()
	w.up()
	time.Sleep(50 * time.Millisecond)
	_ = os.MkdirAll(w.path("later"), 0o755)
	a := w.writer("later/target")
	all := a.lines(5)
	w.wait("app.log", all)
}

func TestForeignLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog(), File{Path: "ok.log", Alias: "ok.log"})
	secret := w.writer("secret")
	secret.lines(5)
	ok := w.writer("mine")
	_ = os.Chown(w.path("mine"), 1234, 1234)
	_ = os.Symlink(w.path("secret"), w.path("app.log"))
	_ = os.Lchown(w.path("app.log"), 1234, 1234)
	_ = os.Symlink(w.path("mine"), w.path("ok.log"))
	_ = os.Lchown(w.path("ok.log"), 1234, 1234)
	all := ok.lines(4)
	w.start()
	w.up()
	w.still("ok.log", all)
	if b := w.copyOf("app.log"); len(b) > 0 {
		t.Fatalf("shipped %q", b)
	}
	w.wantEvents(dtc.StateRefused, 1)
}

func TestFromEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "app.log", Alias: "app.log", FromEnd: true}, File{Path: "new.log", Alias: "new.log", FromEnd: true})
	a := w.writer("app.log")
	a.lines(50)
	w.start()
	time.Sleep(100 * time.Millisecond)
	all := a.lines(3)
	w.up()
	w.wait("app.log", all)
	b := w.writer("new.log")
	whole := b.write([]byte("1\n2\n3\n"))
	w.wait("new.log", whole)
	w.kill()
	all = append(all, a.lines(3)...)
	w.rotate("app.log")
	a.reopen()
	all = append(all, a.lines(3)...)
	w.start()
	w.up()
	w.still("app.log", all)
	w.still("new.log", whole)
}

func TestPattern(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "*/*.log*", Alias: "{dir}-{name}"})
	for _, d := range []string{"x", "y"} {
		_ = os.Mkdir(w.path(d), 0o755)
	}
	a, b := w.writer("x/a.log"), w.writer("y/a.log")
	wa, wb := a.lines(3), b.lines(3)
	w.start()
	w.up()
	w.wait("x-a.log", wa)
	w.wait("y-a.log", wb)
	_ = os.Mkdir(w.path("z"), 0o755)
	c := w.writer("z/c.log")
	wc := c.lines(3)
	w.wait("z-c.log", wc)
	for range 4 {
		w.rotate("x/a.log")
		a.reopen()
		wa = append(wa, a.lines(3)...)
		w.wait("x-a.log", wa)
	}
	w.rename("y/a.log", "y/moved.log") // stays the alias's
	wb = append(wb, b.lines(3)...)
	w.wait("y-a.log", wb)
	w.kill()
	w.rename("z/c.log", "z/d.log")
	wc = append(wc, c.lines(2)...)
	wb = append(wb, b.lines(2)...)
	w.start()
	w.up()
	w.wait("z-c.log", wc)
	w.still("y-a.log", wb)
	w.still("x-a.log", wa)
	for _, alias := range []string{"y-moved.log", "z-d.log", "x-a.log.1", "x-a.log.2"} {
		if b := w.copyOf(alias); b != nil {
			t.Errorf("%s is a stream of its own: %q", alias, b)
		}
	}
}

func TestRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "*.log", Alias: "Q-{name}"}, File{Path: "f", Alias: "f"}, File{Path: "sub/*.log", Alias: "q-{name}"})
	_ = os.Mkdir(w.path("f"), 0o755)
	_ = os.Mkdir(w.path("sub"), 0o755)
	w.writer("sub/a.log").lines(1)
	a := w.writer("a.log")
	all := a.lines(2)
	w.start()
	w.up()
	w.wait("Q-a.log", all)
	w.wantEvents(dtc.StateRefused, 2)
	w.kill()
	w.start()
	w.up()
	w.still("Q-a.log", all)
}
