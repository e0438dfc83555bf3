package ship

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

var (
	tortureDuration = flag.Duration("torture.duration", 4*time.Second, "how long each torture test runs")
	tortureSeed     = flag.Uint64("torture.seed", 0, "seed of the torture tests; 0: another each time")
)

func seed(t *testing.T) *rand.Rand {
	t.Helper()
	s := *tortureSeed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-torture.seed=%d", s)
	return rand.New(rand.NewPCG(s, 1))
}

// TestExact lets writers do what writers and rotations do, cuts the connection
// in the midst of frames, drops acknowledgments, and ends the agent at any
// moment. At the end every copy is byte for byte what was written.
func TestExact(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"rename", "copy", "mixed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			testExact(t, how)
		})
	}
}

func testExact(t *testing.T, how string) {
	t.Helper()
	rnd := seed(t)
	const n = 4
	var files []File
	for i := range n {
		name := fmt.Sprintf("f%d.log", i)
		files = append(files, File{Path: name, Alias: name})
	}
	w := newWorld(t, files...)
	cuts := &cutter{rnd: rand.New(rand.NewPCG(rnd.Uint64(), 2))}
	w.wrap = cuts.wrap
	w.start()
	w.up()
	var wg sync.WaitGroup
	var stop atomic.Bool
	sources := make([]*source, n)
	for i := range sources {
		sources[i] = &source{w: w, how: how, name: files[i].Alias, rnd: rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))}
		wg.Go(func() { sources[i].run(&stop) })
	}
	kills := 0
	for end := time.Now().Add(*tortureDuration); time.Now().Before(end); {
		time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
		switch rnd.IntN(6) {
		case 0:
			w.kill()
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
			w.start()
			w.up()
			kills++
		case 1:
			w.down()
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			w.up()
		}
	}
	stop.Store(true)
	wg.Wait()
	cuts.over.Store(true)
	total := 0
	for _, s := range sources {
		w.wait(s.name, s.truth)
		total += len(s.truth)
	}
	t.Logf("%d agents, %d connections, %.1f MB, exact; %v", kills+1, cuts.made.Load(), float64(total)/1e6, sources[0].done)
	if e := w.told(dtc.StateCorrupt); len(e) != 0 {
		t.Fatalf("corrupt: %+v", e)
	}
	for _, e := range w.told(dtc.StateGap) {
		// A truncation while no agent runs may have destroyed something, for all that anyone can tell.
		if how == "rename" || e.To != nil {
			t.Fatalf("gap: %+v", e)
		}
	}
}

// source is a file that is written and rotated in every way, with what was
// written to it.
type source struct {
	w     *world
	how   string
	name  string
	rnd   *rand.Rand
	f     *os.File
	truth []byte
	n     int
	old   int // siblings
	done  [8]int
}

func (s *source) run(stop *atomic.Bool) {
	s.create()
	s.write(100)
	for !s.caughtUp() { // what is rotated before the first contact is not copied
	}
	for !stop.Load() {
		switch k := s.rnd.IntN(40); {
		case k < 30:
			s.write(s.rnd.IntN(2000))
			s.done[0]++
		case k < 31:
			s.write(s.rnd.IntN(1 << 20))
			s.hollow(s.rnd.IntN(1 << s.rnd.IntN(22)))
			s.done[1]++
		case k < 34 && s.how != "copy":
			if s.rnd.IntN(2) == 0 {
				s.rotateLate()
			} else {
				s.rotate()
			}
			s.done[2]++
		case k < 35 && s.how != "copy": // several at once
			for range s.rnd.IntN(5) {
				s.rotate()
				s.write(s.rnd.IntN(500))
			}
			s.done[3]++
		case k < 37 && s.how != "rename":
			// An incarnation that nobody ever saw cannot be found again in its copy.
			if s.write(100); !s.caughtUp() {
				continue
			}
			s.write(s.rnd.IntN(100_000))
			time.Sleep(time.Duration(s.rnd.IntN(20)) * time.Millisecond)
			s.copyTruncate()
			s.done[4]++
		case k < 38 && s.how != "rename" && s.caughtUp():
			s.truncate()
			s.done[5]++
		default:
			time.Sleep(time.Duration(s.rnd.IntN(30)) * time.Millisecond)
		}
		s.prune()
	}
	_ = s.f.Close()
}

func (s *source) create() {
	f, err := os.OpenFile(s.w.path(s.name), os.O_WRONLY|os.O_CREATE|os.O_APPEND|os.O_EXCL, 0o644)
	if err != nil {
		panic(err)
	}
	s.f = f
}

func (s *source) write(n int) {
	s.n++
	b := fmt.Appendf(nil, "%s %d ", s.name, s.n)
	for len(b) < n {
		b = fmt.Appendf(b, "%x ", s.rnd.Uint64())
	}
	b = append(b, '\n')
	if _, err := s.f.Write(b); err != nil {
		panic(err)
	}
	s.truth = append(s.truth, b...)
}

// hollow makes the file n bytes longer without writing any.
func (s *source) hollow(n int) {
	st, err := s.f.Stat()
	if err == nil {
		err = s.f.Truncate(st.Size() + int64(n))
	}
	if err != nil {
		panic(err)
	}
	s.truth = append(s.truth, make([]byte, n)...)
}

// shift makes room for a new sibling with the number 1.
func (s *source) shift() {
	path := s.w.path(s.name)
	for k := s.old; k > 0; k-- {
		if err := os.Rename(fmt.Sprintf("%s.%d", path, k), fmt.Sprintf("%s.%d", path, k+1)); err != nil {
			panic(err)
		}
	}
	s.old++
}

// rotate renames the file, and goes on in a new one.
func (s *source) rotate() {
	s.rename()
	_ = s.f.Close()
	s.create()
}

// rotateLate is rotate by a writer that goes on in the old file for a while.
func (s *source) rotateLate() {
	s.rename()
	old := s.f
	time.Sleep(time.Duration(s.rnd.IntN(20)) * time.Millisecond)
	s.write(s.rnd.IntN(300))
	s.create()
	fresh := s.f
	s.f = old
	s.write(s.rnd.IntN(300))
	s.f = fresh
	_ = old.Close()
}

func (s *source) rename() {
	s.shift()
	if err := os.Rename(s.w.path(s.name), s.w.path(s.name)+".1"); err != nil {
		panic(err)
	}
}

func (s *source) copyTruncate() {
	s.shift()
	b, err := os.ReadFile(s.w.path(s.name))
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(s.w.path(s.name)+".1", b, 0o644); err != nil {
		panic(err)
	}
	if err := s.f.Truncate(0); err != nil {
		panic(err)
	}
}

func (s *source) truncate() {
	if err := s.f.Truncate(0); err != nil {
		panic(err)
	}
}

// caughtUp waits a little for the copy to have everything.
func (s *source) caughtUp() bool {
	for range 100 {
		if bytes.Equal(s.w.copyOf(s.name), s.truth) {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// prune removes the oldest siblings once they are not needed any more.
func (s *source) prune() {
	if s.old < 12 || s.rnd.IntN(20) > 0 || !s.caughtUp() {
		return
	}
	for s.old > 3 {
		if err := os.Remove(fmt.Sprintf("%s.%d", s.w.path(s.name), s.old)); err != nil {
			panic(err)
		}
		s.old--
	}
}

// cutter makes connections that break.
type cutter struct {
	mu   sync.Mutex
	rnd  *rand.Rand
	made atomic.Int64
	over atomic.Bool
}

func (c *cutter) wrap(conn net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made.Add(1)
	k := &cutConn{Conn: conn, c: c, deaf: c.rnd.IntN(2) == 0}
	k.left.Store(int64(c.rnd.IntN(1 << c.rnd.IntN(22))))
	if c.rnd.IntN(3) == 0 {
		k.left.Store(1 << 40)
	}
	return k
}

// cutConn breaks after a number of bytes: at once, or so that the other side's
// bytes do not arrive for a while before that.
type cutConn struct {
	net.Conn
	c    *cutter
	left atomic.Int64
	deaf bool
}

func (k *cutConn) Write(b []byte) (int, error) {
	left := k.left.Add(-int64(len(b)))
	if left < 0 && !k.c.over.Load() && !k.deaf {
		n, _ := k.Conn.Write(b[:max(0, int64(len(b))+left)])
		_ = k.Conn.Close()
		return n, net.ErrClosed
	}
	return k.Conn.Write(b)
}

func (k *cutConn) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	if k.deaf && k.left.Load() < 0 && !k.c.over.Load() {
		time.Sleep(20 * time.Millisecond) // what was written meanwhile arrives, its acknowledgment does not
		_ = k.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}
