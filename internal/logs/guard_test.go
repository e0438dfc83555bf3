package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

// sidePath is where the side record of an alias lies.
func (r *rig) sidePath(alias string) string { return filepath.Join(r.dir, "10.0.0.7", sideName(alias)) }

// exists tells whether there is a file.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// reasons are those of the events so far.
func (r *rig) reasons() (out []string) {
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	for _, e := range r.events.all {
		out = append(out, e.Reason)
	}
	return out
}

// TestSideRecordRemoved removes the side record alone, with the copy, and with
// the folder, of a stream that gets bytes and of one that does not. The service
// is killed afterwards, and knows everything all the same.
func TestSideRecordRemoved(t *testing.T) {
	remove := map[string]func(*rig) string{
		"record": func(r *rig) string {
			check(t, os.Remove(r.sidePath("app.log")))
			return "one\ntwo\n"
		},
		"record and copy": func(r *rig) string {
			check(t, os.Remove(r.path("app.log")))
			check(t, os.Remove(r.sidePath("app.log")))
			return ""
		},
		"folder": func(r *rig) string {
			check(t, os.RemoveAll(filepath.Dir(r.path("app.log"))))
			return ""
		},
		"moved": func(r *rig) string {
			check(t, os.Rename(r.sidePath("app.log"), r.sidePath("app.log")+".bak"))
			return "one\ntwo\n"
		},
	}
	for name, do := range remove {
		for _, busy := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/busy=%v", name, busy), func(t *testing.T) {
				r := newRig(t)
				a := r.connect(peerA)
				a.attach(1, "app.log")
				a.open(1, 1, "one")
				a.append(1, 1, 0, "one\ntwo\n")
				a.durable(1, 1, 8)
				want, end := do(r), 8
				time.Sleep(pathCheck + 10*time.Millisecond)
				if busy {
					a.append(1, 1, 8, "three\n")
					a.ping()
					want, end = want+"three\n", 14
				}
				eventually(t, "a new side record", func() bool { return exists(r.sidePath("app.log")) })
				a.close()
				r.crash()
				r = r.again()
				b := r.connect(peerA)
				s := b.attach(1, "app.log")
				if len(s) != 1 || s[0].Position != int64(end) {
					t.Fatalf("state %+v", s)
				}
				b.append(1, 1, end, "last\n")
				b.durable(1, 1, end+5)
				if got := r.content("app.log"); got != want+"last\n" {
					t.Errorf("copy %q, want %q", got, want+"last\n")
				}
				eventually(t, "an event", func() bool {
					return strings.Contains(strings.Join(r.reasons(), "\n"), "removed the side record")
				})
			})
		}
	}
}

// TestIdleCopyTouched has somebody change the copy of a stream that gets no
// bytes: that is told all the same.
func TestIdleCopyTouched(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(path string) error
		said string
	}{
		"removed":  {os.Remove, "removed the copy"},
		"moved":    {func(p string) error { return os.Rename(p, p+".away") }, "moved the copy away"},
		"cut":      {func(p string) error { return os.Truncate(p, 3) }, "cut the copy from 8 bytes to 3"},
		"replaced": {func(p string) error { return errors.Join(os.Remove(p), os.WriteFile(p, []byte("other"), 0o640)) }, "another file"},
		"grown": {func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("more")
				err = errors.Join(err, f.Close())
			}
			return err
		}, "added 4 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var later atomic.Int64 // the clock goes on
			r := newRig(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
			a := r.connect(peerA)
			a.attach(1, "app.log")
			a.open(1, 1, "one")
			a.append(1, 1, 0, "one\ntwo\n")
			a.durable(1, 1, 8)
			check(t, c.do(r.path("app.log")))
			later.Store(int64(guardData))
			eventually(t, "an event", func() bool { return strings.Contains(strings.Join(r.reasons(), "\n"), c.said) })
			if n := len(r.reasons()); n != 1 {
				t.Errorf("%d events: %q", n, r.reasons())
			}
			a.append(1, 1, 8, "three\n")
			a.durable(1, 1, 14)
			if got := r.content("app.log"); !strings.HasSuffix(got, "three\n") {
				t.Errorf("copy %q", got)
			}
		})
	}
}

// TestSideRecordOfUnloadedRemoved removes the folder of streams that are not
// loaded: one goes on, the other is there after a restart.
func TestSideRecordOfUnloadedRemoved(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	for i, alias := range []string{"app.log", "idle.log"} {
		n := uint32(i + 1)
		a.attach(n, alias)
		a.open(n, 1, "one")
		a.append(n, 1, 0, "one\ntwo\n")
		a.durable(n, 1, 8)
	}
	for _, alias := range []string{"app.log", "idle.log"} {
		st := r.stream(alias)
		eventually(t, "it is let go", func() bool {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.release()
			return st.c == nil
		})
	}
	check(t, os.RemoveAll(filepath.Dir(r.path("app.log"))))
	a.append(1, 1, 8, "three\n")
	a.durable(1, 1, 14)
	a.close()
	r = r.reopen()
	b := r.connect(peerA)
	if s := b.attach(1, "app.log"); len(s) != 1 || s[0].Position != 14 {
		t.Fatalf("state %+v", s)
	}
	if s := b.attach(2, "idle.log"); len(s) != 1 || s[0].Position != 8 || s[0].Marker != hash([]byte("one\ntwo\n")) {
		t.Fatalf("state %+v", s)
	}
	if got := r.content("app.log"); got != "three\n" {
		t.Fatalf("copy %q", got)
	}
}

// TestTakeOver has an agent come anew under another id, after the certificate
// of the old one was revoked, and not before.
func TestTakeOver(t *testing.T) {
	var revoked atomic.Bool
	r := newRig(t, func(o *Options) {
		o.Valid = func(id string) bool { return id != peerA.ID || !revoked.Load() }
	})
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\ntwo\n")
	a.durable(1, 1, 8)

	peerB := dtc.Peer{ID: "agent-b", Role: dtc.RoleAgent}
	b := r.connect(peerB)
	b.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: "app.log"})
	if f := b.until(dtc.FrameRefused); !strings.Contains(f.Text, "belongs to the agent agent-a; give the file another alias, or revoke that agent first") {
		t.Fatalf("refused: %q", f.Text)
	}
	revoked.Store(true)
	s := b.attach(2, "APP.log")
	if len(s) != 1 || s[0].Position != 8 || string(s[0].Identity) != "one" {
		t.Fatalf("state %+v", s)
	}
	a.until(dtc.FrameFenced)
	b.append(2, 1, 8, "three\n")
	b.durable(2, 1, 14)
	a.append(1, 1, 8, "THREE\n")
	a.ping()
	if got := r.content("app.log"); got != "one\ntwo\nthree\n" {
		t.Fatalf("copy %q", got)
	}
	eventually(t, "an event", func() bool { return strings.Contains(fmt.Sprint(r.reasons()), "the agent agent-b goes on with it") })
	if i := r.Streams(); len(i) != 1 || i[0].Peer != "agent-b" || i[0].State != StreamLive {
		t.Fatalf("%+v", i)
	}
	a.close()
	b.close()
	r.crash()
	r = r.again()
	b = r.connect(peerB)
	if len(b.known) != 1 || b.known[0].States[0].Position != 14 {
		t.Fatalf("known %+v", b.known)
	}
	a = r.connect(peerA)
	if len(a.known) != 0 {
		t.Fatalf("known %+v", a.known)
	}
	b.attach(1, "app.log")
	b.append(1, 1, 14, "four\n")
	b.durable(1, 1, 19)
	if got := r.content("app.log"); got != "one\ntwo\nthree\nfour\n" {
		t.Fatalf("copy %q", got)
	}
}

// TestFencingBack has two connections with one certificate: the newer one has the
// stream as long as it is there, and the older one gets it back.
func TestFencingBack(t *testing.T) {
	r := newRig(t)
	old := r.connect(peerA)
	old.attach(1, "app.log")
	old.open(1, 1, "one")
	old.append(1, 1, 0, "one\n")
	old.durable(1, 1, 4)
	newer := r.connect(peerA)
	newer.attach(1, "app.log")
	old.until(dtc.FrameFenced)
	if got := r.eventStates(); len(got) > 0 {
		t.Fatalf("events %v before anybody knows that the old one lives", got)
	}
	for range 3 {
		old.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: "app.log"})
		if f := old.until(dtc.FrameFenced); f.Stream != 1 {
			t.Fatalf("%+v", f)
		}
	}
	old.append(1, 1, 4, "OLD\n")
	old.ping()
	newer.append(1, 1, 4, "new\n")
	newer.durable(1, 1, 8)
	eventually(t, "the event", func() bool { return fmt.Sprint(r.eventStates()) == "[refused]" })
	if got := r.reasons()[0]; !strings.Contains(got, "two agents run with the certificate of the agent agent-a") {
		t.Fatalf("event %q", got)
	}
	newer.close()
	eventually(t, "its end", func() bool { return r.Streams()[0].State == StreamAway })
	s := old.attach(1, "app.log")
	if s[0].Position != 8 {
		t.Fatalf("state %+v", s)
	}
	old.append(1, 1, 8, "three\n")
	old.durable(1, 1, 14)
	if got := r.content("app.log"); got != "one\nnew\nthree\n" {
		t.Fatalf("copy %q", got)
	}
	// A newer one takes over always.
	newest := r.connect(peerA)
	newest.attach(1, "app.log")
	old.until(dtc.FrameFenced)
	if got := r.eventStates(); len(got) != 1 {
		t.Fatalf("events %v", got)
	}
}
