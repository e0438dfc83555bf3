package logs

import (
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
)

const tib = 1 << 40

// roomOf returns how much of the disk a file takes.
func roomOf(tb testing.TB, path string) int64 {
	tb.Helper()
	var st unix.Stat_t
	check(tb, unix.Stat(path, &st))
	return st.Blocks * 512
}

// A hole takes no room and no time, whatever happens to the monitor.
func TestFrameHole(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Boot = "boot 0" })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "first\n")
	a.hole(1, 1, 6, tib)
	a.hole(1, 1, 6+tib/2, tib) // a part of it again
	a.hole(1, 1, 6+tib, tib)
	a.append(1, 1, 6+2*tib, "last\n")
	const end = 6 + 2*tib + 5
	sum := crc32.Update(dtc.ZeroSum(crcOf("first\n"), 2*tib), castagnoli(), []byte("last\n"))
	look := func(boot string) {
		t.Helper()
		a.close()
		r.crash()
		r = r.again(func(o *Options) { o.Boot = boot })
		a = r.connect(peerA)
		s := a.attach(1, "app.log")
		if len(s) != 1 || s[0].Position != end || s[0].Sum != sum || s[0].MarkerLen != dtc.MarkerSize {
			t.Fatalf("%+v", s)
		}
		if n := roomOf(t, r.path("app.log")); n > 64<<10 {
			t.Errorf("it takes %d bytes", n)
		}
	}
	a.durable(1, 1, end)
	look("boot 0")
	look("boot 1")
	check(t, r.compact("app.log"))
	look("boot 1")
	f := a.frame(dtc.FrameSeal, 1, 1)
	f.End, f.Sum = end, sum
	a.send(f)
	a.ping()
	if s := r.Streams(); s[0].Size != end || s[0].State != StreamLive {
		t.Fatalf("%+v", s)
	}
	r.wantSpans(dtc.StateHole, fmt.Sprintf("6-%d", 6+tib), fmt.Sprintf("%d-%d", 6+tib, 6+3*tib/2), fmt.Sprintf("%d-%d", 6+3*tib/2, 6+2*tib))
	if got := r.eventStates(); len(got) != 3 {
		t.Errorf("told %v", got)
	}
}

// A hole that a power loss left behind the durable position is compared with
// what comes, and one whose source is gone is not believed.
func TestHoleSuspect(t *testing.T) {
	for name, after := range map[string]func(a *agent){
		"the same": func(a *agent) {
			a.hole(1, 1, 5, tib)
			a.append(1, 1, 5+tib, "last\n")
		},
		"in parts": func(a *agent) {
			a.append(1, 1, 5, strings.Repeat("\x00", 1000))
			a.hole(1, 1, 1005, tib-1005)
			a.append(1, 1, tib, "\x00\x00\x00\x00\x00last\n")
		},
		"shorter": func(a *agent) {
			a.hole(1, 1, 5, tib/2)
			a.append(1, 1, 5+tib/2, "last\n")
		},
		"longer": func(a *agent) { a.hole(1, 1, 5, tib); a.hole(1, 1, 5+tib, tib/2) },
		"gone": func(a *agent) {
			f := a.frame(dtc.FrameGap, 1, 1)
			f.Offset, f.End, f.Text = 5, dtc.Absent, "it is gone"
			a.send(f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Boot, o.SyncEvery = "boot 0", 1<<50 })
			a := r.connect(peerA)
			a.attach(1, "app.log")
			a.open(1, 1, "one")
			a.append(1, 1, 0, "first")
			a.ping()
			r.syncStream(r.stream("app.log"))
			a.durable(1, 1, 5)
			st := r.stream("app.log")
			st.mu.Lock()
			c, err := st.open()
			check(t, err)
			check(t, c.appendHole(c.receiving(), tib, st.holeEvent))
			if name != "gone" {
				check(t, c.append(c.receiving(), []byte("last\n"), crcOf("last\n")))
			}
			st.mu.Unlock()
			a.close()
			r.crash()
			r = r.again(func(o *Options) { o.Boot = "boot 1" })
			a = r.connect(peerA)
			if s := a.attach(1, "app.log"); s[0].Position != 5 {
				t.Fatalf("%+v", s)
			}
			after(a)
			a.ping()
			got, err := os.Stat(r.path("app.log"))
			check(t, err)
			want := map[string]int64{"the same": 10 + tib, "in parts": 10 + tib, "shorter": 10 + tib/2, "longer": 5 + 3*tib/2, "gone": 5}[name]
			if got.Size() != want {
				t.Errorf("the copy has %d bytes, want %d", got.Size(), want)
			}
		})
	}
}

// What an agent can claim has an end.
func TestHoleLimit(t *testing.T) {
	r := newRig(t)
	for range 3 {
		a := r.connect(peerA)
		at := 0
		for _, s := range a.attach(1, "app.log") {
			at = int(s.Position)
		}
		a.open(1, 1, "one")
		for i := at; i <= 4*tib; i += tib {
			a.hole(1, 1, i, tib)
		}
		if f := a.until(dtc.FrameRefused); f.Stream != 1 {
			t.Fatalf("%+v", f)
		}
		a.attach(2, "other.log") // the connection lives
		a.close()
	}
	told := func() (n int) {
		for _, s := range r.eventStates() {
			if s == dtc.StateRefused {
				n++
			}
		}
		return n
	}
	eventually(t, "the refusal is told", func() bool { return told() > 0 })
	if told() != 1 {
		t.Fatalf("told %v", r.eventStates())
	}
	if s := r.Streams()[0]; s.Position != 4*tib {
		t.Fatalf("%+v", s)
	}
}

// A file system that takes no file as long has the stream refused, and told.
func TestHoleTooLong(t *testing.T) {
	var before unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &before))
	check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: tib / 2, Max: before.Max}))
	defer func() { check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &before)) }()
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "first")
	a.hole(1, 1, 5, tib)
	a.until(dtc.FrameRefused)
	eventually(t, "the refusal is told", func() bool { return slices.Contains(r.eventStates(), dtc.StateRefused) })
	s := a.attach(1, "app.log")
	if s[0].Position != 5 {
		t.Fatalf("%+v", s)
	}
	a.append(1, 1, 5, " and on")
	a.ping()
	if got := r.content("app.log"); got != "first and on" {
		t.Fatalf("%q", got)
	}
}

// Bytes that somebody else adds at the very moment are none of the hole.
func TestHoleRaced(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "first")
	a.ping()
	st := r.stream("app.log")
	st.mu.Lock()
	c, err := st.open()
	check(t, err)
	addTo(t, r.path("app.log"), "junk")
	check(t, c.extend(c.receiving(), 10))
	st.mu.Unlock()
	a.append(1, 1, 15, "last")
	a.ping()
	want := "firstjunk" + strings.Repeat("\x00", 6) + strings.Repeat("\x00", 10) + "last"
	if got := r.content("app.log"); got != want {
		t.Fatalf("%q", got)
	}
	eventually(t, "the change is told", func() bool { return slices.Equal(r.eventStates(), []dtc.State{dtc.StateChanged}) })
}

func TestHoleProtocol(t *testing.T) {
	for name, change := range map[string]func(*dtc.Frame){
		"the sum":     func(f *dtc.Frame) { f.Sum++ },
		"none":        func(f *dtc.Frame) { f.End = f.Offset },
		"backwards":   func(f *dtc.Frame) { f.End = f.Offset - 1 },
		"too long":    func(f *dtc.Frame) { f.End = f.Offset + dtc.MaxHole + 1 },
		"too far":     func(f *dtc.Frame) { f.Offset, f.End = maxPosition, maxPosition+10 },
		"before":      func(f *dtc.Frame) { f.Offset = dtc.Absent },
		"loss":        func(f *dtc.Frame) { f.Kind, f.End = dtc.FrameLost, f.Offset },
		"loss before": func(f *dtc.Frame) { f.Kind, f.Offset = dtc.FrameLost, dtc.Absent },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.connect(peerA)
			a.attach(1, "app.log")
			a.open(1, 1, "one")
			f := a.frame(dtc.FrameHole, 1, 1)
			f.End, f.Sum = 10, dtc.ZeroSum(0, 10)
			change(&f)
			a.send(f)
			if err := <-a.err; err == nil || !strings.Contains(err.Error(), "broke the log protocol") {
				t.Fatal(err)
			}
			a.err <- nil
		})
	}
}
