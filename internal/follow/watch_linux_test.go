package follow

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// How a name came and went is told in its order.
func TestHow(t *testing.T) {
	dir := t.TempDir()
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Watch(dir); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, do := range []func() error{
		func() error { return os.Rename(path("b"), path("a")) },
		func() error { return os.Chmod(path("a"), 0o640) },
		func() error { return os.Rename(path("a"), path("c")) },
		func() error { return os.Mkdir(path("a"), 0o700) },
		func() error { return os.Remove(path("a")) },
		func() error { return os.WriteFile(path("a"), nil, 0o600) },
		func() error { return os.Remove(path("a")) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	want := []How{Made, Replaced, Other, Left, Other, Made, Left} // of a folder nothing, once
	var got []How
	for len(got) < len(want) {
		events, err := w.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind == Moved && e.Name == "a" {
				got = append(got, e.How)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("told %v, want %v", got, want)
	}
}
