package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Of siblings that a chain cannot remember all it takes none that was there
// before: a rotation makes one file at a time, not thousands.
func TestMoreSiblingsThanRemembered(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.log")
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path) // older than its copies, as where a rotation copies
	for i := range maxStrangers + 50 {
		write(fmt.Sprintf("%s.%d", path, i+10))
	}
	time.Sleep(2 * grain) // so that they are certainly older than the look
	c := NewHost(0).NewChain(path)
	defer c.Close()
	if _, err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(path)
	if _, err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Generations); n != 2 {
		t.Fatalf("%d generations of a file that was rotated once", n)
	}
}
