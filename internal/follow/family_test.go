package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func nobody(Identity, Stat) bool { return false }

func TestFamilyOrder(t *testing.T) {
	for _, names := range [][]string{
		{"f.log.3", "f.log.2", "f.log.1", "f.log"},
		{"f.log-20261120", "f.log-20261121", "f.log-20261122", "f.log"},
		{"f.log.1", "f.log.2", "f.log.3", "f.log"}, // numbers that grow
		{"f-2026-11-20.log", "f-2026-11-21.log", "f.log"},
	} {
		dir := t.TempDir()
		for _, n := range names {
			if err := os.WriteFile(filepath.Join(dir, n), []byte(n), 0o644); err != nil {
				t.Fatal(err)
			}
			time.Sleep(8 * time.Millisecond) // longer than the clock of a file system is coarse
		}
		for _, other := range []string{"g.log", "f.log.1.gz", "f.log.lock", "ff.log.1"} {
			_ = os.WriteFile(filepath.Join(dir, other), nil, 0o644)
		}
		_ = os.Mkdir(filepath.Join(dir, "f.log.9"), 0o755)
		_ = os.Symlink("f.log", filepath.Join(dir, "f.log.8"))
		h := NewHost(0)
		fam, err := h.Family(filepath.Join(dir, "f.log"), nobody)
		if err != nil || !fam.Stable {
			t.Fatal(err, fam.Stable)
		}
		var got []string
		for _, m := range fam.Members {
			got = append(got, m.Name)
			if m.File == nil {
				t.Errorf("%s is not open", m.Name)
			}
		}
		if !slices.Equal(got, names) {
			t.Errorf("%q, want %q", got, names)
		}
		fam.Close()
		if h.Opened() != 0 {
			t.Errorf("%d files are open", h.Opened())
		}
	}
}

// A folder whose files are renamed all the time is never seen without one of
// them, if the reading says that it was stable.
func TestFamilyWhileRenamed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.log")
	const n = 8
	for i := range n {
		_ = os.WriteFile(fmt.Sprintf("%s.%d", path, i+1), fmt.Appendf(nil, "%d", i), 0o644)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for up := true; !stop.Load(); up = !up {
			for i := range n {
				if up {
					_ = os.Rename(fmt.Sprintf("%s.%d", path, n-i), fmt.Sprintf("%s.%d", path, n-i+1))
				} else {
					_ = os.Rename(fmt.Sprintf("%s.%d", path, i+2), fmt.Sprintf("%s.%d", path, i+1))
				}
			}
		}
	})
	h := NewHost(0)
	stable := 0
	readings := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); readings++ {
		fam, err := h.Family(path, nobody)
		if err != nil {
			t.Fatal(err)
		}
		if fam.Stable {
			stable++
			if len(fam.Members) != n {
				t.Errorf("%d files seen, want %d", len(fam.Members), n)
			}
		}
		fam.Close()
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d of %d readings were stable", stable, readings)
	if h.Opened() != 0 {
		t.Errorf("%d files are open", h.Opened())
	}
}
