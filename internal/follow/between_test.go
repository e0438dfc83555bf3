package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A folder that changes after it was listed, and before one of its files is
// looked at or opened, is not believed: what is said to be stable is what there
// is, each file once.
func TestChangedBetweenListAndOpen(t *testing.T) {
	const n = 5
	type world struct{ dir, path string }
	rotate := func(w world) {
		for k := n; k > 0; k-- {
			_ = os.Rename(fmt.Sprintf("%s.%d", w.path, k), fmt.Sprintf("%s.%d", w.path, k+1))
		}
		_ = os.Rename(w.path, w.path+".1")
		_ = os.WriteFile(w.path, []byte("new"), 0o644)
	}
	for name, change := range map[string]func(w world){
		"rotated": rotate,
		"rotated twice": func(w world) {
			rotate(w)
			rotate(w)
		},
		"removed":   func(w world) { _ = os.Remove(w.path + ".3") },
		"base gone": func(w world) { _ = os.Remove(w.path) },
		"remade": func(w world) {
			_ = os.Remove(w.path + ".2")
			_ = os.WriteFile(w.path+".2", []byte("another"), 0o644)
		},
		"swapped": func(w world) {
			_ = os.Rename(w.path+".1", w.path+".x")
			_ = os.Rename(w.path+".4", w.path+".1")
			_ = os.Rename(w.path+".x", w.path+".4")
		},
		"folder renamed": func(w world) {
			_ = os.Rename(w.dir, w.dir+"-away")
			_ = os.Mkdir(w.dir, 0o755)
			_ = os.WriteFile(w.path, []byte("in a new folder"), 0o644)
		},
		"folder removed": func(w world) { _ = os.RemoveAll(w.dir) },
	} {
		for at := 1; at <= n+1; at++ { // before the file that is met as the first, the second, …
			t.Run(fmt.Sprintf("%s/%d", name, at), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "d")
				w := world{dir, filepath.Join(dir, "f.log")}
				_ = os.Mkdir(dir, 0o755)
				_ = os.WriteFile(w.path, []byte("base"), 0o644)
				for k := 1; k <= n; k++ {
					_ = os.WriteFile(fmt.Sprintf("%s.%d", w.path, k), fmt.Appendf(nil, "%d", k), 0o644)
				}
				h := NewHost(0)
				met := 0
				family, err := h.Family(w.path, func(Identity, Stat) bool {
					if met++; met == at {
						change(w)
					}
					return false
				})
				compareFamily(t, w.dir, &family, err)
				family.Close()
				if h.Opened() != 0 {
					t.Errorf("%d files are open", h.Opened())
				}
			})
		}
	}
}

// compareFamily compares a family with what is in its folder now.
func compareFamily(t *testing.T, dir string, family *Family, err error) {
	t.Helper()
	entries, gone := os.ReadDir(dir)
	if err != nil {
		if gone == nil {
			t.Fatal(err)
		}
		return
	}
	if !family.Stable {
		t.Error("the folder was at rest at last, and is not called stable")
	}
	var want, got []Identity
	for _, e := range entries {
		id, err := Glance(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, id)
	}
	for _, m := range family.Members {
		if m.File == nil {
			t.Errorf("%s is not open", m.Name)
		} else if b := make([]byte, 32); m.Name != "" {
			if _, err := m.File.ReadAt(b, 0); err != nil {
				t.Error(err)
			}
			got = append(got, m.ID.Light())
		}
	}
	byNumber := func(a, b Identity) int { return int(a.Node[0]) - int(b.Node[0]) }
	slices.SortFunc(want, byNumber)
	slices.SortFunc(got, byNumber)
	if !slices.Equal(got, want) {
		t.Errorf("the family is %v, the folder has %v", got, want)
	}
}
