//go:build linux

package follow

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(n string) string { return filepath.Join(dir, n) }
	_ = os.WriteFile(at("mine"), []byte("x"), 0o644)
	_ = os.WriteFile(at("theirs"), []byte("x"), 0o644)
	_ = os.Chown(at("theirs"), 1234, 1234)
	_ = syscall.Mkfifo(at("fifo"), 0o644)
	_ = os.Mkdir(at("dir"), 0o755)
	_ = os.WriteFile(at("dir/f"), nil, 0o644)
	link := func(name, target string, owner int) {
		_ = os.Symlink(target, at(name))
		_ = os.Lchown(at(name), owner, owner)
	}
	link("root-mine", at("mine"), 0)
	link("root-theirs", at("theirs"), 0)
	link("their-theirs", at("theirs"), 1234)
	link("their-mine", at("mine"), 1234)
	link("other-theirs", at("theirs"), 99)
	link("their-chain", "root-mine", 1234)
	link("loop", "loop", 0)
	link("rootdir", "dir", 0)
	link("theirdir", "dir", 1234)
	h := NewHost(0)
	for name, ok := range map[string]bool{
		"mine": true, "theirs": true, "fifo": false, "dir": false, "root-mine": true, "root-theirs": true, "their-theirs": true,
		"their-mine": false, "other-theirs": false, "their-chain": false, "loop": false, "rootdir/f": true, "theirdir/f": false,
	} {
		f, err := h.Open(at(name))
		if err == nil {
			_ = f.Close()
		}
		refusal, refused := errors.AsType[*Refusal](err)
		if ok && err != nil || !ok && !refused {
			t.Errorf("%s: %v (%v)", name, err, refusal)
		}
	}
	if h.Opened() != 0 {
		t.Errorf("%d files are open", h.Opened())
	}
	if _, err := h.Open(at("none")); !os.IsNotExist(err) {
		t.Error(err)
	}
	small := NewHost(1)
	f, err := small.Open(at("mine"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.Open(at("mine")); !errors.Is(err, ErrBudget) {
		t.Error(err)
	}
	_ = f.Close()
	_ = f.Close()
	if small.Opened() != 0 {
		t.Error(small.Opened())
	}
}

// The lease tells whether somebody may still write to a file without a name,
// and is never taken on one that has a name.
func TestUnwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w := openAppend(t, path)
	f, err := NewHost(0).Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Unwritten() {
		t.Error("a file that is open for writing is unwritten")
	}
	_ = os.Remove(path)
	if f.Unwritten() {
		t.Error("a file without a name that is open for writing is unwritten")
	}
	_ = w.Close()
	if !f.Unwritten() {
		t.Error("a file without a name and writers may be written")
	}
	if k, err := unix.FcntlInt(uintptr(f.handle), unix.F_GETLEASE, 0); err != nil || k != unix.F_UNLCK {
		t.Errorf("the lease is kept: %d, %v", k, err)
	}
}

func TestWatcher(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan Event, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var batch []Event
		for {
			var err error
			if batch, err = w.Next(batch[:0]); err != nil {
				return
			}
			for _, e := range batch {
				events <- e
			}
		}
	}()
	defer func() { _ = w.Close(); <-done }()
	want := func(e Event) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for {
			select {
			case got := <-events:
				if got.How = Other; got == e { // how a name came is another test's
					return
				}
			case <-deadline:
				t.Fatalf("no event %+v", e)
			}
		}
	}
	if err := w.Watch(dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Watch(dir); err != nil {
		t.Fatal(err)
	}
	fw := openAppend(t, path)
	want(Event{Kind: Moved, Folder: dir, Name: "f"})
	_, _ = fw.WriteString("x")
	want(Event{Kind: Wrote, Folder: dir, Name: "f"})
	f, err := NewHost(0).Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = os.Remove(path)
	want(Event{Kind: Moved, Folder: dir, Name: "f"})
	if err := w.WatchFile(f, 7); err != nil {
		t.Fatal(err)
	}
	_, _ = fw.WriteString("x")
	want(Event{Kind: Wrote, Token: 7})
	w.ForgetFile(7)
	_ = os.Rename(dir, dir+"2")
	want(Event{Kind: Lost, Folder: dir})
	_ = os.Mkdir(dir, 0o755)
	if err := w.Watch(dir); err != nil {
		t.Fatal(err)
	}
	openAppend(t, filepath.Join(dir, "g"))
	want(Event{Kind: Moved, Folder: dir, Name: "g"})
	w.Forget(dir)
	if err := w.Watch(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there is watched")
	}
}
