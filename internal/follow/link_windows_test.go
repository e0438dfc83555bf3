package follow

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file behind a link among its folders is not taken for the one at the path.
// LINKED is such a path, made by whoever can make one: Wine makes no junctions,
// and shows a symbolic link of Linux as a folder that leads elsewhere.
func TestLinkedFolder(t *testing.T) {
	path := os.Getenv("LINKED")
	if path == "" {
		t.Fatal("LINKED is not set: see TestWindowsTests in internal/e2e")
	}
	h := NewHost(0)
	if b, err := os.ReadFile(path); err != nil || len(b) == 0 {
		t.Fatalf("the file behind the link cannot be read at all: %v", err)
	}
	f, err := h.Open(path)
	if refusal, ok := errors.AsType[*Refusal](err); !ok {
		t.Errorf("opened through a link: %v, %v", f, err)
	} else {
		t.Log(refusal)
	}
	if _, _, err := glance(path); err == nil {
		t.Error("a sibling behind a link was looked at")
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(os.Args[0]))
	if err != nil {
		t.Fatal(err)
	}
	// Capitals and a longer way are no links.
	for _, p := range []string{
		filepath.Join(real, "plain.log"),
		strings.ToUpper(filepath.Join(real, "plain.log")),
		`\\?\` + filepath.Join(real, "plain.log"),
	} {
		if err := os.WriteFile(filepath.Join(real, "plain.log"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := h.Open(p)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		_ = f.Close()
	}
}
