//go:build !windows

package atomicfile

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// The mode is what is asked for, whatever the umask and the old file's are.
func TestModes(t *testing.T) {
	old := syscall.Umask(0o077)
	t.Cleanup(func() { syscall.Umask(old) })
	path := filepath.Join(t.TempDir(), "file")
	for _, want := range []os.FileMode{0o640, 0o644, 0o600, 0o750} {
		if err := Write(path, nil, want); err != nil {
			t.Fatal(err)
		}
		if got := mode(t, path); got != want {
			t.Errorf("mode %v, want %v", got, want)
		}
		if err := Replace(path, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got := mode(t, path); got != want {
			t.Errorf("mode %v after Replace, want %v", got, want)
		}
	}
	syscall.Umask(0)
	if err := Private(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, path); got != privateMode {
		t.Errorf("mode %v, want 0600", got)
	}
}

// Whoever reads sees one whole content, whatever is written meanwhile.
func TestWriteIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*1000) }
	if err := Write(path, content(0), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 60 {
			if err := Write(path, content(i), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	for alive := true; alive; {
		select {
		case <-done:
			alive = false
		default:
		}
		got := read(t, path)
		if i := (len(got) - 1) / 1000; len(got) == 0 || got != string(content(i)) {
			t.Fatalf("read %d bytes of a mixture", len(got))
		}
	}
	wg.Wait()
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := Write(path, []byte("old"), 0o604); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := Replace(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "new" {
		t.Errorf("got %q", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is now %v, %v", info, err)
	}
	onlyFiles(t, dir, "file", "link")
}

// A private file's content goes to nobody through a link that stands there.
func TestPrivateReplacesLink(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "key"), filepath.Join(dir, "elsewhere")
	if err := Write(elsewhere, []byte("theirs"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	if err := Private(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, elsewhere); got != "theirs" {
		t.Errorf("the secret went to the other file: %q", got)
	}
	if got := mode(t, path); got != privateMode {
		t.Errorf("mode %v, want 0600", got)
	}
}

func TestReplaceKeepsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12, 34); err != nil {
		t.Fatalf("%v: run the tests as root", err)
	}
	if err := Replace(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 12 || st.Gid != 34 || info.Mode() != 0o640 {
		t.Errorf("owner %d:%d mode %v, want 12:34 0640", st.Uid, st.Gid, info.Mode())
	}
}

// A lock is another process's too, and ends with the process that has it.
func TestLockOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if os.Getenv("DTC_TEST_LOCK") != "" {
		if _, err := Lock(os.Getenv("DTC_TEST_LOCK")); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("locked\n")
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockOfAnotherProcess$")
	cmd.Env = append(os.Environ(), "DTC_TEST_LOCK="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "locked") {
		t.Fatalf("the other process says %q, %v", buf[:n], err)
	}
	if _, err := TryLock(path); err == nil {
		t.Error("two processes have the lock")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	unlock, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// What root's commands have locked, the service's user can lock.
func TestLockBelongsToTheFoldersOwner(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chown(dir, 12, 34); err != nil {
		t.Fatalf("%v: run the tests as root", err)
	}
	path := filepath.Join(dir, "lock")
	for range 2 {
		unlock, err := Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		unlock()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 12 || st.Gid != 34 || info.Mode() != privateMode {
			t.Errorf("owner %d:%d mode %v, want 12:34 0600", st.Uid, st.Gid, info.Mode())
		}
	}
}
