package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dtc"
)

var peerB = dtc.Peer{ID: "agent-b", Role: dtc.RoleAgent}

// TestFencing has a newer connection take a stream from an older one.
func TestFencing(t *testing.T) {
	r := newRig(t)
	old := r.connect(peerA)
	old.attach(1, "app.log")
	old.open(1, 1, "one")
	old.append(1, 1, 0, "one\n")
	old.durable(1, 1, 4)
	young := r.connect(peerA)
	if s := young.attach(5, "APP.LOG"); len(s) != 1 || s[0].Position != 4 { // compared without case
		t.Fatalf("state %+v", s)
	}
	if f := old.until(dtc.FrameFenced); f.Stream != 1 {
		t.Fatalf("%+v", f)
	}
	old.append(1, 1, 4, "ZOMBIE\n")
	old.open(1, 2, "zombie")
	old.ping()
	young.append(5, 1, 4, "two\n")
	young.durable(5, 1, 8)
	if got := r.content("app.log"); got != "one\ntwo\n" {
		t.Fatalf("copy %q", got)
	}
	// The older one's end takes nothing from the younger.
	old.close()
	young.append(5, 1, 8, "three\n")
	young.durable(5, 1, 14)
	// And a frame of the epoch before is not of this one.
	epoch := young.epoch[5]
	young.attach(6, "app.log")
	young.epoch[5] = epoch
	young.append(5, 1, 14, "ZOMBIE\n")
	young.append(6, 1, 14, "four\n")
	young.durable(6, 1, 19)
	if got := r.content("app.log"); got != "one\ntwo\nthree\nfour\n" {
		t.Fatalf("copy %q", got)
	}
}

func (a *agent) refused(stream uint32, alias string) string {
	a.t.Helper()
	a.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: stream, Text: alias})
	f := a.recv()
	if f.Kind != dtc.FrameRefused || f.Stream != stream || f.Text == "" {
		a.t.Fatalf("alias %q: frame %+v", alias, f)
	}
	return f.Text
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	outside := filepath.Join(r.dir, "outside")
	check(t, os.WriteFile(outside, []byte("mine"), 0o600))
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	a.durable(1, 1, 4)
	for i, alias := range []string{
		"", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "a/b", `a\b`, "C:x", ".hidden", ".app.log.dtc", "x.", "a\x00b", "a\nb", "a\x1bb",
		"\xff\xfe", strings.Repeat("x", 201), "10.0.0.7_7701_process_2026-11-22.log", "x_PROCESS_2026-11-22.log",
	} {
		a.refused(uint32(100+i), alias)
	}
	b := r.connect(peerB)
	if why := b.refused(1, "App.Log"); !strings.Contains(why, "another") {
		t.Fatalf("why %q", why)
	}
	b.attach(2, "b.log")
	b.open(2, 1, "one")
	b.append(2, 1, 0, "b\n")
	b.durable(2, 1, 2)
	eventually(t, "an event", func() bool { return slices.Equal(r.eventStates(), []dtc.State{dtc.StateRefused}) })
	// Told once, however often it comes again.
	b.refused(3, "app.log")
	b.refused(4, "App.Log")
	b.ping()
	var names []string
	check(t, filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, r.dir+"/"))
		}
		return err
	}))
	if want := []string{".lock", "10.0.0.7/.app.log.dtc", "10.0.0.7/.b.log.dtc", "10.0.0.7/app.log", "10.0.0.7/b.log", "outside"}; !slices.Equal(names, want) {
		t.Fatalf("files %q", names)
	}
}

func TestModes(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	a.durable(1, 1, 4)
	for path, want := range map[string]fs.FileMode{
		r.path("app.log"): 0o640, r.path(".app.log.dtc"): 0o640, filepath.Join(r.dir, "10.0.0.7"): fs.ModeDir | 0o750,
	} {
		st, err := os.Stat(path)
		check(t, err)
		if st.Mode() != want {
			t.Errorf("%s: mode %v", path, st.Mode())
		}
	}
}

// TestSymlinks puts links in the store's way: it writes through none.
func TestSymlinks(t *testing.T) {
	for _, name := range []string{"app.log", ".app.log.dtc", ".app.log.dtc.tmp"} {
		r := newRig(t)
		victim := filepath.Join(t.TempDir(), "victim")
		check(t, os.WriteFile(victim, []byte("mine"), 0o600))
		check(t, os.Mkdir(filepath.Join(r.dir, "10.0.0.7"), 0o750))
		check(t, os.Symlink(victim, r.path(name)))
		a := r.connect(peerA)
		a.attach(1, "app.log")
		a.open(1, 1, "one")
		a.append(1, 1, 0, "one\n")
		a.ping()
		if b, _ := os.ReadFile(victim); string(b) != "mine" {
			t.Fatalf("%s: the link's target was written", name)
		}
		r.stop()
	}
	r := newRig(t)
	elsewhere := t.TempDir()
	check(t, os.Symlink(elsewhere, filepath.Join(r.dir, "10.0.0.7")))
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.ping()
	if all, _ := os.ReadDir(elsewhere); len(all) > 0 {
		t.Fatalf("written elsewhere: %v", all)
	}
}

// TestBrokenFrames ends the connection of an agent that breaks the protocol,
// and nothing else.
func TestBrokenFrames(t *testing.T) {
	frames := map[string]func(a *agent) dtc.Frame{
		"negative offset": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameAppend, 1, 1)
			f.Offset, f.Data, f.Sum = -5, []byte("x"), crcOf("x")
			return f
		},
		"huge offset": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameAppend, 1, 1)
			f.Offset, f.Data, f.Sum = math.MaxInt64, []byte("x"), crcOf("x")
			return f
		},
		"wrong checksum": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameAppend, 1, 1)
			f.Offset, f.Data, f.Sum = 4, []byte("x"), 1
			return f
		},
		"too much": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameAppend, 1, 1)
			f.Offset, f.Data = 4, make([]byte, dtc.MaxChunk+1)
			return f
		},
		"open before the start": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameOpen, 1, 2)
			f.Offset = -1
			return f
		},
		"identity too long": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameOpen, 1, 2)
			f.Data = make([]byte, dtc.MaxIdentity+1)
			return f
		},
		"gap to nowhere": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameGap, 1, 1)
			f.Offset, f.End = 4, -7
			return f
		},
		"gap without end": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameGap, 1, 1)
			f.Offset, f.End = 4, math.MaxInt64
			return f
		},
		"negative rewind": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameRewind, 1, 1)
			f.Offset = -4
			return f
		},
		"negative size": func(a *agent) dtc.Frame {
			f := a.frame(dtc.FrameSize, 1, 1)
			f.Offset = -4
			return f
		},
		"stream 0":     func(*agent) dtc.Frame { return dtc.Frame{Kind: dtc.FrameAttach, Text: "x"} },
		"unknown kind": func(a *agent) dtc.Frame { return a.frame(200, 1, 1) },
	}
	for name, make := range frames {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.connect(peerA)
			a.attach(1, "app.log")
			a.open(1, 1, "one")
			a.append(1, 1, 0, "one\n")
			a.durable(1, 1, 4)
			a.send(make(a))
			select {
			case err := <-a.err:
				if !errors.Is(err, errProtocol) {
					t.Fatalf("error %v", err)
				}
				a.err <- nil
			case <-time.After(30 * time.Second):
				t.Fatal("the connection goes on")
			}
			b := r.connect(peerA)
			if s := b.attach(1, "app.log"); s[0].Position != 4 || len(s) != 1 {
				t.Fatalf("state %+v", s)
			}
		})
	}
}

// TestHarmlessFrames sends what is wrong and might be a race: it is answered
// and changes nothing.
func TestHarmlessFrames(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.append(1, 1, 0, "before any generation\n")
	a.until(dtc.FrameState)
	a.open(1, 7, "seven")
	a.until(dtc.FrameState)
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	a.open(1, 1, "another one")
	a.until(dtc.FrameState)
	a.open(1, math.MaxUint64, "last")
	a.until(dtc.FrameState)
	a.append(1, 9, 0, "unknown\n")
	a.until(dtc.FrameState)
	f := a.frame(dtc.FrameRewind, 1, 1)
	f.Offset = 400
	a.send(f)
	a.until(dtc.FrameState)
	f = a.frame(dtc.FrameGap, 1, 3)
	f.End = -1
	a.send(f)
	a.until(dtc.FrameState)
	f = a.frame(dtc.FrameSeal, 1, 1)
	f.End = 100
	a.send(f)
	if f := a.until(dtc.FrameNack); f.Offset != 4 {
		t.Fatalf("%+v", f)
	}
	f = a.frame(dtc.FrameGap, 1, 1) // of what the copy has
	f.Offset, f.End = 1, 3
	a.send(f)
	a.append(77, 1, 4, "no such stream\n")
	a.append(1, 1, 4, "two\n")
	a.durable(1, 1, 8)
	if got := r.content("app.log"); got != "one\ntwo\n" {
		t.Fatalf("copy %q", got)
	}
	if e := r.eventStates(); len(e) > 0 {
		t.Fatalf("events %v", e)
	}
}

// TestFloods has an agent declare, switch, lose and go back without end: what
// is remembered of it stays bounded.
func TestFloods(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	for g := range uint64(3000) {
		f := a.frame(dtc.FrameOpen, 1, g+1)
		f.Data = []byte(strings.Repeat("i", dtc.MaxIdentity))
		a.send(f)
		if g%100 == 0 {
			a.ping()
		}
	}
	a.append(1, 3000, 0, "x")
	a.append(1, 2999, 0, "y")
	a.durable(1, 2999, 1)
	at := int64(1)
	for range 3000 {
		f := a.frame(dtc.FrameGap, 1, 3000)
		f.Offset, f.End, f.Text = at, at+1, strings.Repeat("why", 300)
		a.send(f)
		at++
		if at%100 == 0 {
			a.ping()
		}
	}
	a.ping()
	eventually(t, "the events", func() bool { return len(r.eventStates()) >= 5000 })
	st := r.stream("app.log")
	eventually(t, "a small record", func() bool {
		r.syncStream(st)
		info, err := os.Stat(r.path(sideName("app.log")))
		return err == nil && info.Size() < 2<<20
	})
	st.mu.Lock()
	c, err := st.open()
	check(t, err)
	if n := len(c.generations); n > maxOpen+maxSealed {
		t.Errorf("%d generations", n)
	}
	if n := len(c.extents); n > maxExtents {
		t.Errorf("%d extents", n)
	}
	st.mu.Unlock()
	a.close()
	r = r.reopen()
	a = r.connect(peerA)
	s := a.attach(1, "app.log")
	if len(s) != dtc.MaxGenerations || s[63].Generation != 3000 || s[63].Position != at {
		t.Fatalf("%d states, the last %+v", len(s), s[63])
	}
	a.append(1, 3000, int(at), "z")
	a.durable(1, 3000, int(at)+1)
}

func TestTooManyStreams(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	for i := range dtc.MaxStreams {
		a.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: uint32(i + 1), Text: fmt.Sprintf("%d.log", i)})
		a.until(dtc.FrameState)
	}
	if why := a.refused(20_000, "one more.log"); !strings.Contains(why, "10000") {
		t.Fatalf("why %q", why)
	}
	a.close()
	b := r.connect(peerA) // nothing was sent: nothing was kept
	b.attach(1, "one more.log")
}

// TestSlowReader does not read: its connection ends, nobody else waits.
func TestSlowReader(t *testing.T) {
	r := newRig(t)
	mine, theirs := newLinks()
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(context.Background(), peerA, theirs) }()
	_ = mine.Send(&dtc.Frame{Kind: dtc.FrameHello, ID: 1})
	go func() {
		for mine.Send(&dtc.Frame{Kind: dtc.FramePing}) == nil {
		}
	}()
	b := r.connect(peerB)
	b.attach(1, "b.log")
	b.open(1, 1, "one")
	b.append(1, 1, 0, "b\n")
	b.durable(1, 1, 2)
	select {
	case err := <-ended:
		if !errors.Is(err, errProtocol) {
			t.Fatal(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("it may ask without end")
	}
}

// TestManyStreams has more streams than may be open at a time.
func TestManyStreams(t *testing.T) {
	const n = 300
	r := newRig(t, func(o *Options) { o.MaxOpen = 16 })
	a := r.connect(peerA)
	want := make([]string, n)
	for i := range n {
		a.attach(uint32(i+1), fmt.Sprintf("%d.log", i))
		a.open(uint32(i+1), 1, "one")
	}
	for round := range 3 {
		for i := range n {
			line := fmt.Sprintf("stream %d round %d\n", i, round)
			a.append(uint32(i+1), 1, len(want[i]), line)
			want[i] += line
		}
		a.ping()
		r.mu.Lock()
		if open := r.loaded.Len(); open > 2*16 {
			t.Errorf("%d streams are loaded", open)
		}
		r.mu.Unlock()
	}
	for i := range n {
		if got := r.content(fmt.Sprintf("%d.log", i)); got != want[i] {
			t.Fatalf("copy %d: %q", i, got)
		}
	}
	a.close()
	r = r.reopen()
	if a := r.connect(peerA); len(a.known) != n {
		t.Fatalf("%d known", len(a.known))
	}
}

func TestSecondStore(t *testing.T) {
	r := newRig(t)
	if _, err := OpenStore(r.dir, Options{}); err == nil || !strings.Contains(err.Error(), "another dtc serve") {
		t.Fatalf("error %v", err)
	}
}

func TestLeaksNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	before := openFiles(t)
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	a.durable(1, 1, 4)
	a.close()
	r.stop()
	if after := openFiles(t); after > before {
		t.Fatalf("%d files open, before %d", after, before)
	}
}

func openFiles(tb testing.TB) int {
	tb.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	check(tb, err)
	return len(all)
}
