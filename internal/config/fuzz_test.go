package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
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
		defer bounds.Alloc(t, len(data))()
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
		defer bounds.Alloc(t, len(data))()
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
				checkRules(t, h.Rules)
				checkRetention(t, h.Retention)
			}
			checkRetention(t, m.Retention)
			checkReceivers(t, m.Receivers)
			for _, w := range m.Maintenance {
				if w.Start.IsZero() != w.End.IsZero() || w.From < 0 || w.From >= 24*time.Hour || w.To < 0 || w.To > 24*time.Hour ||
					!w.Start.IsZero() && (!w.Start.Before(w.End) || w.From != 0 || w.To != 0 || w.Days != nil) {
					t.Errorf("accepted %+v", w)
				}
			}
			return err
		})
	})
}

func checkRules(tb testing.TB, list []dtc.ProcessRule) {
	tb.Helper()
	names := map[string]bool{}
	for _, r := range list {
		n := 0
		for _, there := range []bool{r.Match != "", r.Exe != "", r.PIDFile != "", r.Unit != "", r.Port > 0} {
			if there {
				n++
			}
		}
		if n != 1 || r.Name == "" || names[r.Name] || r.Min < 1 || r.Max < 0 || r.Max > 0 && r.Max < r.Min || r.Port > 65535 || r.RestartWithin < 0 {
			tb.Errorf("accepted %+v", r)
		}
		if _, err := dtc.CompileMatch(r.Match); err != nil {
			tb.Errorf("accepted %+v: %v", r, err)
		}
		names[r.Name] = true
	}
}

func checkRetention(tb testing.TB, list []Retention) {
	tb.Helper()
	for i, r := range list {
		if r.Size < 0 || r.Age < 0 || r.Size == 0 && r.Age == 0 || r.Size > mostSize || checkAliasGlob(r.Alias) != nil || r.Line == 0 ||
			i > 0 && list[i-1].Alias == "" {
			tb.Errorf("accepted %+v", r)
		}
	}
}

func checkReceivers(tb testing.TB, list []Receiver) {
	tb.Helper()
	names := map[string]bool{}
	for _, r := range list {
		if r.Name == "" || names[r.Name] || r.Kind == "" || r.Wait <= 0 || r.Remind < 0 || r.GiveUp <= 0 || slices.Contains(r.For, "") {
			tb.Errorf("accepted %+v", r)
		}
		names[r.Name] = true
		for name, value := range r.Settings {
			if value == "" || strings.ContainsFunc(value, isControl) {
				tb.Errorf("accepted %s=%q of %s", name, value, r.Kind)
			}
		}
	}
}

// FuzzEdit takes a host out of any good file and puts it back.
func FuzzEdit(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
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
