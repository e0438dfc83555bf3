package ship

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtc"
)

// While the agent has files open their writer may rename, remove and make them
// anew, as if nobody looked. The writer closes its own handle first, for Go's
// does not permit that.
func TestWriterIsNotDisturbed(t *testing.T) {
	dir, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, fmt.Sprintf("dtc-ship-%d", os.Getpid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "app.log")
	var want int64
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.WriteString(text)
		if err != nil {
			t.Fatal(err)
		}
		want += int64(n)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	add("first\n")
	var got []byte
	k := &sink{}
	k.late = func(f *dtc.Frame) { got = append(got, f.Data...) }
	s := rig(t, []File{{Path: path, Alias: "app.log"}}, k)
	arrived := func() bool { n, _ := k.got(); return n == want }
	until(t, "the first line", arrived)
	if n := s.host.Opened(); n != 1 {
		t.Fatalf("%d files are open, so nothing is proven", n)
	}
	for i := range 5 {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, 100-i)); err != nil {
			t.Fatalf("round %d: rename while the agent has it open: %v", i, err)
		}
		add(fmt.Sprintf("line %d\n", i))
		until(t, "after a rename", arrived)
		if err := os.Remove(path); err != nil {
			t.Fatalf("round %d: remove while the agent has it open: %v", i, err)
		}
		time.Sleep(50 * time.Millisecond)
		add(fmt.Sprintf("again %d\n", i))
		until(t, "after a removal", arrived)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	t.Logf("%q", got)
}
