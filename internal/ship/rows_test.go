package ship

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

// Half a line is there at once, and nothing of it comes again: neither with the
// other half, nor when the agent is killed between the two.
func TestHalfLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(1)
	w.start()
	w.up()
	w.wait("app.log", all)
	var took []time.Duration
	for i := range 20 {
		at := time.Now()
		all = append(all, a.write([]byte("abc"))...)
		w.wait("app.log", all)
		took = append(took, time.Since(at))
		if i%5 == 0 {
			w.kill()
			w.start()
			w.up()
		}
		time.Sleep(20 * time.Millisecond)
		w.wait("app.log", all)
		all = append(all, a.write([]byte("def\n"))...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
	t.Log("half a line is in the copy after: " + percentiles(took))
}

// Bytes are bytes: whatever a line, a character or an end of line may be.
func TestAnyBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	w.start()
	w.up()
	var all []byte
	for _, b := range [][]byte{
		{0},
		[]byte("\xef\xbb\xbfa BOM, and one in the midst \xef\xbb\xbf of a line\r\n"),
		[]byte("\xff\xfea\x00\n\x00"), // UTF-16, of which the newline is cut
		[]byte("\rone\rtwo\r\r\n\n\r"),
		make([]byte, 5000),
		noise(300_000),
		[]byte("\x1b[2J\x1a\x04\x00\x00"),
		make([]byte, dtc.MaxChunk+1),
		[]byte("end"),
	} {
		all = append(all, a.write(b)...)
		w.wait("app.log", all)
		w.down()
		w.up()
	}
	w.kill()
	all = append(all, a.write(make([]byte, 4096))...)
	w.start()
	w.up()
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

// A hundred writers write a hundred files at a time.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	const n = 100
	var files []File
	for i := range n {
		name := fmt.Sprintf("f%02d.log", i)
		files = append(files, File{Path: name, Alias: name})
	}
	w := newWorld(t, files...)
	w.start()
	w.up()
	truths := make([][]byte, n)
	var wg sync.WaitGroup
	for i := range files {
		a := w.writer(files[i].Alias)
		wg.Go(func() {
			for range 20 {
				truths[i] = append(truths[i], a.lines(1+i%7)...)
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
	for i := range files {
		w.wait(files[i].Alias, truths[i])
	}
}

// Three files, three rotations each.
func TestThreeTimesThree(t *testing.T) {
	t.Parallel()
	var files []File
	for _, name := range []string{"a.log", "b.log", "c.log"} {
		files = append(files, File{Path: name, Alias: name})
	}
	w := newWorld(t, files...)
	truths := make([][]byte, len(files))
	var writers []*writer
	for i := range files {
		writers = append(writers, w.writer(files[i].Alias))
		truths[i] = writers[i].lines(5)
	}
	w.start()
	w.up()
	for i := range files {
		w.wait(files[i].Alias, truths[i])
	}
	for range 3 {
		for i, a := range writers {
			truths[i] = append(truths[i], a.lines(5)...)
			w.rotate(files[i].Alias)
			a.reopen()
			truths[i] = append(truths[i], a.lines(5)...)
		}
	}
	for i := range files {
		w.still(files[i].Alias, truths[i])
	}
}

// Truncated and written again to just the size that it had.
func TestTruncateToTheSameSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.write(noise(5000))
	w.start()
	w.up()
	w.wait("app.log", all)
	for i := range 12 {
		if i%4 == 3 {
			w.kill()
		}
		fresh := noise(5000)
		if err := os.Truncate(w.path("app.log"), 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, a.write(fresh)...)
		if i%4 == 3 {
			w.start()
			w.up()
		}
		w.wait("app.log", all)
	}
	w.still("app.log", all)
	for _, e := range w.told("") {
		if e.State != dtc.StateGap || e.To != nil { // nobody knows what was written to it while no agent ran
			t.Errorf("event: %+v", e)
		}
	}
}

// What was not read before a rotation by copying is read from the copy, and
// that is not sent again.
func TestCopyTruncateUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(100)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	all = append(all, a.write(noise(10<<20))...)
	b, err := os.ReadFile(w.path("app.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("app.log.1"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(w.path("app.log"), 0); err != nil {
		t.Fatal(err)
	}
	all = append(all, a.lines(10)...)
	w.up()
	w.wait("app.log", all)
	w.kill()
	w.start()
	w.up()
	all = append(all, a.lines(10)...)
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

// The monitor writes what comes, and none of its answers arrives: the next
// connection sends nothing twice.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	var deaf atomic.Bool
	w.wrap = func(c net.Conn) net.Conn { return &deafConn{c, &deaf} }
	a := w.writer("app.log")
	all := a.lines(10)
	w.start()
	w.up()
	w.wait("app.log", all)
	for i := range 10 {
		deaf.Store(true)
		all = append(all, a.write(noise(1+i*150_000))...)
		all = append(all, a.lines(3)...)
		w.wait("app.log", all)
		if i%2 == 0 {
			w.down()
			deaf.Store(false)
		} else {
			w.kill()
			deaf.Store(false)
			w.start()
		}
		w.up()
		all = append(all, a.lines(3)...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
}

// deafConn throws away what comes, as long as it is deaf.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (c *deafConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.deaf.Load() {
			return n, err
		}
	}
}

// churns is how often TestChurn truncates.
func churns() int {
	if long() {
		return 10_000
	}
	return 1500
}

// A file is truncated and grows past its old size within a millisecond, again
// and again. Of an incarnation there is a beginning or nothing, and no byte of
// another one in it.
func TestChurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	first := a.lines(1)
	w.start()
	w.up()
	w.wait("app.log", first)
	sizes := []int{len(first)}
	for i := 1; i <= churns(); i++ {
		b := incarnation(i, 200+i%4000+(i%2)*4000+(i%50/49)*300_000)
		sizes = append(sizes, len(b))
		if err := a.f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		a.write(b)
		if i%3 == 0 {
			time.Sleep(time.Duration(i%5) * 500 * time.Microsecond)
		}
	}
	last := incarnation(churns(), sizes[churns()])
	deadline := time.Now().Add(60 * time.Second)
	for !bytes.HasSuffix(w.copyOf("app.log"), last) {
		if time.Now().After(deadline) {
			t.Fatalf("the last incarnation did not come: %d bytes", len(w.copyOf("app.log")))
		}
		time.Sleep(2 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	complete, begun, lost := takeApart(t, w.copyOf("app.log")[len(first):], sizes)
	if complete+begun < churns()/100 {
		t.Errorf("only %d of %d incarnations were seen", complete+begun, churns())
	}
	t.Logf("%d truncations: %d incarnations whole, %d in part, %d bytes short, events of %d bytes; of the others nothing; not one mixed",
		churns(), complete, begun, lost, toldLost(w))
}

// incarnation is what the file holds the nth time: lines that say so.
func incarnation(n, size int) []byte {
	var b []byte
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, "incarnation %06d line %04d of it ............................................\n", n, i)
	}
	return b
}

// takeApart checks that a copy is beginnings of incarnations, in their order. It
// returns of how many there is all, of how many a part, and how many bytes of
// the latter are missing.
func takeApart(t *testing.T, b []byte, sizes []int) (complete, begun, lost int) {
	t.Helper()
	before := 0
	for len(b) > 0 {
		var n int
		if _, err := fmt.Sscanf(string(b[:min(len(b), 40)]), "incarnation %d line 0000", &n); err != nil || n <= before || n >= len(sizes) {
			t.Fatalf("after incarnation %d there is %.80q", before, b)
		}
		before = n
		want := incarnation(n, sizes[n])
		k := 0
		for k < min(len(b), len(want)) && b[k] == want[k] {
			k++
		}
		if k == len(want) {
			complete++
		} else {
			begun++
			lost += len(want) - k
		}
		b = b[k:]
	}
	return complete, begun, lost
}

// toldLost returns how many bytes events say are lost.
func toldLost(w *world) int {
	n := 0
	for _, e := range w.told(dtc.StateGap) {
		if e.To != nil {
			n += int(*e.To - *e.From)
		}
	}
	return n
}

// A power loss may leave a monitor that knows of a generation, has nothing of it,
// and has lost the end of the one before: that comes first.
func TestLostEndComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.writer("app.log")
	first := a.write(noise(600_000))
	s := New(Options{Files: []File{{Path: w.path("app.log"), Alias: "app.log"}}, Logger: w.log})
	m := newScripted(t, s)
	m.send(dtc.Frame{Kind: dtc.FrameState, Stream: m.next(dtc.FrameAttach).Stream, Epoch: 1})
	one := m.next(dtc.FrameOpen)
	m.take(1, len(first))
	w.rename("app.log", "app.log.1")
	a.reopen()
	second := a.lines(3)
	two := m.next(dtc.FrameOpen)
	m.take(2, len(second))

	_ = m.link.Close()
	m = againScripted(t, s)
	m.send(dtc.Frame{Kind: dtc.FrameState, Stream: m.next(dtc.FrameAttach).Stream, Epoch: 2, States: []dtc.GenerationState{
		{Generation: one.Generation, Identity: one.Data}, {Generation: two.Generation, Identity: two.Data},
	}})
	m.take(1, len(first))
	m.take(2, len(second))
}

// take takes so many bytes, all of one generation.
func (m *scripted) take(generation uint64, n int) {
	m.t.Helper()
	for n > 0 {
		f := m.next(dtc.FrameAppend)
		if f.Generation != generation {
			m.t.Fatalf("bytes of generation %d, before %d of generation %d have come", f.Generation, n, generation)
		}
		n -= len(f.Data)
	}
}
