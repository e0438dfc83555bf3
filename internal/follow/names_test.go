package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dtc/internal/bounds"
)

func TestRotations(t *testing.T) {
	bases := func(name string) []string {
		var all []string
		for _, r := range Rotations(name) {
			all = append(all, r.Base)
		}
		return all
	}
	for name, base := range map[string]string{
		"app.log.1": "app.log", "app.log.12": "app.log", "app.log-1": "app.log", "app.log-20261122": "app.log",
		"app.log.2026-11-22": "app.log", "app.log.1.gz": "app.log", "app.log.gz": "app.log", "app.log-20261122.xz": "app.log",
		"app-2026-11-22.log": "app.log", "app.2026-11-22.log.gz": "app.log", "app.1.log": "app.log", "app.log.old": "app.log",
		"app.log~": "app.log", "app-2026-11-22T07-15-01.123.log": "app.log", "app.2026-11-22.3.log": "app.log",
		"syslog.1": "syslog", "syslog-20261122-1700000000": "syslog", "app.log.2026112207": "app.log",
	} {
		if !slices.Contains(bases(name), base) {
			t.Errorf("%s may come from %q, not from %s", name, bases(name), base)
		}
	}
	for name, base := range map[string]string{
		"worker-1.log": "worker.log", "app.log.lock": "app.log", "app.log.swp": "app.log", "app.log.1a": "app.log",
		"app.log.123456789012345678901234567890123": "app.log", "app.log": "app.log", "b.log.1": "a.log", ".1": "",
	} {
		if slices.Contains(bases(name), base) {
			t.Errorf("%s comes from %s", name, base)
		}
	}
}

func FuzzRotations(f *testing.F) {
	f.Add("app-2026-11-22.1.log.gz")
	f.Add("----....____1234")
	f.Fuzz(func(t *testing.T, name string) {
		defer bounds.Alloc(t, len(name))()
		all := Rotations(name)
		if len(all) > maxRotations+1 {
			t.Fatalf("%d readings", len(all))
		}
		for _, r := range all {
			if r.Base == "" || r.Base == name {
				t.Fatalf("%q comes from %q", name, r.Base)
			}
		}
	})
}

func TestGlob(t *testing.T) {
	dir := t.TempDir()
	touch := func(names ...string) {
		for _, n := range names {
			p := filepath.Join(dir, n)
			_ = os.MkdirAll(filepath.Dir(p), 0o755)
			_ = os.WriteFile(p, nil, 0o644)
		}
	}
	touch("a.log", "b.log", ".h.log", "x/a.log", "x/y/a.log", "x/y/z/b.txt", "[a].log", "{a,b}.log", ".hid/a.log", "x/.hid/b.log")
	_ = os.Symlink(filepath.Join(dir, "x"), filepath.Join(dir, "l"))
	_ = os.Symlink(dir, filepath.Join(dir, "x", "loop"))
	for pattern, want := range map[string][]string{
		"*.log":        {"[a].log", "a.log", "b.log", "{a,b}.log"},
		"?.log":        {"a.log", "b.log"},
		"[a]*":         {"[a].log"},
		".*.log":       {".h.log"},
		"*/a.log":      {"l/a.log", "x/a.log"},
		"**/a.log":     {"a.log", "x/a.log", "x/y/a.log"},
		"x/**/*":       {"x/a.log", "x/y/a.log", "x/y/z/b.txt"},
		"x/**":         {"x/a.log", "x/y/a.log", "x/y/z/b.txt"},
		"**/y/**/?.*":  {"x/y/a.log", "x/y/z/b.txt"},
		"nothing/*":    nil,
		"{a,b}.lo?":    {"{a,b}.log"},
		"x/*/*/*.tx**": {"x/y/z/b.txt"},
	} {
		g := NewGlobber(filepath.Join(dir, pattern))
		for range 2 { // the second from memory
			paths, _, err := g.Glob()
			if err != nil {
				t.Errorf("%s: %v", pattern, err)
			}
			got := slices.Clone(paths)
			for i := range got {
				got[i], _ = filepath.Rel(dir, got[i])
				if !g.Matches(filepath.Join(dir, got[i])) {
					t.Errorf("%s matches %s, and does not", pattern, got[i])
				}
				got[i] = filepath.ToSlash(got[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", pattern, got, want)
			}
		}
	}
	g := NewGlobber(filepath.Join(dir, "*.log"))
	_, _, _ = g.Glob()
	for i := range 50 { // nothing is missed, however soon after the last look
		touch(fmt.Sprintf("n%d.log", i))
		if got, _, _ := g.Glob(); len(got) != 5+i {
			t.Fatalf("%d files, want %d", len(got), 5+i)
		}
	}
}
