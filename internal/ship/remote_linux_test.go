package ship

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/follow"
)

// newRemoteWorld has its sources on a file server, to which its writers write
// from elsewhere.
func newRemoteWorld(t *testing.T, files ...File) (*world, *fileServer) {
	t.Helper()
	back := filepath.Join(t.TempDir(), "back")
	if err := os.Mkdir(back, 0o755); err != nil {
		t.Fatal(err)
	}
	s := serveFiles(t, back, 100*time.Millisecond)
	w := newWorld(t)
	for _, f := range files {
		f.Path = filepath.Join(s.dir, f.Path)
		w.files = append(w.files, f)
	}
	w.src = back
	return w, s
}

// quality waits until the monitor says of a stream how well it is followed.
func (w *world) quality(alias, want string) {
	w.t.Helper()
	var got []string
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = nil
		for _, i := range w.store.Streams() {
			if i.Alias == alias {
				got = append(got, i.Follow)
				if i.Follow == want && i.State == "live" {
					return
				}
			}
		}
	}
	w.t.Fatalf("%s is followed %q, want %q", alias, got, want)
}

// A file on a server is followed by looking at it: through rotations,
// truncations and removals of which nobody tells.
func TestRemote(t *testing.T) {
	t.Parallel()
	for _, byName := range []bool{false, true} {
		t.Run(fmt.Sprintf("numbers by name=%v", byName), func(t *testing.T) {
			t.Parallel()
			w, s := newRemoteWorld(t, appLog())
			s.byName = byName
			a := w.writer("app.log")
			all := a.lines(5)
			w.start()
			w.up()
			w.wait("app.log", all)
			w.quality("app.log", "polled: fuse, no creation time")
			for range 3 {
				all = append(all, a.lines(3)...)
				w.wait("app.log", all)
			}
			all = append(all, a.write(noise(2<<20))...)
			w.wait("app.log", all)
			for range 3 {
				w.rotate("app.log")
				all = append(all, a.lines(2)...) // to the old one
				time.Sleep(2 * s.ttl)            // that it is longer now is known
				a.reopen()
				all = append(all, a.lines(3)...)
				w.wait("app.log", all)
			}
			_ = os.Remove(w.path("app.log"))
			time.Sleep(50 * time.Millisecond)
			a.reopen()
			all = append(all, a.lines(3)...)
			w.wait("app.log", all)
			for range 2 {
				if err := os.Truncate(w.path("app.log"), 0); err != nil {
					t.Fatal(err)
				}
				all = append(all, a.lines(2)...)
				w.wait("app.log", all)
			}
			w.kill()
			all = append(all, a.lines(2)...)
			w.start()
			w.up()
			w.wait("app.log", all)
			all = append(all, a.lines(2)...)
			w.still("app.log", all)
			for _, e := range w.told("") {
				t.Errorf("event %s %v-%v %s", e.State, deref(e.From), deref(e.To), e.Reason)
			}
		})
	}
}

// Bytes that show as NULs until they have arrived are waited for.
func TestRemoteNULs(t *testing.T) {
	t.Parallel()
	w, s := newRemoteWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	for i := range 6 {
		s.hide("app.log", int64(len(all)))
		fresh := a.write(bytes.Repeat([]byte("0123456789abcde\n"), 1+i*300))
		before := bytes.Clone(all)
		all = append(all, fresh...)
		time.Sleep(400 * time.Millisecond)
		w.wait("app.log", before)
		s.show("app.log")
		w.wait("app.log", all)
	}
	// A part of it has arrived, in the midst of a page.
	s.hide("app.log", int64(len(all))+5000)
	before := len(all)
	all = append(all, a.write(bytes.Repeat([]byte("0123456789abcde\n"), 1000))...)
	w.wait("app.log", all[:before+5000])
	s.show("app.log")
	w.wait("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
	// NULs that stay are bytes.
	all = append(all, a.write(make([]byte, 100))...)
	w.wait("app.log", all)
	all = append(all, a.write([]byte("\x00\x00text\x00\x00more\x00\x00"))...)
	w.wait("app.log", all)
	all = append(all, a.write(make([]byte, 300<<10))...)
	all = append(all, a.lines(3)...)
	w.wait("app.log", all)
	w.rotate("app.log")
	a.reopen()
	all = append(all, a.lines(3)...)
	w.still("app.log", all)
	if e := w.told(""); len(e) != 0 {
		t.Fatalf("events: %+v", e)
	}
}

// What the server has no more cannot be read to its end, and that is told.
func TestRemoteStale(t *testing.T) {
	t.Parallel()
	w, s := newRemoteWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	for i := range 3 {
		if i == 1 {
			w.down()
		}
		s.forget("app.log")
		a.reopen()
		all = append(all, a.lines(5)...)
		if i == 1 {
			time.Sleep(1500 * time.Millisecond)
			w.up()
		}
		w.wait("app.log", all)
		for _, e := range w.wantEvents(dtc.StateGap, i+1) {
			if e.To != nil || !strings.Contains(e.Reason, "removed on its file server") {
				t.Fatalf("%+v", e)
			}
		}
		w.still("app.log", all) // the new file was looked at more than once
	}
	if n := len(w.told("")); n != 3 {
		t.Fatalf("%+v", w.told(""))
	}
}

// The server is not asked more often than its client remembers.
func TestRemoteLooks(t *testing.T) {
	t.Parallel()
	w, s := newRemoteWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.shipper.Configure(w.files, time.Second)
	w.up()
	w.wait("app.log", all)
	count := func() (int, int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.opens, s.lookups
	}
	opens, lookups := count()
	for range 30 {
		all = append(all, a.lines(1)...)
		time.Sleep(100 * time.Millisecond)
	}
	w.wait("app.log", all)
	now, names := count()
	if n := now - opens; n > 12 {
		t.Errorf("%d files were opened in 3 s", n)
	}
	if n := names - lookups; n > 60 {
		t.Errorf("%d names were looked up in 3 s", n)
	}
}

// Where the system tells of changes there is nothing to be said.
func TestLocalQuality(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tmpfs", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, base := t.TempDir(), t.TempDir()
			options := "size=16m"
			if kind == "overlay" {
				for _, name := range []string{"lower", "upper", "work"} {
					if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				options = fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)
			}
			if err := unix.Mount(kind, dir, kind, 0, options); err != nil {
				t.Fatalf("mount %s (the tests need root): %v", dir, err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			w := newWorldIn(t, dir, appLog())
			a := w.writer("app.log")
			all := a.lines(5)
			w.start()
			w.up()
			w.wait("app.log", all)
			w.quality("app.log", "")
			w.rotate("app.log")
			a.reopen()
			all = append(all, a.lines(5)...)
			w.still("app.log", all)
			w.quality("app.log", "")
		})
	}
}

// That nobody tells of changes is said, and why.
func TestUnwatchedQuality(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.watch = func() (*follow.Watcher, error) {
		return nil, &follow.LimitError{Name: "fs.inotify.max_user_instances", What: "make an inotify instance"}
	}
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.quality("app.log", "not notified: fs.inotify.max_user_instances")
	w.down()
	w.up() // it is said on each connection
	w.quality("app.log", "not notified: fs.inotify.max_user_instances")
}

// A monitor that does not want to know is not told.
func TestQualityUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.unwatched = true
	w.over = func(l Link) Link { return lacking{l, dtc.FeatureNotes} }
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.up()
	w.still("app.log", all)
	w.quality("app.log", "")
}

// A limit of watches is named.
func TestWhyUnwatched(t *testing.T) {
	t.Parallel()
	err := error(&follow.LimitError{Name: "fs.inotify.max_user_watches", What: "watch /var/log"})
	if got := whyUnwatched(fmt.Errorf("again: %w", err)); got != "fs.inotify.max_user_watches" {
		t.Error(got)
	}
	if !strings.Contains(err.Error(), "watch /var/log") {
		t.Error(err)
	}
	if got := whyUnwatched(os.ErrPermission); got != "it cannot be watched" {
		t.Error(got)
	}
}
