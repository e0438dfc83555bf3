package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// onlyFiles checks that a folder holds just these: nothing temporary is left.
func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, want := range []string{"", "one", strings.Repeat("two", 100_000), "three"} {
		if err := Write(path, []byte(want), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != want {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	}
	onlyFiles(t, dir, "file")
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "none", "file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	taken := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func() error{
		"Write":   func() error { return Write(taken, []byte("x"), 0o600) },
		"Private": func() error { return Private(taken, []byte("x")) },
		"Replace": func() error { return Replace(taken, []byte("x")) },
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), taken) {
			t.Errorf("%s over a folder: error %v", name, err)
		}
	}
	if err := Replace(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	onlyFiles(t, dir, "folder")
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("error %v, want ErrLocked", err)
	}
	if _, err := lock(path, 20*time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("error %v, want ErrLocked after a while", err)
	}
	unlock()
	unlock, err = TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if _, err := Lock(filepath.Join(path, "none")); err == nil {
		t.Error("a file in a file is locked")
	}
}

// One at a time has it, and it is no other file's when somebody removes the file.
func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	const each, workers = 50, 4
	held, entered := 0, 0
	var guard sync.Mutex
	change := func(by int) int {
		guard.Lock()
		defer guard.Unlock()
		held += by
		if by > 0 {
			entered++
		}
		return held
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				unlock, err := Lock(path)
				if err != nil {
					t.Error(err)
					return
				}
				if n := change(1); n != 1 {
					t.Error(fmt.Sprint(n, " have the lock"))
				}
				change(-1) // whoever removes the file gives the lock up with that
				if i%10 == 0 {
					_ = os.Remove(path) // Windows does not allow it, which is as well
				}
				unlock()
			}
		})
	}
	wg.Wait()
	if entered != each*workers {
		t.Errorf("%d times locked, want %d", entered, each*workers)
	}
}
