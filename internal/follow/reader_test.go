package follow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

func openAppend(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func newChain(t *testing.T, path string) (*Chain, *Reader) {
	t.Helper()
	h := NewHost(0)
	c := h.NewChain(path)
	t.Cleanup(c.Close)
	if _, err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	return c, h.NewReader()
}

func TestReadOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w := openAppend(t, path)
	c, r := newChain(t, path)
	g := c.Current()
	var want, got []byte
	for i := range 200 {
		b := bytes.Repeat([]byte{byte(i)}, i*i)
		_, _ = w.Write(b)
		want = append(want, b...)
		for {
			b, err := r.Read(g, 1000+i)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) == 0 {
				break
			}
			got = append(got, b...)
		}
	}
	if !bytes.Equal(got, want) || g.Position() != int64(len(want)) {
		t.Fatalf("read %d bytes, want %d", len(got), len(want))
	}
	if g.Head.Length != dtc.HeadSize || g.Mark.Length != dtc.MarkerSize {
		t.Fatalf("head %+v mark %+v", g.Head, g.Mark)
	}
}

func TestRewritten(t *testing.T) {
	for name, after := range map[string]string{
		"shorter": "new", "as long": "another content!", "longer": "something else that is longer", "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			w := openAppend(t, path)
			_, _ = w.WriteString("the old content\n")
			c, r := newChain(t, path)
			g := c.Current()
			if _, err := r.Read(g, 100); err != nil {
				t.Fatal(err)
			}
			if err := w.Truncate(0); err != nil {
				t.Fatal(err)
			}
			_, _ = w.WriteString(after)
			if _, err := r.Look(g); !errors.Is(err, ErrCut) {
				t.Errorf("look: %v", err)
			}
			if b, err := r.Read(g, 100); !errors.Is(err, ErrCut) {
				t.Errorf("read %q, %v", b, err)
			}
			c.Cut(r, g)
			next := c.Current()
			if next == g || next.Origin.Incarnation != 1 || len(c.Generations) != 2 {
				t.Fatalf("%+v", c.Generations)
			}
			if b, err := r.Read(next, 100); err != nil || string(b) != after {
				t.Errorf("read %q, %v", b, err)
			}
		})
	}
}

// What was seen of a file of which nothing was read is known to be lost.
func TestRewrittenUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w := openAppend(t, path)
	_, _ = w.WriteString("seen, not read\n")
	c, r := newChain(t, path)
	g := c.Current()
	if _, err := r.Look(g); err != nil || g.Left() != 15 {
		t.Fatal(err, g.Left())
	}
	_ = w.Truncate(0)
	_, _ = w.WriteString("other bytes, and more of them\n")
	if _, err := r.Read(g, 100); !errors.Is(err, ErrCut) {
		t.Fatal(err)
	}
	c.Cut(r, g)
	if g.Left() != 15 || !g.Ended {
		t.Fatalf("%+v", g)
	}
}

// TestTruncateRace truncates and rewrites a file beyond its old size again and
// again while it is read. Every byte tells its incarnation: a run of bytes that
// is taken for one must never hold bytes of two.
func TestTruncateRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w := openAppend(t, path)
	c, r := newChain(t, path)
	var wg sync.WaitGroup
	var stop atomic.Bool
	var cycles atomic.Uint64
	wg.Go(func() {
		for n := uint64(1); n <= 10_000 && !stop.Load(); n++ {
			_ = w.Truncate(0)
			_, _ = w.Write(bytes.Repeat(binary.BigEndian.AppendUint64(nil, n), 500+int(n%700)))
			cycles.Store(n)
			if n%64 == 0 {
				time.Sleep(time.Millisecond) // lets the reader catch up, so that it has positions to be fooled at
			}
		}
		stop.Store(true)
	})
	reads, cuts := 0, 0
	seen := map[*Generation]uint64{}
	deadline := time.Now().Add(60 * time.Second)
	for !stop.Load() && time.Now().Before(deadline) {
		g := c.Current()
		b, err := r.Read(g, 700)
		if errors.Is(err, ErrCut) {
			cuts++
			c.Cut(r, g)
			c.Remove(g)
			delete(seen, g)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		reads++
		check(t, seen, g, b)
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d cycles, %d reads, %d truncations seen", cycles.Load(), reads, cuts)
	if cycles.Load() < 10_000 {
		t.Fatal("too slow")
	}
}

// check fails if b, just read from g, holds another number than g's bytes
// before.
func check(t *testing.T, seen map[*Generation]uint64, g *Generation, b []byte) {
	t.Helper()
	at := g.Position() - int64(len(b))
	for i := int64(0); i < int64(len(b)); i++ {
		shift := 56 - 8*((at+i)%8)
		if (at+i)%8 == 0 && i+8 <= int64(len(b)) {
			n := binary.BigEndian.Uint64(b[i:])
			if old, ok := seen[g]; ok && old != n {
				t.Fatalf("incarnation %d goes on with bytes of %d at %d", old, n, at+i)
			}
			seen[g] = n
			i += 7
			continue
		}
		if old, ok := seen[g]; ok && byte(old>>shift) != b[i] {
			t.Fatalf("incarnation %d goes on with other bytes at %d", old, at+i)
		}
	}
}

func TestResume(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	w := openAppend(t, path)
	content := bytes.Repeat([]byte("0123456789abcdef\n"), 1000)
	_, _ = w.Write(content)
	state := func(pos int64) dtc.GenerationState {
		s := dtc.GenerationState{Position: pos, HeadLen: int(min(pos, dtc.HeadSize)), MarkerLen: int(min(pos, dtc.MarkerSize))}
		s.Head = hash16(content[:s.HeadLen])
		s.Marker = hash16(content[pos-int64(s.MarkerLen) : pos])
		return s
	}
	c, r := newChain(t, path)
	g := c.Current()
	for _, pos := range []int64{0, 1, 4095, 4096, 4097, 17000} {
		if err := r.Resume(g, state(pos)); err != nil {
			t.Fatalf("at %d: %v", pos, err)
		}
		b, err := r.Read(g, 1<<20)
		if err != nil || !bytes.Equal(b, content[pos:]) {
			t.Fatalf("at %d: read %d bytes, %v", pos, len(b), err)
		}
	}
	wrong := state(5000)
	wrong.Marker[0]++
	if err := r.Resume(g, wrong); !errors.Is(err, ErrCut) {
		t.Fatal(err)
	}
	far := state(17000)
	far.Position = 18000
	if err := r.Resume(g, far); !errors.Is(err, ErrCut) || g.Low != 17000 {
		t.Fatal(err, g.Low)
	}
}
