package ship

import (
	"os"
	"testing"
	"time"

	"dtc"
)

// What TestTorture of internal/e2e found, in as few steps as show it.

// TestLostEndProvesNothing: of a content that was destroyed unread the monitor
// has a position and nothing that proves it. What stands in the file when the
// agent comes back is not that content, however long it is.
func TestLostEndProvesNothing(t *testing.T) {
	w := newWorld(t, File{Path: "app.log", Alias: "app.log"})
	w.start()
	w.up()
	wr := w.writer("app.log")
	first := wr.lines(3)
	w.wait("app.log", first)
	w.down()
	truncate := func() {
		if err := os.Truncate(wr.path, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(600 * time.Millisecond) // it is seen
	}
	truncate()
	wr.lines(100)
	time.Sleep(600 * time.Millisecond)
	truncate()
	w.up()
	w.wantEvents(dtc.StateGap, 1)
	w.kill()
	last := wr.lines(300)
	w.start()
	w.up()
	w.still("app.log", join(first, last))
	w.wantEvents(dtc.StateGap, 1)
}

// TestEmptyRotatedFileIsHeld has a file rotated that is empty, and somebody write
// to it long after.
func TestEmptyRotatedFileIsHeld(t *testing.T) {
	w := newWorld(t, File{Path: "app.log", Alias: "app.log"})
	w.start()
	w.up()
	wr := w.writer("app.log")
	want := wr.lines(3)
	w.wait("app.log", want)
	w.rename("app.log", "app.log.2")
	wr.reopen()
	time.Sleep(500 * time.Millisecond) // it is seen
	empty, err := os.OpenFile(wr.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	w.rename("app.log", "app.log.1")
	wr.reopen()
	want = append(want, wr.lines(3)...)
	w.wait("app.log", want)
	time.Sleep(time.Second)
	if err := os.Remove(w.path("app.log.1")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	late := []byte("late\n")
	if _, err := empty.Write(late); err != nil {
		t.Fatal(err)
	}
	w.still("app.log", join(want, late))
}

// TestLikeBeginningIsNoCopy rotates a file, while the agent is away, that begins
// with all that another one had before it was truncated.
func TestLikeBeginningIsNoCopy(t *testing.T) {
	w := newWorld(t, File{Path: "app.log", Alias: "app.log"})
	w.start()
	w.up()
	wr := w.writer("app.log")
	head := wr.lines(10)
	w.wait("app.log", head)
	if err := os.Truncate(wr.path, 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(600 * time.Millisecond) // it is seen
	want := join(head, wr.lines(5))
	w.wait("app.log", want)
	w.kill()
	for i := range 2 {
		w.rotate("app.log")
		wr.reopen()
		wr.write(head)
		want = join(want, head, wr.lines(20+i))
	}
	w.start()
	w.up()
	w.still("app.log", want)
}

// TestDestroyedWaitsForItsTurn tells of what was destroyed only after the bytes
// of the files before it: a kill between the two must not cost those.
func TestDestroyedWaitsForItsTurn(t *testing.T) {
	w := newWorld(t, File{Path: "app.log", Alias: "app.log"})
	w.start()
	w.up()
	wr := w.writer("app.log")
	want := wr.lines(3)
	w.wait("app.log", want)
	w.down()
	seen := func() { time.Sleep(600 * time.Millisecond) }
	w.rename("app.log", "app.log.3")
	wr.reopen() // stays empty
	seen()
	w.rename("app.log", "app.log.2")
	wr.reopen()
	want = append(want, wr.lines(3)...)
	seen()
	w.rename("app.log", "app.log.1")
	wr.reopen()
	wr.lines(3)
	seen()
	if err := os.Truncate(wr.path, 0); err != nil {
		t.Fatal(err)
	}
	seen()
	now := time.Now()
	if err := os.Chtimes(w.path("app.log.2"), now, now); err != nil { // it is not quiet yet
		t.Fatal(err)
	}
	w.up()
	w.wantEvents(dtc.StateGap, 1)
	w.kill()
	w.start()
	w.up()
	w.still("app.log", want)
}

// TestOldCopiesStayOld has the monitor asked what a rotated file has left of what
// it had: also after the answer what is older than that file is older.
func TestOldCopiesStayOld(t *testing.T) {
	w := newWorld(t, File{Path: "app.log", Alias: "app.log"})
	w.start()
	w.up()
	wr := w.writer("app.log")
	want := wr.lines(20)
	w.wait("app.log", want)
	b, err := os.ReadFile(wr.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("app.log.1"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	want = append(want, wr.lines(20)...) // the copy has less than was read
	w.wait("app.log", want)
	truncate := func() {
		if err := os.Truncate(wr.path, 0); err != nil {
			t.Fatal(err)
		}
	}
	truncate()
	time.Sleep(600 * time.Millisecond)
	want = append(want, wr.lines(100)...)
	w.wait("app.log", want)
	w.kill()
	truncate()
	want = append(want, wr.lines(5)...)
	w.rename("app.log.1", "app.log.2")
	w.rename("app.log", "app.log.1")
	wr.reopen()
	want = append(want, wr.lines(5)...)
	w.start()
	w.up()
	w.still("app.log", want)
}

// TestCopyOfRemovedFile removes a file after it was copied and truncated: its
// copy is still no new file.
func TestCopyOfRemovedFile(t *testing.T) {
	w := newWorld(t, File{Path: "app.log", Alias: "app.log"})
	w.start()
	w.up()
	wr := w.writer("app.log")
	want := wr.lines(200)
	w.wait("app.log", want)
	b, err := os.ReadFile(wr.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("app.log.1"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(wr.path, 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(600 * time.Millisecond)
	w.kill()
	if err := os.Remove(wr.path); err != nil {
		t.Fatal(err)
	}
	wr.reopen()
	want = append(want, wr.lines(5)...)
	w.start()
	w.up()
	w.still("app.log", want)
}
