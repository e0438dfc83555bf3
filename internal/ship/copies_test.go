package ship

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// TestCopyWrittenBetween has a rotation by copying that was written to before the
// truncation, all of which the monitor has, and the file removed while nobody
// follows it: the copy is shorter than what was sent, and not sent again. A file
// that only begins alike is.
func TestCopyWrittenBetween(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]int{"short": 0, "alike": 6000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			a := w.writer("app.log")
			banner := noise(head)
			all := a.write(append(bytes.Clone(banner), noise(200)...))
			w.start()
			w.up()
			w.wait("app.log", all)
			b, _ := os.ReadFile(w.path("app.log"))
			if err := os.WriteFile(w.path("app.log.3"), b, 0o644); err != nil {
				t.Fatal(err)
			}
			all = append(all, a.lines(3)...)
			w.wait("app.log", all)
			if err := os.Truncate(w.path("app.log"), 0); err != nil {
				t.Fatal(err)
			}
			all = append(all, a.lines(3)...)
			w.wait("app.log", all)
			w.kill()
			other := append(bytes.Clone(banner), noise(100)...)
			if err := os.WriteFile(w.path("app.log.2"), other, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(w.path("app.log")); err != nil {
				t.Fatal(err)
			}
			last := noise(500)
			if err := os.WriteFile(w.path("app.log"), last, 0o644); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.up()
			w.still("app.log", slices.Concat(all, other, last))
		})
	}
}

// TestLateWhileAway has somebody write, while nobody follows, to a file that was
// rotated empty, when others had been sent that came later.
func TestLateWhileAway(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]bool{"bytes": false, "none yet": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appLog())
			a := w.writer("app.log")
			all := a.lines(3)
			w.start()
			w.up()
			w.wait("app.log", all)
			for _, k := range []int{3, 2} {
				w.rename("app.log", fmt.Sprintf("app.log.%d", k))
				a.reopen()
				all = append(all, a.lines(3)...)
				w.wait("app.log", all)
			}
			w.rename("app.log.2", "app.log.4")
			w.rename("app.log", "app.log.2")
			late := w.writer("app.log")
			w.rename("app.log", "app.log.1")
			a.reopen()
			all = append(all, a.lines(3)...)
			w.wait("app.log", all)
			w.kill()
			if !empty {
				all = append(all, late.lines(3)...)
			}
			w.start()
			w.up()
			w.wait("app.log", all)
			all = append(all, late.lines(3)...)
			w.still("app.log", all)
		})
	}
}

// TestLinkTurnedWhileRotated has a link turned to another file, while the one that
// it led to is rotated once more and the new one at once: all come in their order.
func TestLinkTurnedWhileRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	for _, dir := range []string{"one", "two"} {
		if err := os.Mkdir(w.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	turn := func(to string) {
		if err := errors.Join(os.Symlink(w.path(to), w.path("new")), os.Rename(w.path("new"), w.path("app.log"))); err != nil {
			t.Fatal(err)
		}
	}
	a := w.writer("one/real.log")
	all := a.lines(3)
	turn("one/real.log")
	w.start()
	w.up()
	w.wait("app.log", all)
	time.Sleep(200 * time.Millisecond)
	w.unseen(func() {
		all = append(all, a.lines(3)...)
		w.rename("one/real.log", "one/real.log.1")
		a.reopen()
		all = append(all, a.lines(3)...)
		b := w.writer("two/real.log")
		turn("two/real.log")
		all = append(all, b.lines(3)...)
		w.rename("two/real.log", "two/real.log.1")
		b.reopen()
		all = append(all, b.lines(3)...)
	})
	w.still("app.log", all)
	w.kill()
	w.rename("two/real.log", "two/real.log.2")
	w.start()
	w.up()
	time.Sleep(300 * time.Millisecond) // the link leads to nothing
	b := w.writer("two/real.log")
	all = append(all, b.lines(3)...)
	w.still("app.log", all)
	w.silent()
}
