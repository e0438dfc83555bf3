package ship

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
)

// Bytes that were seen and are cut off before they are read are told, with
// their positions, while the file goes on.
func TestCutUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.write(noise(10_000))
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	rest := a.write(noise(5000))
	w.seen("app.log", 15_000)
	if err := os.Truncate(w.path("app.log"), 12_000); err != nil {
		t.Fatal(err)
	}
	w.seen("app.log", 12_000)
	all = append(append(all, rest[:2000]...), a.write(noise(500))...)
	w.up()
	w.wait("app.log", all)
	w.wantEvents(dtc.StateGap, 1)
	for range 3 { // it is not told again
		w.down()
		w.up()
		all = append(all, a.lines(1)...)
		w.wait("app.log", all)
	}
	w.still("app.log", all)
	if got := spansOf(w.told("")); !slices.Equal(got, []string{"12000-15000"}) {
		t.Fatalf("events: %v", got)
	}
}

// seen waits until the agent knows how long the file is.
func (w *world) seen(alias string, size int64) {
	w.t.Helper()
	until(w.t, "the agent has seen it", func() bool {
		w.shipper.mu.RLock()
		st := w.shipper.streams[alias]
		w.shipper.mu.RUnlock()
		st.mu.Lock()
		defer st.mu.Unlock()
		g := st.chain.Current()
		return g != nil && g.Seen == size
	})
}

// The same where the file grew again, beyond what was seen.
func TestCutUnreadAndGrown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.write(noise(10_000))
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	rest := a.write([]byte(strings.Repeat("unread\n", 1000)))
	w.seen("app.log", 17_000)
	time.Sleep(50 * time.Millisecond) // so that it is seen to have settled
	w.shipper.rounds.Lock()           // nobody looks
	if err := os.Truncate(w.path("app.log"), 12_000); err != nil {
		t.Fatal(err)
	}
	fresh := a.write([]byte(strings.Repeat("other\n", 2000)))
	w.shipper.rounds.Unlock()
	all = append(append(all, rest[:2000]...), fresh...)
	w.up()
	w.still("app.log", all)
	// Where it was cut nobody knows.
	if got := spansOf(w.told("")); !slices.Equal(got, []string{"10000-17000"}) {
		t.Fatalf("events: %v", got)
	}
}

// A file that is cut below its position and had bytes that were not read yet
// loses both.
func TestCutBehindUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.write(noise(10_000))
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	a.write(noise(5000))
	w.seen("app.log", 15_000)
	if err := os.Truncate(w.path("app.log"), 6000); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.wantEvents(dtc.StateRewound, 1)
	all = append(all, a.lines(5)...)
	w.still("app.log", all)
	if got := spansOf(w.told(dtc.StateGap)); !slices.Equal(got, []string{"10000-15000"}) {
		t.Fatalf("gaps: %v", got)
	}
}

// A monitor that knows no losses is told of a gap.
func TestCutUnreadUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	w.over = func(l Link) Link { return lacking{l, dtc.FeatureNotes} }
	a := w.writer("app.log")
	all := a.write(noise(10_000))
	w.start()
	w.up()
	w.wait("app.log", all)
	w.down()
	rest := a.write(noise(5000))
	w.seen("app.log", 15_000)
	_ = os.Truncate(w.path("app.log"), 12_000)
	w.seen("app.log", 12_000)
	w.up()
	all = append(all, rest[:2000]...)
	w.still("app.log", all)
	e := w.wantEvents(dtc.StateGap, 1)[0]
	if !strings.Contains(e.Reason, "of generation 1 bytes 12000 to 15000") {
		t.Fatalf("%+v", e)
	}
}

// What is made and removed before anyone can open it is told, once.
func TestMadeAndRemoved(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]func(w *world){
		"removed": func(w *world) {
			w.make("app.log")
			_ = os.Remove(w.path("app.log"))
		},
		"moved away": func(w *world) {
			w.make("app.log")
			_ = os.Mkdir(w.path("away"), 0o755)
			_ = os.Rename(w.path("app.log"), w.path("away/gone"))
		},
		"made again": func(w *world) {
			w.make("app.log")
			_ = os.Remove(w.path("app.log"))
			if err := os.WriteFile(w.path("app.log"), nil, 0o644); err != nil {
				w.t.Error(err)
			}
		},
		"renamed over": func(w *world) {
			w.make("app.log")
			w.make("other")
			w.rename("other", "app.log")
			w.make("other")
			w.rename("other", "app.log")
			_ = os.Remove(w.path("app.log"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, before := range []bool{false, true} {
				w := newWorld(t, appLog())
				var all []byte
				if before {
					a := w.writer("app.log")
					all = a.lines(5)
				}
				w.start()
				w.up()
				if before {
					w.wait("app.log", all)
					w.rename("app.log", "app.log.1")
				}
				time.Sleep(1200 * time.Millisecond) // so that it is a moment of its own
				w.shipper.rounds.Lock()
				missing(w)
				w.shipper.rounds.Unlock()
				e := w.wantEvents(dtc.StateGap, 1)[0]
				if e.To != nil || !strings.Contains(e.Reason, w.path("app.log")) {
					t.Fatalf("%+v", e)
				}
				w.down()
				w.up()
				a := w.writer("app.log")
				all = append(all, a.lines(5)...)
				w.wait("app.log", all)
				w.down() // what is told is told again until it was heard, and recorded once
				w.shipper.rounds.Lock()
				w.rename("app.log", "app.log.2")
				missing(w)
				w.shipper.rounds.Unlock()
				time.Sleep(1500 * time.Millisecond)
				for range 3 {
					w.up()
					w.wantEvents(dtc.StateGap, 2)
					w.down()
				}
				if e := w.told(""); len(e) != 2 {
					t.Fatalf("%+v", e)
				}
			}
		})
	}
}

func (w *world) make(name string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), noise(100), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// What editors, rotations and replacements do is no reason for an alarm.
func TestNothingMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog(), File{Path: "*.txt", Alias: "{name}"})
	a := w.writer("app.log")
	b := w.writer("b.txt")
	wb := b.lines(2)
	all := a.lines(5)
	w.start()
	w.up()
	w.wait("app.log", all)
	w.wait("b.txt", wb)
	for i := range 40 {
		switch i % 8 {
		case 0: // logrotate
			w.rotate("app.log")
			a.reopen()
		case 1: // an editor's temporary files
			for _, name := range []string{"4913", ".app.log.swp", "app.log~", "#app.log#", "b.txt~", ".#b.txt", "sedA1B2"} {
				w.make(name)
				_ = os.Remove(w.path(name))
			}
		case 2: // replaced at once, by a copy that goes on
			b, err := os.ReadFile(w.path("app.log"))
			if err != nil {
				t.Fatal(err)
			}
			w.wait("app.log", all)
			if err := os.WriteFile(w.path("app.tmp"), b, 0o644); err != nil {
				t.Fatal(err)
			}
			w.rename("app.tmp", "app.log")
			a.reopen()
			all = append(all, b...)
		case 3: // moved away and back
			w.rename("app.log", "x")
			w.rename("x", "app.log")
		case 4: // removed and made anew, and opened in time
			_ = os.Remove(w.path("app.log"))
			a.reopen()
			all = append(all, a.lines(1)...)
			w.wait("app.log", all)
		case 5: // several rotations between two looks
			w.shipper.rounds.Lock()
			for range 3 {
				w.rotate("app.log")
				a.reopen()
				all = append(all, a.lines(2)...)
			}
			w.shipper.rounds.Unlock()
		case 6:
			w.make("c.txt")
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			_ = os.Remove(w.path("c.txt"))
		default:
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
		}
		all = append(all, a.lines(1)...)
		w.wait("app.log", all)
	}
	time.Sleep(2500 * time.Millisecond)
	w.wait("app.log", all)
	for _, e := range w.told("") {
		t.Errorf("event %s %s %s", e.Alias, e.State, e.Reason)
	}
}
