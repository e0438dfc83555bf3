//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// fillable is a small file system of its own, with the copies on it, that can be
// filled up and freed.
type fillable struct {
	dir    string
	filler string
}

// fillableSize is more than a round writes.
const fillableSize = 400 << 20

// newFillable mounts one at dir. It is gone after the test.
func newFillable(tb testing.TB, dir string) *fillable {
	tb.Helper()
	image := filepath.Join(tb.TempDir(), "disk.img")
	f, err := os.Create(image)
	if err == nil {
		err = f.Truncate(fillableSize)
	}
	if err != nil {
		tb.Fatal(err)
	}
	f.Close()
	must(os.MkdirAll(dir, 0o750))
	root := namespace("")
	root.must(tb, "mkfs.ext4", "-q", "-F", "-m", "0", image)
	root.must(tb, "mount", "-o", "loop", image, dir)
	tb.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	must(os.Remove(filepath.Join(dir, "lost+found")))
	return &fillable{dir: dir, filler: filepath.Join(dir, ".filler")}
}

// fill leaves no room at all.
func (d *fillable) fill() {
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(err)
	defer f.Close()
	var st unix.Statfs_t
	must(unix.Statfs(d.dir, &st))
	if n := int64(st.Bavail)*st.Bsize - 4<<20; n > 0 {
		_ = unix.Fallocate(int(f.Fd()), 0, 0, n) // what is left then is written
	}
	b := make([]byte, 1<<20)
	for len(b) > 0 {
		if _, err := f.Write(b); err != nil { // to the last byte
			b = b[:len(b)/2]
		}
	}
}

func (d *fillable) free() { _ = os.Remove(d.filler) }

// onDisk is what happens to the monitor's disk.
func onDisk() grammar[*side] {
	return grammar[*side]{
		{"full", 10, func(s *side) { s.full(3000) }},
		{"full, and the monitor killed", 4, func(s *side) {
			s.disk.fill()
			s.over(1000)
			s.monitorKilled(0)
			s.over(1500)
			s.disk.free()
			s.count.add(func(t *tally) { t.fills++ })
		}},
		{"nothing", 20, func(s *side) { s.over(4000) }},
	}
}

func (s *side) full(ms int) {
	s.disk.fill()
	s.over(ms)
	s.disk.free()
	s.count.add(func(t *tally) { t.fills++ })
}
