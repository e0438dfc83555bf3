package follow

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A file is opened folder by folder as openat2(2) does it, which a confined agent
// may not call: with the same error where there is one.
func TestWalkNoLinks(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real", "deep")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(real, "log"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for to, at := range map[string]string{"real": "folder", "real/deep/log": "link", "nothing": "dangling"} {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"real/deep/log", "real//deep/log", "real/deep", "real/../real/deep/log", "folder/deep/log", "folder/none", "link", "dangling",
		"real/none/log", "real/none", "real/deep/log/below", "link/below",
	} {
		path := dir + "/" + name
		want, wantErr := openNoLinks(path)
		got, err := walkNoLinks(path)
		if !errors.Is(err, wantErr) {
			t.Errorf("%s: %v, want %v", name, err, wantErr)
			continue
		}
		if err != nil {
			continue
		}
		var a, b unix.Stat_t
		if err := errors.Join(unix.Fstat(got, &a), unix.Fstat(want, &b), unix.Close(got), unix.Close(want)); err != nil {
			t.Fatal(err)
		}
		if a.Ino != b.Ino || a.Dev != b.Dev {
			t.Errorf("%s: another file", name)
		}
	}
}
