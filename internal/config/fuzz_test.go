package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// seed adds every configuration of testdata and conf.
func seed(f *testing.F) {
	f.Helper()
	for _, c := range readBroken(f) {
		f.Add(c.data)
	}
	for _, pattern := range []string{"testdata/good/*.xml", "../../conf/*.xml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// checkAny checks what holds for any file: faults in its lines, nothing changed
// in the data, memory in proportion to it.
func checkAny(t *testing.T, data []byte, parse func() error) {
	t.Helper()
	before := slices.Clone(data)
	var err error
	if bytes, most := allocated(func() { err = parse() }), uint64(1<<20+4000*len(data)); bytes > most {
		t.Errorf("%d bytes allocated for %d, want at most %d", bytes, len(data), most)
	}
	if !slices.Equal(before, data) {
		t.Error("the data is changed")
	}
	if err == nil {
		return
	}
	faults, ok := errors.AsType[Errors](err)
	if !ok {
		t.Fatalf("error %v, want Errors", err)
	}
	checkFaults(t, "", faults, data)
}

func FuzzAgent(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		checkAny(t, data, func() error {
			a, err := ParseAgent("x.xml", data)
			seen := map[string]bool{}
			for _, file := range a.Files {
				if file.Path == "" || file.Alias == "" || !file.Pattern() && (CheckAlias(file.Alias) != nil || seen[AliasKey(file.Alias)]) {
					t.Errorf("accepted %+v", file)
				}
				seen[AliasKey(file.Alias)] = seen[AliasKey(file.Alias)] || !file.Pattern()
			}
			return err
		})
	})
}

func FuzzMonitor(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		checkAny(t, data, func() error {
			m, err := ParseMonitor("x.xml", data)
			for i, h := range m.Hosts {
				if h.Name == "" || !h.Address.IsValid() || h.Address.Port() == 0 || h.DetectInterval <= 0 {
					t.Errorf("accepted %+v", h)
				}
				for _, o := range m.Hosts[:i] {
					if o.Name == h.Name || o.Address == h.Address {
						t.Errorf("accepted %+v and %+v", o, h)
					}
				}
			}
			return err
		})
	})
}

// FuzzEdit takes a host out of any good file and puts it back.
func FuzzEdit(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := ParseMonitor("x.xml", data)
		if err != nil {
			return
		}
		h := Host{Name: "a <new> & one", Address: addr("192.0.2.77:7"), Groups: []string{"g"}, PIDs: []int{7}}
		if slices.ContainsFunc(before.Hosts, func(o Host) bool { return o.Name == h.Name || o.Address == h.Address }) {
			return
		}
		added, err := insertHost("x.xml", data, h)
		if err != nil {
			t.Fatalf("add to %q: %v", data, err)
		}
		removed, got, err := cutHost("x.xml", added, h.Name)
		if err != nil {
			t.Fatalf("remove from %q: %v", added, err)
		}
		if got.Address != h.Address || got.Name != h.Name {
			t.Errorf("removed %+v", got)
		}
		if after, err := ParseMonitor("x.xml", removed); err != nil || sameBut(before, after, before.Hosts) != nil {
			t.Errorf("%q became %q: %v", data, removed, err)
		}
	})
}
