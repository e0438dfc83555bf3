package ship

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/follow"
	"dtc/internal/logs"
)

// Where the system tells of no changes they are found all the same.
func TestUnwatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog(), File{Path: "p/*.log", Alias: "p-{name}"})
	w.unwatched = true
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 8 {
		w.rotate("app.log")
		a.reopen()
		all = append(all, a.lines(3)...)
		w.wait("app.log", all)
	}
	for range 4 {
		_ = os.Truncate(w.path("app.log"), 0)
		all = append(all, a.lines(3)...)
		w.wait("app.log", all)
	}
	_ = os.Mkdir(w.path("p"), 0o755)
	b := w.writer("p/b.log")
	w.wait("p-b.log", b.lines(3))
}

// When events were lost everything is looked at.
func TestOverflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	deaf, err := follow.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	w.watch = func() (*follow.Watcher, error) { return deaf, nil }
	w.start()
	w.shipper.Configure(w.files, time.Hour) // so that no scan finds it
	w.up()
	time.Sleep(50 * time.Millisecond)
	deaf.Forget(w.src)
	a := w.writer("app.log")
	all := a.lines(5)
	time.Sleep(100 * time.Millisecond)
	if b := w.copyOf("app.log"); b != nil {
		t.Fatalf("shipped %q though nothing was told", b)
	}
	w.shipper.heed([]follow.Event{{Kind: follow.Lost}})
	w.wait("app.log", all)
}

// A cascade of fifty files, and the next rotation every 50 ms.
func TestCascade(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(1500 * time.Millisecond)
	if long() {
		end = time.Now().Add(5 * time.Minute)
	}
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(1)
	for k := range 50 {
		_ = os.WriteFile(fmt.Sprintf("%s.%d", w.path("app.log"), k+1), []byte("old\n"), 0o644)
	}
	w.start()
	w.up()
	w.wait("app.log", all)
	for time.Now().Before(end) {
		w.rotate("app.log")
		_ = os.Remove(w.path("app.log.51"))
		a.reopen()
		all = append(all, a.lines(20)...)
		time.Sleep(50 * time.Millisecond)
	}
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

// Two files that begin with the same bytes are two.
func TestEqualHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "a.log", Alias: "a"}, File{Path: "b.log", Alias: "b"})
	head := noise(64 << 10)
	a, b := w.writer("a.log"), w.writer("b.log")
	wa, wb := append(a.write(bytes.Clone(head)), a.lines(5)...), append(b.write(bytes.Clone(head)), b.lines(9)...)
	w.start()
	w.up()
	w.wait("a", wa)
	w.wait("b", wb)
	for range 3 { // also one after the other in one place
		w.rotate("a.log")
		a.reopen()
		wa = append(wa, a.write(bytes.Clone(head))...)
		w.rotate("a.log")
		a.reopen()
		wa = join(wa, a.write(bytes.Clone(head)), a.lines(3))
		w.rotate("b.log")
		b.reopen()
		wb = append(wb, b.lines(3)...)
		w.wait("a", wa)
		w.kill()
		w.start()
		w.up()
	}
	w.still("a", wa)
	w.still("b", wb)
}

// The same first 4 KiB after every truncation.
func TestEqualHeadsTruncated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	head := noise(4096)
	a := w.writer("app.log")
	all := join(a.write(bytes.Clone(head)), a.lines(50))
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 5 {
		_ = os.Truncate(w.path("app.log"), 0)
		time.Sleep(20 * time.Millisecond)
		all = join(all, a.write(append(bytes.Clone(head), a.name()...)))
		all = append(all, a.lines(40)...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
}

func (wr *writer) name() string { return filepath.Base(wr.path) + "\n" }

// If more rotated files are held than may be, those that are safe are let go,
// and of others the loss is told.
func TestTooManyRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.limits = Limits{Rotated: 4}
	a := w.writer("app.log")
	all := a.lines(1)
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 10 {
		w.rotate("app.log")
		a.reopen()
		all = append(all, a.lines(2)...)
		w.wait("app.log", all)
	}
	if n := w.shipper.host.Opened(); n > 6 {
		t.Errorf("%d files are open", n)
	}
	if e := w.told(dtc.StateGap); len(e) > 0 {
		t.Fatalf("%+v", e)
	}
	w.down()
	first := a.lines(2)
	for range 10 {
		w.rotate("app.log")
		a.reopen()
		a.lines(2)
		time.Sleep(30 * time.Millisecond)
	}
	until(t, "files are let go", func() bool { return w.shipper.host.Opened() <= 6 })
	w.up()
	e := w.told(dtc.StateGap)
	until(t, "the loss is told", func() bool { e = w.told(dtc.StateGap); return len(e) >= 5 })
	if e[0].To == nil || *e[0].To-*e[0].From != int64(len(first)) {
		t.Errorf("the first loss is from %v to %v, want %d bytes", deref(e[0].From), deref(e[0].To), len(first))
	}
}

// The newer of two agents with one certificate has the stream, and bytes of the
// two are not mixed.
func TestTwoAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	other := New(Options{Files: w.files, Scan: time.Second, Logger: w.log})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = other.Run(ctx) })
	wg.Go(func() { w.connect(ctx, other, w.store) })
	for range 20 {
		all = append(all, a.lines(5)...)
		time.Sleep(5 * time.Millisecond)
	}
	w.wait("app.log", all)
	cancel()
	wg.Wait()
	w.down()
	w.up()
	all = append(all, a.lines(5)...)
	w.still("app.log", all)
}

// The monitor's question is answered from held and from rotated files.
func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.write(noise(300_000))
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 3 {
		w.rotate("app.log")
		a.reopen()
		all = append(all, a.write(noise(100_000))...)
		w.wait("app.log", all)
	}
	check := func() {
		t.Helper()
		until(t, "verified", func() bool {
			bad := 0
			err := w.store.Verify(context.Background(), nil, func(f logs.Finding) error {
				if f.Verdict != logs.VerdictExact {
					bad++
				}
				return nil
			})
			return err == nil && bad == 0
		})
	}
	check()
	w.kill()
	w.start()
	w.up()
	all = append(all, a.lines(1)...)
	w.wait("app.log", all)
	check()
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "a.log", Alias: "a"})
	a, b := w.writer("a.log"), w.writer("b.log")
	wa, wb := a.lines(3), b.lines(3)
	w.start()
	w.up()
	w.wait("a", wa)
	w.shipper.Configure([]File{{Path: w.path("a.log"), Alias: "a"}, {Path: w.path("*.log"), Alias: "p-{name}"}}, time.Second)
	w.wait("p-b.log", wb)
	w.wait("p-a.log", wa)
	wa = append(wa, a.lines(3)...)
	w.wait("a", wa)
	w.wait("p-a.log", wa)
	w.shipper.Configure([]File{{Path: w.path("b.log"), Alias: "a"}}, time.Second) // another path under the same alias
	before := wa
	wa = append(wa, wb...)
	w.wait("a", wa)
	a.lines(3)
	wa = append(wa, b.lines(3)...)
	w.still("a", wa)
	w.wait("p-a.log", before)
}

// Bytes that come to a rotated file after it was let go are not lost as long as
// it has a name in the family.
func TestLateAfterRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.limits = Limits{Rotated: 1}
	a := w.writer("app.log")
	all := a.lines(3)
	w.start()
	w.up()
	w.wait("app.log", all)
	old := w.writer("app.log")
	for range 3 {
		w.rotate("app.log")
		a.reopen()
		all = append(all, a.lines(2)...)
		w.wait("app.log", all)
		until(t, "what was rotated is safe", w.safe)
	}
	all = append(all, old.lines(2)...)
	w.wait("app.log", all)
	w.kill()
	all = append(all, old.lines(2)...)
	w.start()
	w.up()
	w.wait("app.log", all)
	all = append(all, old.lines(2)...)
	w.wait("app.log", all)
	all = append(all, a.lines(2)...)
	w.still("app.log", all)
}

// current returns the number of the file that a stream has at its path.
func (w *world) current(alias string) uint64 {
	for _, st := range w.shipper.all() {
		st.mu.Lock()
		defer st.mu.Unlock()
		if g := st.chain.Current(); st.alias == alias && g != nil {
			return g.Origin.Node[0]
		}
	}
	return 0
}

// safe reports whether nothing of the rotated files that are held can be lost.
func (w *world) safe() bool {
	for _, st := range w.shipper.all() {
		st.mu.Lock()
		defer st.mu.Unlock()
		for _, g := range st.chain.Generations {
			if g != st.chain.Current() && !st.shipment(g).safe() {
				return false
			}
		}
	}
	return true
}

// Where a file that is held keeps its name from being used again, it is let go
// when it is quiet, and taken up again when it grows.
func TestYields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.yields = true
	a := w.writer("app.log")
	all := a.lines(3)
	w.start()
	w.up()
	w.wait("app.log", all)
	for range 4 {
		old := w.writer("app.log")
		w.rotate("app.log")
		a.reopen()
		all = append(all, a.lines(2)...)
		w.wait("app.log", all)
		for range 2 {
			until(t, "the rotated file is let go", func() bool { return w.shipper.host.Opened() == 1 })
			all = append(all, old.lines(2)...)
			w.wait("app.log", all)
			all = append(all, a.lines(2)...)
			w.wait("app.log", all)
		}
	}
	w.kill()
	all = append(all, a.lines(2)...)
	w.start()
	w.up()
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

// Of too many rotated files those that were written to last are kept, whichever
// stream they belong to.
func TestOldestRotatedGoFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "a.log", Alias: "a"}, File{Path: "b.log", Alias: "b"}, File{Path: "c.log", Alias: "c"})
	w.limits = Limits{Rotated: 4}
	var writers []*writer
	truths := map[string][]byte{}
	for _, f := range w.files {
		wr := w.writer(filepath.Base(f.Path))
		truths[f.Alias] = wr.lines(3)
		writers = append(writers, wr)
	}
	w.start()
	w.up()
	for alias, all := range truths {
		w.wait(alias, all)
	}
	w.down()
	var lost [][]byte
	for round := range 3 { // of nine files the four that come last are kept
		for i, f := range w.files {
			b := writers[i].lines(2)
			if 3*round+i < 5 {
				lost = append(lost, b)
			} else {
				truths[f.Alias] = append(truths[f.Alias], b...)
			}
			time.Sleep(20 * time.Millisecond)
			w.rotate(filepath.Base(f.Path))
			writers[i].reopen()
			until(t, "the new file is seen", func() bool { return w.current(f.Alias) == inodeOf(t, f.Path) })
			time.Sleep(50 * time.Millisecond) // nothing tells when one was let go for another
		}
	}
	time.Sleep(300 * time.Millisecond)
	for i, f := range w.files {
		truths[f.Alias] = append(truths[f.Alias], writers[i].lines(1)...)
	}
	w.up()
	for _, f := range w.files {
		w.still(f.Alias, truths[f.Alias])
	}
	total := 0
	for _, e := range w.wantEvents(dtc.StateGap, len(lost)) {
		total += int(*e.To - *e.From)
	}
	if want := len(join(lost...)); total != want {
		t.Errorf("%d bytes are told to be lost, want %d", total, want)
	}
}
