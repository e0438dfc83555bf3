package follow

import (
	"os"
	"path/filepath"
	"testing"
)

// What the writer may do with a file that is open for following, each alone.
func TestSharing(t *testing.T) {
	dir := filepath.Join(os.TempDir(), "dtc-follow-sharing")
	_ = os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := NewHost(0)
	for name, do := range map[string]func(path string) error{
		"append": func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				err = f.Close()
			}
			return err
		},
		"truncate": func(p string) error { return os.Truncate(p, 0) },
		"rename":   func(p string) error { return os.Rename(p, p+".1") },
		"remove":   os.Remove,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := h.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := do(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "remove" { // the name may stay until the last handle is closed, on systems without POSIX deletion
			t.Logf("new file under a removed name that is still open: %v", os.WriteFile(path, nil, 0o644))
		}
		_ = f.Close()
	}
}
