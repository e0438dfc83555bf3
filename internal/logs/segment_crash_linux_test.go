package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// TestCutRoll has the monitor end at each step of closing a live file.
func TestCutRoll(t *testing.T) {
	source := text(3000)
	for _, c := range []struct {
		name string
		cut  func(r *rig) // what the disk has then
	}{
		{"renamed", func(r *rig) {
			check(r.t, os.Rename(r.path("app.log"), r.path(".app.log.0")))
		}},
		{"a new file", func(r *rig) {
			check(r.t, os.Rename(r.path("app.log"), r.path(".app.log.0")))
			check(r.t, os.WriteFile(r.path("app.log"), nil, 0o640))
		}},
		{"another name", func(r *rig) {
			check(r.t, os.WriteFile(r.path(".app.log.0"), []byte("not yours"), 0o640))
			check(r.t, os.Rename(r.path("app.log"), r.path(".app.log.1")))
		}},
	} {
		for _, boot := range []string{"a boot", "the next boot"} {
			t.Run(c.name+"/"+boot, func(t *testing.T) {
				r := newRig(t, func(o *Options) { o.Boot, o.minSegment = "a boot", 1000 })
				a := r.connect(peerA)
				a.attach(1, "app.log")
				a.open(1, 1, "one")
				a.feed(1, 1, source, 0, 2500)
				a.durable(1, 1, 2500)
				a.close()
				r.crash()
				c.cut(r)
				if got := readAll(t, r.dir, Query{Lines: -1}); got != source[:2500] {
					t.Errorf("%d bytes are read", len(got))
				}
				r = r.again(func(o *Options) { o.Boot = boot })
				r.keep(Retention{Size: 8000})
				b := r.connect(peerA)
				if s := b.attach(1, "app.log"); s[0].Position != 2500 || s[0].Sum != crcOf(source[:2500]) {
					t.Fatalf("%+v", s[0])
				}
				b.feed(1, 1, source, 2500, 3000)
				if got := strings.TrimPrefix(r.whole("app.log"), "not yours"); got != source {
					t.Fatalf("%d bytes", len(got))
				}
				if e := r.eventStates(); len(e) > 0 {
					t.Fatalf("events %v", r.events.all)
				}
			})
		}
	}
}

// TestLostNames has a power loss take the names of a roll, and leave its record.
func TestLostNames(t *testing.T) {
	source := text(3000)
	r := newRig(t, func(o *Options) { o.Boot, o.minSegment = "a boot", 1000 })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.feed(1, 1, source, 0, 2500)
	r.keep(Retention{Size: 8000})
	r.stream("app.log").retain(time.Now())
	if got := r.segments("app.log"); len(got) != 1 || r.content("app.log") != "" {
		t.Fatalf("segments %v", got)
	}
	a.close()
	r.crash()
	check(t, os.Remove(r.path("app.log")))
	check(t, os.Rename(r.path(".app.log.0"), r.path("app.log")))
	r = r.again(func(o *Options) { o.Boot = "the next boot" })
	b := r.connect(peerA)
	if s := b.attach(1, "app.log"); s[0].Position != 2500 || s[0].Sum != crcOf(source[:2500]) {
		t.Fatalf("%+v", s[0])
	}
	b.feed(1, 1, source, 2500, 3000)
	if got := r.segments("app.log"); len(got) != 1 || r.whole("app.log") != source {
		t.Fatalf("segments %v, %d bytes", got, len(r.whole("app.log")))
	}
	if e := r.eventStates(); len(e) > 0 {
		t.Fatalf("events %v", r.events.all)
	}
}

// TestSegmentModes looks at what a roll leaves, whatever the umask says.
func TestSegmentModes(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	r, _ := inSegments(t, nil, "one\n", "two\n")
	for _, name := range append(r.segments("app.log"), "app.log", sideName("app.log")) {
		st, err := os.Stat(r.path(name))
		check(t, err)
		if st.Mode() != fileMode {
			t.Errorf("%s: mode %v", name, st.Mode())
		}
	}
}

// TestCutDrop has the monitor end between the record of a drop and the removal
// of the files.
func TestCutDrop(t *testing.T) {
	source := text(9000)
	r := retaining(t, Retention{Size: 80_000}, 1000)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	r.keep(Retention{Size: 8000})
	for at := 0; at < 9000; at += 900 {
		a.feed(1, 1, source, at, at+900)
		a.durable(1, 1, at+900)
	}
	st := r.stream("app.log")
	st.mu.Lock()
	c, err := st.open()
	check(t, err)
	n := len(c.segments)
	if n < 5 {
		t.Fatalf("%d segments", n)
	}
	from := c.segments[2].end
	check(t, c.dropOld(3))
	st.mu.Unlock()
	before := r.segments("app.log")
	a.close()
	r.crash()
	if got := readAll(t, r.dir, Query{Lines: -1}); got != source[from:] {
		t.Fatalf("%d bytes are read, want %d", len(got), len(source)-int(from))
	}
	if now := r.segments("app.log"); !slices.Equal(now, before) {
		t.Fatalf("a reader removed segments: %v, were %v", now, before)
	}
	r = r.again()
	eventually(t, "the files are removed", func() bool {
		r.keep(Retention{Size: 80_000})
		return len(r.segments("app.log")) == n-3
	})
	if got := r.whole("app.log"); got != source[from:] {
		t.Fatalf("%d bytes", len(got))
	}
	if e := r.eventStates(); len(e) > 0 {
		t.Fatalf("events %v", r.events.all)
	}
}

// TestFailedRoll has each sync of a roll fail, and each time the bytes come
// again.
func TestFailedRoll(t *testing.T) {
	source := text(4000)
	for n := range int32(6) {
		var left atomic.Int32
		left.Store(1 << 30)
		r := retaining(t, Retention{Size: 8000}, 1000, func(o *Options) {
			o.SyncEvery = time.Hour
			o.sync = func(f *os.File) error {
				if left.Add(-1) == 0 {
					return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: unix.EIO}
				}
				return syncData(f)
			}
		})
		a := r.connect(peerA)
		a.attach(1, "app.log")
		a.open(1, 1, "one")
		a.feed(1, 1, source, 0, 900)
		left.Store(n)
		position := 900
		for position < len(source) {
			a.append(1, 1, position, source[position:min(position+700, len(source))])
			a.ping()
			if left.Load() > 0 || n == 0 {
				position = min(position+700, len(source))
				continue
			}
			left.Store(1 << 30)
			f := a.until(dtc.FrameNack)
			position = int(f.Offset)
		}
		eventually(t, "everything is there", func() bool {
			if r.whole("app.log") == source {
				return true
			}
			at := int(r.Streams()[0].Position)
			if at < len(source) {
				a.append(1, 1, at, source[at:min(at+700, len(source))])
				a.ping()
			}
			return false
		})
	}
}

// TestFullDiskInRoll has a file system without room for one more file.
func TestFullDiskInRoll(t *testing.T) {
	dir := t.TempDir()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,nr_inodes=40"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	r := openRig(t, filepath.Join(dir, "logs"), func(o *Options) { o.minSegment = 1000 })
	r.keep(Retention{Size: 8000})
	fill, err := os.Create(filepath.Join(dir, "fill"))
	check(t, err)
	source := text(20_000)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.feed(1, 1, source, 0, 900)
	var full []*os.File
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("full ", i)))
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		check(t, err)
		full = append(full, f)
	}
	// The live file goes on while no other can be made.
	a.feed(1, 1, source, 900, 5000)
	if got := r.content("app.log"); got != source[:5000] {
		t.Fatalf("%d bytes", len(got))
	}
	for _, f := range full {
		check(t, f.Close())
		check(t, os.Remove(f.Name()))
	}
	r.stream("app.log").mu.Lock()
	r.stream("app.log").c.rollAfter = time.Time{}
	r.stream("app.log").mu.Unlock()
	a.feed(1, 1, source, 5000, 7000)
	if got := r.segments("app.log"); len(got) == 0 || r.whole("app.log") != source[:7000] {
		t.Fatalf("segments %v, %d bytes", got, len(r.whole("app.log")))
	}
	// No room for bytes, but for files: the stream waits, and is whole after it.
	_, err = fill.Write(bytes.Repeat([]byte{1}, 4<<20))
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	a.append(1, 1, 7000, source[7000:20_000])
	a.until(dtc.FramePaused)
	check(t, fill.Truncate(0))
	a.until(dtc.FrameResumed)
	at := int(a.until(dtc.FrameNack).Offset)
	a.feed(1, 1, source, at, 20_000)
	if got := r.whole("app.log"); !strings.HasSuffix(source, got) || len(got) < 8000 {
		t.Fatalf("%d bytes", len(got))
	}
	check(t, fill.Close())
	if e := r.eventStates(); slices.Contains(e, dtc.StateChanged) {
		t.Fatalf("events %v", r.events.all)
	}
}

// TestTail has tail -F follow the live file's name over rolls.
func TestTail(t *testing.T) {
	r, a := inSegments(t, nil, "line 0\n")
	ctx, cancel := context.WithCancel(t.Context())
	var out syncText
	tail := exec.CommandContext(ctx, "tail", "-q", "-n", "+1", "-F", r.path("app.log"))
	tail.Stdout = &out
	check(t, tail.Start())
	defer func() {
		cancel()
		_ = tail.Wait() // it says that it was killed
	}()
	source := "line 0\n"
	for i := range 20 {
		eventually(t, "tail comes along", func() bool { return out.String() == source })
		if i%3 == 0 {
			r.roll("app.log")
		}
		l := fmt.Sprintf("line %d\n", i+1)
		a.append(1, 1, len(source), l)
		a.ping()
		source += l
	}
	eventually(t, "tail has all of it", func() bool { return out.String() == source })
}

// syncText is a text that several goroutines use.
type syncText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncText) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestSideRemovedBesideSegments has the side record removed while its stream is
// not loaded, and while it is.
func TestSideRemovedBesideSegments(t *testing.T) {
	r, a := inSegments(t, nil, "one\n", "two\n", "three\n")
	for i, unloaded := range []bool{true, false} {
		st := r.stream("app.log")
		if unloaded {
			st.mu.Lock()
			st.release()
			st.mu.Unlock()
		}
		check(t, os.Remove(r.path(sideName("app.log"))))
		guardThem([]*stream{st})
		r.roll("app.log")
		a.append(1, 1, 14+5*i, "more\n")
		a.ping()
	}
	r.drop("app.log", 2)
	want := "three\nmore\nmore\n"
	if got := readAll(t, r.dir, Query{Lines: -1}); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	a.close()
	r = r.reopen()
	if got := readAll(t, r.dir, Query{Lines: -1}); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	if s := r.connect(peerA).attach(1, "app.log"); s[0].Position != 24 || s[0].Sum != crcOf("one\ntwo\nthree\nmore\nmore\n") {
		t.Fatalf("%+v", s[0])
	}
}
