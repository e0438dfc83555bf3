package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// descriptors returns how many of this process's descriptors lead below dir.
func descriptors(tb testing.TB, dir string) (n int) {
	tb.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	check(tb, err)
	for _, d := range all {
		if to, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

// TestFollowMoreThanMayBeOpen follows more copies than are held open at a time:
// none is overlooked, and none comes twice.
func TestFollowMoreThanMayBeOpen(t *testing.T) {
	const streams, rounds = maxReaders + 200, 3
	files := map[string]string{}
	for i := range streams {
		files[fmt.Sprintf("%d.log", i)] = fmt.Sprintf("old of %d\n", i)
	}
	r := &rig{t: t, dir: plainDir(t, files)}
	f := r.follow(Query{Lines: 1})
	path := func(i int) string { return filepath.Join(r.dir, "10.0.0.7", fmt.Sprintf("%d.log", i)) }
	for round := range rounds {
		for i := range streams {
			addTo(t, path(i), fmt.Sprintf("%d of %d, and ", round, i))
		}
		for i := range streams {
			addTo(t, path(i), "so on\n")
		}
		for i := range streams {
			var want strings.Builder
			fmt.Fprintf(&want, "old of %d\n", i)
			for k := range round + 1 {
				fmt.Fprintf(&want, "%d of %d, and so on\n", k, i)
			}
			f.wait(t, fmt.Sprintf("%d.log", i), want.String())
		}
	}
	if n := descriptors(t, r.dir); n > maxReaders+20 {
		t.Errorf("%d descriptors", n)
	}
	check(t, os.WriteFile(path(streams), []byte("new\n"), 0o640))
	f.wait(t, fmt.Sprintf("%d.log", streams), "new\n")
}

// TestFollowWithoutNotifications looks by itself.
func TestFollowWithoutNotifications(t *testing.T) {
	const streams = maxReaders + 50
	files := map[string]string{}
	for i := range streams {
		files[fmt.Sprintf("%d.log", i)] = "old\n"
	}
	dir := plainDir(t, files)
	got := make(chan string, streams)
	ctx := t.Context()
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		root, err := os.OpenRoot(dir)
		check(t, err)
		defer root.Close()
		first := true
		q := Query{Follow: true, Idle: func() error {
			if first {
				first = false
				close(ready)
			}
			return nil
		}}
		q.setDefaults()
		r := &reading{
			root: root, query: q, buf: make([]byte, 64<<10), open: map[Target]*source{}, failed: map[Target]error{}, whole: true,
			watch: &watch{root: root, folders: map[string]bool{}, failed: true},
			emit: func(l Line) error {
				got <- l.Alias
				return nil
			},
		}
		defer r.close()
		r.turns.limit = maxReaders
		targets, err := r.list()
		check(t, err)
		check(t, r.discover(ctx, targets, r.query.begin))
		done <- r.follow(ctx)
	}()
	<-ready
	for i := range streams {
		addTo(t, filepath.Join(dir, "10.0.0.7", fmt.Sprintf("%d.log", i)), "new\n")
	}
	seen := map[string]bool{}
	timeout := time.After(60 * time.Second)
	for len(seen) < streams {
		select {
		case alias := <-got:
			if seen[alias] {
				t.Fatalf("%s comes twice", alias)
			}
			seen[alias] = true
		case <-timeout:
			t.Fatalf("%d of %d came", len(seen), streams)
		}
	}
}

// TestFollowNewFolder takes in copies in folders that come to be, also where
// one of that name was before.
func TestFollowNewFolder(t *testing.T) {
	r := &rig{t: t, dir: t.TempDir()}
	f := r.follow(Query{Lines: 1})
	folder := filepath.Join(r.dir, "10.0.0.8")
	for _, alias := range []string{"a.log", "b.log"} {
		check(t, os.Mkdir(folder, 0o750))
		check(t, os.WriteFile(filepath.Join(folder, alias), []byte("new\n"), 0o640))
		f.wait(t, alias, "new\n")
		addTo(t, filepath.Join(folder, alias), "more\n")
		f.wait(t, alias, "new\nmore\n")
		check(t, os.RemoveAll(folder))
	}
}

// TestManyEndlessLines follows many copies whose lines do not end: what is held
// of them is bounded, and lines that do end come whole.
func TestManyEndlessLines(t *testing.T) {
	const streams = 90
	endless := strings.Repeat("x", MaxLine-1)
	files := map[string]string{"whole.log": ""}
	for i := range streams {
		files[fmt.Sprintf("%d.log", i)] = endless
	}
	r := &rig{t: t, dir: plainDir(t, files)}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	f := r.follow(Query{Lines: 1})
	addTo(t, filepath.Join(r.dir, "10.0.0.7", "whole.log"), "a whole ")
	addTo(t, filepath.Join(r.dir, "10.0.0.7", "whole.log"), "line\n")
	f.wait(t, "whole.log", "a whole line\n")
	runtime.GC()
	runtime.ReadMemStats(&m)
	cut := 0
	for i := range streams {
		cut += len(f.of(fmt.Sprintf("%d.log", i)))
	}
	// What was cut the test holds itself.
	if held := int64(m.HeapAlloc) - int64(before) - int64(2*cut); held > 2*maxPartial || cut == 0 {
		t.Errorf("%d bytes are held, %d were cut", held, cut)
	}
}
