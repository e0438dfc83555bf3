package logs

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dtc"
)

// What an operator, or a logrotate on the monitor, may do to a copy that holds
// "one\ntwo\n", and what it holds after the agent has sent "three\n" behind it.
var foreignChanges = []struct {
	name string
	do   func(t fataler, path string)
	want string
	told string // a part of the event's reason
}{
	{"cut to nothing", func(t fataler, path string) { check(t, os.Truncate(path, 0)) }, "three\n", "cut the copy from 8 bytes to 0"},
	{"cut", func(t fataler, path string) { check(t, os.Truncate(path, 5)) }, "one\ntthree\n", "cut the copy from 8 bytes to 5"},
	{"grown", func(t fataler, path string) { addTo(t, path, "junk\n") }, "one\ntwo\njunk\nthree\n", "added 5 bytes"},
	{"removed", func(t fataler, path string) { check(t, os.Remove(path)) }, "three\n", "removed the copy"},
	{"moved", func(t fataler, path string) { check(t, os.Rename(path, path+".1")) }, "three\n", "the copy"},
	{"replaced", func(t fataler, path string) {
		check(t, os.Rename(path, path+".1"))
		check(t, os.WriteFile(path, []byte("another\n"), 0o640))
	}, "another\nthree\n", "another file of 8 bytes"},
	{"overwritten by a longer one", func(t fataler, path string) {
		check(t, os.WriteFile(path, []byte("something else\n"), 0o640))
	}, "something else\nthree\n", "the copy"},
	{"edited by an editor", func(t fataler, path string) {
		check(t, os.WriteFile(path+".tmp", []byte("ONE\ntwo\n!\n"), 0o640))
		check(t, os.Rename(path+".tmp", path))
	}, "ONE\ntwo\n!\nthree\n", "another file of 10 bytes"},
	{"copied back", func(t fataler, path string) {
		check(t, os.WriteFile(path+".tmp", []byte("one\ntwo\n"), 0o640))
		check(t, os.Rename(path+".tmp", path))
	}, "one\ntwo\nthree\n", "of"},
	{"folder removed", func(t fataler, path string) {
		check(t, os.Remove(path))
	}, "three\n", "removed the copy"},
}

// fataler is a test, or one of rapid's.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func check(tb fataler, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func addTo(tb fataler, path, text string) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	check(tb, err)
	_, err = f.WriteString(text)
	check(tb, err)
	check(tb, f.Close())
}

// The moments at which it happens.
var foreignMoments = []struct {
	name string
	with func(r *rig, a *agent, change func()) (*rig, *agent)
}{
	{"live", func(r *rig, a *agent, change func()) (*rig, *agent) {
		change()
		time.Sleep(pathCheck + 10*time.Millisecond) // a path is not looked at more often
		return r, a
	}},
	{"unloaded", func(r *rig, a *agent, change func()) (*rig, *agent) {
		st := r.stream("app.log")
		st.mu.Lock()
		defer st.mu.Unlock()
		st.release()
		change()
		return r, a
	}},
	{"stopped", func(r *rig, a *agent, change func()) (*rig, *agent) {
		a.close()
		r.stop()
		change()
		r = r.again()
		return r, nil
	}},
	{"killed", func(r *rig, a *agent, change func()) (*rig, *agent) {
		a.close()
		r.crash()
		change()
		r = r.again()
		return r, nil
	}},
	{"another boot", func(r *rig, a *agent, change func()) (*rig, *agent) {
		a.close()
		r.stop()
		change()
		r = r.again(func(o *Options) { o.Boot = "the next boot" })
		return r, nil
	}},
}

func TestForeignChanges(t *testing.T) {
	for _, m := range foreignMoments {
		for _, c := range foreignChanges {
			t.Run(m.name+"/"+c.name, func(t *testing.T) {
				r := newRig(t, func(o *Options) { o.Boot = "a boot" })
				a := r.connect(peerA)
				a.attach(1, "app.log")
				a.open(1, 1, "one")
				a.append(1, 1, 0, "one\ntwo\n")
				a.durable(1, 1, 8)
				next, b := m.with(r, a, func() { c.do(t, r.path("app.log")) })
				r = next
				if b == nil {
					b = r.connect(peerA)
					s := b.attach(1, "app.log")
					if len(s) != 1 || s[0].Position != 8 || s[0].Sum != crcOf("one\ntwo\n") || s[0].Marker != hash([]byte("one\ntwo\n")) {
						t.Fatalf("state %+v", s)
					}
				}
				want := c.want
				if m.name == "another boot" && c.name == "grown" {
					// Behind the last durable mark, after a power loss: nobody
					// can know that it was not a write of ours.
					want = strings.Replace(want, "junk\n", "", 1)
				}
				b.append(1, 1, 8, "three\n")
				b.durable(1, 1, 14)
				if got := r.content("app.log"); got != want {
					t.Errorf("copy %q, want %q", got, want)
				}
				// It stays so over a restart, and is told once.
				b.close()
				r = r.reopen()
				b = r.connect(peerA)
				s := b.attach(2, "app.log")
				if s[0].Position != 14 || s[0].Sum != crcOf("one\ntwo\nthree\n") {
					t.Fatalf("state after it: %+v", s)
				}
				if whole := "one\ntwo\nthree\n"; s[0].MarkerLen < 6 || s[0].Marker != hash([]byte(whole[14-s[0].MarkerLen:])) {
					t.Fatalf("the marker of %d bytes is not the source's", s[0].MarkerLen)
				}
				b.append(2, 1, 14, "four\n")
				b.durable(2, 1, 19)
				if got := r.content("app.log"); got != want+"four\n" {
					t.Errorf("copy %q, want %q", got, want+"four\n")
				}
				eventually(t, "an event", func() bool { return len(r.eventStates()) > 0 })
				r.events.mu.Lock()
				defer r.events.mu.Unlock()
				if len(r.events.all) != 1 {
					t.Fatalf("events %+v", r.events.all)
				}
				if e := r.events.all[0]; e.State != dtc.StateChanged || want == c.want && !strings.Contains(e.Reason, c.told) ||
					want == c.want && (e.From == nil || *e.From != 8) || e.Alias != "app.log" {
					t.Fatalf("event %+v", e)
				}
			})
		}
	}
}

// TestRacedAppend has somebody cut the copy again and again while lines come.
func TestRacedAppend(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Truncate(r.path("app.log"), 0)
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	at := 0
	for i := range 5000 {
		line := fmt.Sprintf("line %d\n", i)
		a.append(1, 1, at, line)
		at += len(line)
	}
	a.durable(1, 1, at)
	close(stop)
	<-done
	check(t, os.Truncate(r.path("app.log"), 0))
	a.append(1, 1, at, "last\n")
	a.durable(1, 1, at+5)
	if got := r.content("app.log"); got != "last\n" {
		t.Fatalf("copy %q", got) // no hole of NULs, nothing twice
	}
	st := r.stream("app.log")
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	check(t, err)
	if len(c.extents) > maxExtents {
		t.Fatalf("%d extents", len(c.extents))
	}
}
