package follow

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

// pack compresses content with a program, as it is called with arguments.
func pack(tb testing.TB, content []byte, argv ...string) []byte {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v", argv, err)
	}
	return out
}

func programs() [][]string {
	return [][]string{{"gzip", "-c"}, {"bzip2", "-c"}, {"xz", "-c"}, {"zstd", "-c"}}
}

func someLines(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%d %x\n", i, rand.Uint32())
	}
	return b[:n]
}

func openArchive(tb testing.TB, h *Host, content []byte) *File {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "a.log.1.gz")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		tb.Fatal(err)
	}
	f, err := h.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

func hashOf(b []byte) dtc.Hash {
	full := sha256.Sum256(b)
	return dtc.Hash(full[:16])
}

// stateOf is what a copy of content[start:position] says.
func stateOf(content []byte, start, position int) dtc.GenerationState {
	head := content[start:min(start+dtc.HeadSize, position)]
	mark := content[max(start, position-dtc.MarkerSize):position]
	return dtc.GenerationState{
		Generation: 1, Start: int64(start), Position: int64(position), Sum: crc32.Checksum(content[start:position], castagnoli()),
		HeadLen: len(head), Head: hashOf(head), MarkerLen: len(mark), Marker: hashOf(mark),
	}
}

func newUnpacker(tb testing.TB) *Unpacker {
	tb.Helper()
	u := NewUnpacker()
	tb.Cleanup(u.Close)
	return u
}

func TestExamine(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	for _, size := range []int{0, 1, 100, 4096, 5000, 70_000, 1_000_000} {
		content := someLines(size)
		for _, argv := range programs() {
			f := openArchive(t, h, pack(t, content, argv...))
			var proofs []Proof
			var want []bool
			for _, at := range [][2]int{{0, 0}, {0, size / 2}, {0, size}, {size / 3, size / 2}, {size / 3, size}, {size, size}} {
				proofs = append(proofs, ProofOf(stateOf(content, at[0], at[1])))
				want = append(want, true)
				other := stateOf(content, at[0], at[1])
				other.Sum++
				longer := stateOf(content, at[0], at[1])
				longer.Position = int64(size) + 1
				proofs = append(proofs, ProofOf(other), ProofOf(longer))
				want = append(want, false, false)
			}
			d, err := u.Verify(t.Context(), f, proofs, nil)
			if err != nil || d.Length != int64(size) || fmt.Sprint(d.Holds) != fmt.Sprint(want) {
				t.Errorf("%s of %d: %v, length %d, holds %v, want %v", argv[0], size, err, d.Length, d.Holds, want)
			}
			if size < 100 {
				continue
			}
			strange := stateOf(someLines(size), 0, size)
			if d, err := u.Search(t.Context(), f, []Proof{ProofOf(strange)}); err != nil || d.Holds[0] {
				t.Errorf("%s of %d: %v, %+v", argv[0], size, err, d.Holds)
			}
			same := openArchive(t, h, append(content, "more"...))
			short := openArchive(t, h, content[:size-1])
			if !d.Ends(same) || d.Ends(short) || d.Ends(openArchive(t, h, someLines(size))) {
				t.Errorf("%s of %d: the file that it was made of is not known again", argv[0], size)
			}
		}
	}
}

// What begins as nothing does that is known is told before all of it is read.
func TestStrangeArchive(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	content := someLines(300_000)
	for _, argv := range programs() {
		f := openArchive(t, h, pack(t, content, argv...))
		for name, known := range map[string][]byte{"same": content, "other": someLines(300_000), "none": nil} {
			var head []byte
			if _, err := u.Verify(t.Context(), f, []Proof{{}, ProofOf(stateOf(known, 0, len(known)))}, func(b []byte) { head = bytes.Clone(b) }); err != nil {
				t.Fatal(err)
			}
			if want := content[:dtc.HeadSize]; (name == "same") != (head == nil) || head != nil && !bytes.Equal(head, want) {
				t.Errorf("%s, %s: told %.20q", argv[0], name, head)
			}
		}
	}
}

// Every archive that is cut anywhere has no end.
func TestCutArchive(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	content := someLines(200_000)
	for _, argv := range programs() {
		whole := pack(t, content, argv...)
		for range 40 {
			f := openArchive(t, h, whole[:rand.IntN(len(whole))])
			if d, err := u.Verify(t.Context(), f, nil, nil); !errors.Is(err, ErrUnfinished) {
				t.Errorf("%s: length %d: %v", argv[0], d.Length, err)
			}
			_ = f.Close()
		}
	}
}

// What is not exactly an archive is never read as one.
func TestDamagedArchive(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	content := someLines(200_000)
	for _, argv := range programs() {
		whole := pack(t, content, argv...)
		for range 40 {
			b := bytes.Clone(whole)
			at := 12 + rand.IntN(len(b)-12) // a time or a name in front is nobody's
			b[at] ^= 1 << rand.IntN(8)
			d, err := u.Verify(t.Context(), openArchive(t, h, b), []Proof{ProofOf(stateOf(content, 0, len(content)))}, nil)
			if err == nil && !d.Holds[0] {
				t.Errorf("%s: other content was read", argv[0])
			}
		}
		for tail, good := range map[string]bool{string(whole): true, "\x00\x00\x00\x00": argv[0] == "gzip" || argv[0] == "xz", "garbage garbage": false} {
			d, err := u.Verify(t.Context(), openArchive(t, h, append(bytes.Clone(whole), tail...)), nil, nil)
			if (err == nil) != good {
				t.Errorf("%s and %.7q: %v", argv[0], tail, err)
			}
			if err == nil && d.Length != int64(len(content)) && tail[0] != 0 && d.Length != int64(2*len(content)) {
				t.Errorf("%s and %.7q: %d bytes", argv[0], tail, d.Length)
			}
		}
	}
}

func TestUnreadableArchive(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	content := someLines(10_000)
	for name, b := range map[string][]byte{
		"archives of lz4 are not read":           pack(t, content, "lz4", "-c"),
		"archives of lzma are not read":          pack(t, content, "xz", "--format=lzma", "-c"),
		"it is no archive of gzip":               content,
		"it takes more than 64 MiB of memory":    pack(t, content, "zstd", "--long=27", "-c"),
		"it takes more than 64 MiB of memory ":   pack(t, content, "xz", "--lzma2=dict=128MiB", "-c"),
		"it takes more than 64 MiB of memory, 2": append(pack(t, content, "xz"), pack(t, content, "xz", "--lzma2=dict=128MiB", "-c")...),
	} {
		_, err := u.Verify(t.Context(), openArchive(t, h, b), nil, nil)
		unreadable, ok := errors.AsType[*Unreadable](err)
		if !ok || !bytes.HasPrefix([]byte(unreadable.Reason), []byte(name[:24])) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, argv := range [][]string{{"xz", "-9", "-c"}, {"zstd", "--long=26", "-c"}} {
		if d, err := u.Verify(t.Context(), openArchive(t, h, pack(t, content, argv...)), nil, nil); err != nil || d.Length != int64(len(content)) {
			t.Errorf("%s: %v", argv, err)
		}
	}
}

// A bomb takes time, and neither memory nor the connection.
func TestBomb(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	zeros := make([]byte, 16<<20)
	for _, argv := range programs() {
		b := bytes.Repeat(pack(t, zeros, argv...), 64)
		f := openArchive(t, h, b)
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		begin := time.Now()
		_, err := u.Verify(ctx, f, nil, nil)
		cancel()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: cannot be stopped for %s", argv[0], took)
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", argv[0], err)
		}
		runtime.ReadMemStats(&after)
		if took := int64(after.Sys) - int64(before.Sys); took > 48<<20 {
			t.Errorf("%s took %d MiB", argv[0], took>>20)
		}
	}
}

// The content is read like a file, forward and back, in chunks of any size.
func TestUnpack(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	content := someLines(5 << 20)
	for _, argv := range programs() {
		t.Run(argv[0], func(t *testing.T) {
			f := openArchive(t, h, pack(t, content, argv...))
			const position = 3 << 19
			state := stateOf(content, 0, position)
			d, err := u.Search(t.Context(), f, []Proof{ProofOf(state)})
			if err != nil || !d.Holds[0] {
				t.Fatal(err, d.Holds)
			}
			r := h.NewReader()
			g := &Generation{}
			g.Assume(state)
			var wakes atomic.Int64
			woken := make(chan struct{}, 1)
			u.Unpack(r, g, d, 0, func() {
				wakes.Add(1)
				select {
				case woken <- struct{}{}:
				default:
				}
			})
			read := func() []byte {
				for {
					b, err := r.Read(g, 1+rand.IntN(dtc.MaxChunk))
					if !errors.Is(err, ErrPending) {
						if err != nil {
							t.Fatal(err)
						}
						return b
					}
					select {
					case <-woken:
					case <-time.After(20 * time.Second):
						t.Fatal("nothing comes")
					}
				}
			}
			got := bytes.Clone(content[:position])
			back := 3
			for {
				b := read()
				if len(b) == 0 {
					break
				}
				got = append(got, b...)
				if back > 0 && rand.IntN(12) == 0 { // the monitor did not hear the last of it
					back--
					at := max(position, len(got)-rand.IntN(1+[]int{1 << 10, 300 << 10, 4 << 20}[back]))
					got = got[:at]
					s := stateOf(content, 0, at)
					for err = ErrPending; errors.Is(err, ErrPending); {
						if err = r.Resume(g, s); errors.Is(err, ErrPending) {
							<-woken
						}
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			if !bytes.Equal(got, content) || g.Left() != 0 {
				t.Fatalf("%d bytes instead of %d", len(got), len(content))
			}
			select {
			case <-f.Drained():
			default:
				t.Error("is not drained")
			}
			sum, end, err := Hash(f, 100, 4_000_000, t.Context().Err)
			if want := sha256.Sum256(content[100:4_000_000]); err != nil || end != 4_000_000 || !bytes.Equal(sum, want[:]) {
				t.Error(err, end)
			}
			_ = f.Close()
			if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		})
	}
	if h.Opened() != 0 {
		t.Errorf("%d files are open", h.Opened())
	}
}

// An archive that became another one while it was read gives no bytes of it.
func TestUnpackChanged(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	content := someLines(4 << 20)
	f := openArchive(t, h, pack(t, content, "gzip", "-c"))
	d, err := u.Verify(t.Context(), f, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &Generation{}
	woken := make(chan struct{}, 1)
	u.Unpack(h.NewReader(), g, d, -1, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	_ = os.Truncate(f.Real(), 1000)
	b := make([]byte, 1000)
	for err = ErrPending; errors.Is(err, ErrPending); {
		if _, err = f.ReadAt(b, 10_000); errors.Is(err, ErrPending) {
			<-woken
		}
	}
	if !errors.Is(err, errChanged) {
		t.Error(err)
	}
}

func TestWriters(t *testing.T) {
	h := NewHost(0)
	path := filepath.Join(t.TempDir(), "a")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := h.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	some, known := f.Writers()
	if known != (runtime.GOOS == "linux") || some != known {
		t.Error(some, known)
	}
	_ = w.Close()
	if some, _ := f.Writers(); some {
		t.Error("there is no writer")
	}
}

// Whatever lies in the folder: it is read to an end that was proven, or not at
// all, in bounded memory and time.
func FuzzArchive(f *testing.F) {
	for _, argv := range programs() {
		for _, size := range []int{0, 10, 5000, 200_000} {
			f.Add(pack(f, someLines(size), argv...))
			f.Add(pack(f, make([]byte, size), argv...))
		}
	}
	f.Add(append(pack(f, []byte("a"), "gzip", "-c"), pack(f, []byte("b"), "gzip", "-c")...))
	f.Add(append(pack(f, []byte("a"), "zstd", "-c"), "\x50\x2a\x4d\x18\xff\xff\xff\xff"...))
	h, u := NewHost(0), NewUnpacker()
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		path := filepath.Join(dir, "a.gz")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := h.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		begin := time.Now()
		d, err := u.Verify(ctx, file, nil, nil)
		if took := time.Since(begin); took > 10*time.Second {
			t.Fatalf("%d bytes cannot be stopped for %s", len(b), took)
		}
		if err != nil || !bytes.HasPrefix(b, []byte("\x1f\x8b")) {
			return
		}
		z, err := gzip.NewReader(bytes.NewReader(bytes.TrimRight(b, "\x00")))
		if err != nil {
			return
		}
		if n, err := io.Copy(io.Discard, z); err == nil && n != d.Length {
			t.Fatalf("%d bytes, want %d", d.Length, n)
		}
	})
}

// Of content of which nothing was read its end counts as well: others begin
// alike.
func TestProofOfUnread(t *testing.T) {
	h, u := NewHost(0), newUnpacker(t)
	r := h.NewProver()
	banner := someLines(dtc.HeadSize)
	mine, other := append(bytes.Clone(banner), someLines(9000)...), append(bytes.Clone(banner), someLines(9000)...)
	g := &Generation{probe: r.markOf(dtc.HeadSize, banner), end: r.markOf(12_000, mine[8000:12_000])}
	for i, content := range [][]byte{mine, other, mine[:11_000]} {
		d, err := u.Search(t.Context(), openArchive(t, h, pack(t, content, "gzip", "-c")), []Proof{r.ProofOf(g, 0)})
		if err != nil || d.Holds[0] != (i == 0) {
			t.Errorf("%d: %v, %v", i, err, d.Holds)
		}
		if i == 0 {
			u.Unpack(r, g, d, 0, func() {})
			if g.Position() != 0 || g.Seen != int64(len(mine)) {
				t.Errorf("begins at %d", g.Position())
			}
			g.File = nil
			g.probe = r.markOf(dtc.HeadSize, banner)
		}
	}
}
