package wire

import (
	"os"
	"path/filepath"
	"testing"
)

// The folder of the socket is closed to others and still the service's own.
func TestProtect(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := protect(dir, ownerOnly); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	if protect(filepath.Join(dir, "none"), ownerOnly) == nil || protect(dir, "no list") == nil {
		t.Error("nothing was protected, and no error")
	}
}
