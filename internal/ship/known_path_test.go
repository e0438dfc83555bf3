package ship

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"dtc/internal/follow"
)

// Of the paths that a monitor says it has streams of none counts that leads out of
// the pattern's folders: behind a link ".." does.
func TestAdoptsNoOtherPath(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "own.log"), []byte("own"), 0o600),
		os.Mkdir(filepath.Join(elsewhere, "in"), 0o700),
		os.WriteFile(filepath.Join(elsewhere, "secret.log"), []byte("secret"), 0o600),
		os.Symlink(filepath.Join(elsewhere, "in"), filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s := New(Options{Files: []File{{Path: filepath.Join(dir, "*.log"), Alias: "{name}"}}, Logger: slog.New(slog.DiscardHandler)})
	for path, want := range map[string]bool{
		dir + "/own.log":            true,
		dir + "/link/../secret.log": false,
		dir + "/./own.log":          false,
		dir + "/../" + filepath.Base(elsewhere) + "/secret.log": false,
		elsewhere + "/secret.log":                               false,
		"own.log":                                               false,
	} {
		k := knownStream{alias: filepath.Base(path), origins: []follow.Origin{{Path: path}}}
		if st := s.adopt(k); (st != nil) != want {
			t.Errorf("%s: taken %v", path, st != nil)
		}
	}
}
