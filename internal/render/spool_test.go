package render

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func testStore(t *testing.T, memory int) (*store, string) {
	t.Helper()
	dir := t.TempDir()
	s := newStore(Options{SpoolMemory: memory, SpoolDir: dir})
	t.Cleanup(s.Close)
	return s, dir
}

// Whatever is written to spools side by side is read again as it was, whether
// it stands in memory, in the file, or in both.
func TestSpools(t *testing.T) {
	for _, memory := range []int{1, 300, 5000, 1 << 20} {
		st, dir := testStore(t, memory)
		rng := rand.New(rand.NewPCG(1, uint64(memory)))
		spools, wants := make([]spool, 7), make([]bytes.Buffer, 7)
		for i := range spools {
			spools[i].store = st
		}
		for round := range 500 {
			i := rng.IntN(len(spools))
			p := bytes.Repeat([]byte{byte(round), byte(i)}, rng.IntN(200))
			if n, err := spools[i].Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			wants[i].Write(p)
			if rng.IntN(50) == 0 { // memory that is free again is used again
				spools[i].release()
				wants[i].Reset()
			}
			if st.used > memory {
				t.Fatalf("%d bytes in memory, at most %d are allowed", st.used, memory)
			}
		}
		for i := range spools {
			var got bytes.Buffer
			if n, err := spools[i].WriteTo(&got); n != int64(got.Len()) || err != nil || !bytes.Equal(got.Bytes(), wants[i].Bytes()) {
				t.Errorf("memory %d: spool %d gives %d bytes, want %d: %v", memory, i, got.Len(), wants[i].Len(), err)
			}
			if err := iotest.TestReader(spools[i].reader(), wants[i].Bytes()); err != nil {
				t.Errorf("memory %d: spool %d: %v", memory, i, err)
			}
			spools[i].release()
		}
		if st.used != 0 {
			t.Errorf("%d bytes are still counted", st.used)
		}
		if usesFile := st.file != nil; usesFile != (memory < 1<<20) {
			t.Errorf("memory %d: a file is used: %t", memory, usesFile)
		}
		st.Close()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}

// Without a folder all stays in memory.
func TestSpoolInMemory(t *testing.T) {
	st := newStore(Options{SpoolMemory: 1})
	defer st.Close()
	s := spool{store: st}
	for range 3 {
		if _, err := s.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := io.ReadAll(s.reader()); string(got) != "abcabcabc" || err != nil || st.file != nil {
		t.Error(string(got), err)
	}
}

func TestSpoolErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	st := newStore(Options{SpoolMemory: 1, SpoolDir: missing})
	s := spool{store: st}
	_, err := s.Write([]byte("abc"))
	if err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}

	st, _ = testStore(t, 1)
	s = spool{store: st}
	if _, err := s.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := st.file.Truncate(1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Error(err)
	}
	if _, err := io.ReadAll(s.reader()); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Error(err)
	}
	st.Close()
	if _, err := s.WriteTo(io.Discard); err == nil {
		t.Error("a closed store can be read")
	}
}
