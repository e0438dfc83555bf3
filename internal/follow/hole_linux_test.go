package follow

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// volumes mounts one file system of each kind whose word on holes is relied on,
// and calls f for each.
func volumes(t *testing.T, f func(t *testing.T, dir string)) {
	t.Helper()
	loop := func(size int64, mkfs ...string) func(testing.TB, string) {
		return func(tb testing.TB, dir string) {
			tb.Helper()
			image := filepath.Join(tb.TempDir(), "image")
			if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
				tb.Fatal(err)
			}
			run(tb, append(mkfs, image)...)
			run(tb, "mount", "-o", "loop", image, dir)
		}
	}
	for name, mount := range map[string]func(testing.TB, string){
		"ext4":  loop(256<<20, "mkfs.ext4", "-q", "-F"),
		"xfs":   loop(320<<20, "mkfs.xfs", "-q", "-f"),
		"btrfs": loop(256<<20, "mkfs.btrfs", "-q", "-f"),
		"tmpfs": func(tb testing.TB, dir string) {
			tb.Helper()
			run(tb, "mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", dir)
		},
		"overlay": func(tb testing.TB, dir string) {
			tb.Helper()
			base := tb.TempDir()
			for _, name := range []string{"lower", "upper", "work"} {
				if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
					tb.Fatal(err)
				}
			}
			run(tb, "mount", "-t", "overlay", "-o", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base), "overlay", dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mount(t, dir)
			t.Cleanup(func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			f(t, dir)
		})
	}
}

func run(tb testing.TB, args ...string) {
	tb.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		tb.Fatalf("%v (the tests need root): %v\n%s", args, err, out)
	}
}

// readAll reads g on to its end, and returns its bytes and how many of them
// were passed over as holes.
func readAll(t *testing.T, c *Chain, r *Reader) (all []byte, holes int64) {
	t.Helper()
	g := c.Current()
	for {
		b, err := r.Read(g, 1<<20)
		if errors.Is(err, ErrHole) {
			n, err := r.Pass(g, dtc.MaxHole)
			if err != nil {
				t.Fatal(err)
			}
			all, holes = append(all, make([]byte, n)...), holes+n
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			return all, holes
		}
		all = append(all, b...)
	}
}

func TestHoles(t *testing.T) {
	volumes(t, func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, "f")
		w, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		put := func(at int64, b []byte) {
			t.Helper()
			if _, err := w.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
		}
		noise := bytes.Repeat([]byte("0123456789abcdef"), 1000)
		c, r := newChain(t, path)
		r.Holes = true
		for i, step := range []struct {
			do    func()
			holes int64 // at least
		}{
			{func() { put(10<<20, noise) }, 10 << 20},                       // from the beginning
			{func() { put(30<<20, noise[:5]) }, 20<<20 - 20<<10},            // behind bytes
			{func() { _ = w.Truncate(40 << 20) }, 10<<20 - 300<<10},         // to its end
			{func() { put(40<<20+50<<10, noise) }, 0},                       // too short
			{func() { put(50<<20, make([]byte, 1<<20)) }, 9 << 20},          // zeros that were written
			{func() { _ = unix.Fallocate(int(w.Fd()), 0, 0, 60<<20) }, 0},   // room that was not
			{func() { put(90<<20, noise[:1]); put(100<<20, noise[:1]) }, 0}, // two at once
		} {
			before := c.Current().Position()
			step.do()
			got, holes := readAll(t, c, r)
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want[before:]) {
				t.Fatalf("step %d: other bytes", i)
			}
			if holes < step.holes {
				t.Errorf("step %d: %d bytes of holes were passed over, want %d", i, holes, step.holes)
			}
			fresh := NewHost(0).NewReader()
			g := c.Current()
			mark, err := fresh.read(g.File, g.Mark.Offset-int64(g.Mark.Length), g.Mark.Length)
			if err != nil || r.sum(mark) != g.Mark.Sum {
				t.Fatalf("step %d: the mark at %d is wrong", i, g.Mark.Offset)
			}
			if head := want[:min(len(want), dtc.HeadSize)]; g.Head.Length != len(head) || r.sum(head) != g.Head.Sum {
				t.Fatalf("step %d: the head is wrong: %+v", i, g.Head)
			}
		}
	})
}

// A truncation while a hole is looked at is noticed.
func TestHoleTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w := openAppend(t, path)
	_, _ = w.Write([]byte("first\n"))
	c, r := newChain(t, path)
	r.Holes = true
	g := c.Current()
	if _, err := r.Read(g, 100); err != nil {
		t.Fatal(err)
	}
	_ = w.Truncate(10 << 20)
	if b, err := r.Read(g, 1<<20); err != nil || len(b) != 4096-6 {
		t.Fatal(len(b), err)
	}
	if _, err := r.Read(g, 1<<20); !errors.Is(err, ErrHole) {
		t.Fatal(err)
	}
	_ = w.Truncate(0)
	_, _ = w.Write([]byte("other\n"))
	_ = w.Truncate(10 << 20)
	if n, err := r.Pass(g, dtc.MaxHole); !errors.Is(err, ErrCut) {
		t.Fatal(n, err)
	}
}

// No byte that was there before the question is ever called a hole, however it
// was written.
func TestNeverAHole(t *testing.T) {
	duration := 1500 * time.Millisecond
	volumes(t, func(t *testing.T, dir string) {
		t.Helper()
		deadline := time.Now().Add(duration)
		questions, holes, writes := 0, 0, 0
		for round := 0; time.Now().Before(deadline); round++ {
			q, h, w := neverAHole(t, filepath.Join(dir, fmt.Sprint(round%2)), deadline)
			questions, holes, writes = questions+q, holes+h, writes+w
		}
		t.Logf("%d questions, %d holes, %d writes", questions, holes, writes)
		if holes == 0 {
			t.Error("there was no hole, so nothing is proven")
		}
	})
}

const sparseSize = 32 << 20

// scribbler writes to a sparse file in every way that there is, and keeps what
// was written where.
type scribbler struct {
	f    *os.File
	mem  []byte
	mu   sync.Mutex
	done [][2]int64
}

func (s *scribbler) write(rnd *rand.Rand) error {
	at, n := rnd.Int64N(sparseSize-9000), 1+rnd.Int64N(1<<rnd.IntN(13))
	b := bytes.Repeat([]byte{'x'}, int(n))
	var err error
	switch rnd.IntN(5) {
	case 0, 1:
		_, err = s.f.WriteAt(b, at)
	case 2:
		err = unix.Fallocate(int(s.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, at, n+rnd.Int64N(1<<20))
		if err == nil {
			_, err = s.f.WriteAt(b, at)
		}
	case 3:
		copy(s.mem[at:], b)
	case 4:
		_, err = s.f.WriteAt(b, at)
		_ = unix.SyncFileRange(int(s.f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	s.mu.Lock()
	s.done = append(s.done, [2]int64{at, at + n})
	s.mu.Unlock()
	return err
}

func neverAHole(t *testing.T, path string, deadline time.Time) (questions, holes, writes int) {
	t.Helper()
	_ = os.Remove(path)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(sparseSize); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, sparseSize, unix.PROT_WRITE|unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	s := &scribbler{f: f, mem: mem}
	file, err := NewHost(0).Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		rnd := rand.New(rand.NewPCG(rand.Uint64(), 1))
		wg.Go(func() {
			for range 400 {
				if stop.Load() {
					return
				}
				if err := s.write(rnd); err != nil {
					t.Error(err)
					return
				}
			}
			stop.Store(true)
		})
	}
	for ; !stop.Load() && time.Now().Before(deadline); questions++ {
		s.mu.Lock()
		done := slices.Clip(s.done)
		s.mu.Unlock()
		at := rand.Int64N(sparseSize)
		if len(done) > 0 && questions%2 == 0 { // where something was written just now
			at = max(0, done[len(done)-1][0]-rand.Int64N(8192))
		}
		end := file.DataFrom(at, at+1+rand.Int64N(4<<20))
		holes += int(min(end-at, 1))
		for _, w := range done {
			if at < end && w[0] < end && w[1] > at {
				t.Errorf("[%d, %d) is called a hole, [%d, %d) was written", at, end, w[0], w[1])
				stop.Store(true)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	return questions, holes, len(s.done)
}
