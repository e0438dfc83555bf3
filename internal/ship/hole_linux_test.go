package ship

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// roomOf returns how much of the disk a file takes.
func roomOf(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func (w *world) copyPath(alias string) string {
	return filepath.Join(w.root, "logs", "10.0.0.7", alias)
}

// hollow makes the file n bytes longer without writing any.
func (wr *writer) hollow(n int64) []byte {
	wr.t.Helper()
	st, err := wr.f.Stat()
	if err == nil {
		err = wr.f.Truncate(st.Size() + n)
	}
	if err != nil {
		wr.t.Fatal(err)
	}
	return make([]byte, n)
}

func spansOf(events []dtc.Event) (all []string) {
	for _, e := range events {
		all = append(all, fmt.Sprintf("%v-%v", deref(e.From), deref(e.To)))
	}
	return all
}

// A hole crosses as one, and is one in the copy.
func TestHoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.hollow(20 << 20) // as a writer leaves it that goes on where it was after a truncation
	all = append(all, a.lines(5)...)
	var sent bytes.Buffer
	var mu sync.Mutex
	w.over = func(l Link) Link { return counting{l, &mu, &sent} }
	w.start()
	w.up()
	w.wait("app.log", all)
	all = append(all, a.hollow(8<<20)...)
	all = append(all, a.lines(5)...)
	w.wait("app.log", all)
	all = append(all, a.hollow(40<<10)...) // not worth it
	w.wait("app.log", all)
	w.kill()
	all = append(all, a.hollow(8<<20)...)
	w.start()
	w.up()
	w.wait("app.log", all)
	all = append(all, a.lines(5)...)
	w.rotate("app.log")
	a.reopen()
	all = append(all, a.lines(5)...)
	w.still("app.log", all)
	if n := roomOf(t, w.copyPath("app.log")); n > 256<<10 {
		t.Errorf("the copy takes %d bytes", n)
	}
	if n := sent.Len(); n > 128<<10 {
		t.Errorf("%d bytes of data crossed", n)
	}
	w.wantEvents(dtc.StateHole, 3)
	if e := w.told(""); len(e) != 3 {
		t.Errorf("events: %+v", e)
	}
}

// counting counts the data that crosses.
type counting struct {
	Link
	mu   *sync.Mutex
	sent *bytes.Buffer
}

func (l counting) Send(f *dtc.Frame) error {
	l.mu.Lock()
	l.sent.Write(f.Data)
	l.mu.Unlock()
	return l.Link.Send(f)
}

// lacking is a link to a monitor that lacks features.
type lacking struct {
	Link
	features uint64
}

func (l lacking) Recv(f *dtc.Frame) error {
	err := l.Link.Recv(f)
	if err == nil && f.Kind == dtc.FrameReady {
		f.ID &^= l.features
	}
	return err
}

// A monitor that knows of no holes gets their zeros.
func TestHolesUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.over = func(l Link) Link { return lacking{l, dtc.FeatureHoles} }
	a := w.writer("app.log")
	all := append(a.hollow(3<<20), a.lines(5)...)
	w.start()
	w.up()
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Errorf("events: %+v", e)
	}
}

// A hole far larger than any window crosses at once, and nothing waits for it.
func TestHugeHole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog(), File{Path: "b.log", Alias: "b.log"})
	a, b := w.writer("app.log"), w.writer("b.log")
	a.lines(5)
	w.start()
	w.up()
	if err := a.f.Truncate(5 << 39); err != nil { // 2.5 TiB
		t.Fatal(err)
	}
	last := a.lines(5)
	wb := b.lines(5)
	w.wait("b.log", wb)
	var size int64
	until(t, "the copy is whole", func() bool {
		st, err := os.Stat(w.copyPath("app.log"))
		if err != nil {
			return false
		}
		size = st.Size()
		return size > 5<<39+100
	})
	f, err := os.Open(w.copyPath("app.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, len(last))
	until(t, "its end is there", func() bool {
		st, err := f.Stat()
		if err == nil {
			_, err = f.ReadAt(got, st.Size()-int64(len(got)))
		}
		return err == nil && bytes.Equal(got, last)
	})
	w.wantEvents(dtc.StateHole, 3) // a frame has an end
	wb = append(wb, b.lines(5)...)
	w.wait("b.log", wb)
}

// Holes that come and are filled at random while the file is read: what is in
// the copy was in the source, at every moment that a byte was passed.
func TestHolesTorture(t *testing.T) {
	t.Parallel()
	rnd := seed(t)
	w := newWorld(t, appLog())
	cuts := &cutter{rnd: rand.New(rand.NewPCG(rnd.Uint64(), 2))}
	w.wrap = cuts.wrap
	w.start()
	w.up()
	f, err := os.OpenFile(w.path("app.log"), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var truth []byte
	for end := time.Now().Add(*tortureDuration / 2); time.Now().Before(end) && len(truth) < 64<<20; {
		// One write behind the end makes a hole, of any alignment.
		truth = append(truth, make([]byte, rnd.IntN(1<<rnd.IntN(22)))...)
		b := bytes.Repeat([]byte{byte(1 + rnd.IntN(255))}, 1+rnd.IntN(1<<rnd.IntN(15)))
		if _, err := f.WriteAt(b, int64(len(truth))); err != nil {
			t.Fatal(err)
		}
		truth = append(truth, b...)
		switch rnd.IntN(40) {
		case 0:
			w.kill()
			w.start()
			w.up()
		case 1:
			_ = f.Sync()
		case 2, 3, 4:
			time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond)
		}
	}
	cuts.over.Store(true)
	w.wait("app.log", truth)
	t.Logf("%d bytes, %d on the disk", len(truth), roomOf(t, w.copyPath("app.log")))
	for _, e := range w.told("") {
		if e.State != dtc.StateHole {
			t.Errorf("event %+v", e)
		}
	}
	spans := spansOf(w.told(dtc.StateHole))
	if slices.Sort(spans); len(slices.Compact(slices.Clone(spans))) != len(spans) {
		t.Errorf("a hole was told twice: %v", spans)
	}
}
