package logs

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
)

// TestFailedSync has an fsync fail: what was not durable is written anew.
func TestFailedSync(t *testing.T) {
	var broken atomic.Bool
	r := newRig(t, func(o *Options) {
		o.sync = func(f *os.File) error {
			if broken.Load() && !strings.HasSuffix(f.Name(), ".dtc") {
				return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: unix.EIO}
			}
			return syncData(f)
		}
		o.syncfs = func(*os.File) error { return unix.EIO }
	})
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "safe\n")
	a.durable(1, 1, 5)
	broken.Store(true)
	a.append(1, 1, 5, "not safe\n")
	f := a.until(dtc.FramePaused)
	if !strings.Contains(f.Text, "input/output error") {
		t.Fatalf("reason %q", f.Text)
	}
	broken.Store(false)
	if f := a.until(dtc.FrameNack); f.Offset != 5 {
		t.Fatalf("nack %+v", f)
	}
	a.append(1, 1, 5, "not safe\nmore\n")
	a.durable(1, 1, 19)
	if got := r.content("app.log"); got != "safe\nnot safe\nmore\n" {
		t.Fatalf("copy %q", got)
	}
	eventually(t, "events", func() bool { return len(r.eventStates()) == 3 })
	switch got := fmt.Sprint(r.eventStates()); got { // what the copy has to tell and what the stream has are told side by side
	case "[paused changed resumed]", "[paused resumed changed]":
	default:
		t.Fatalf("events %s", got)
	}
	// And the mark that counts is the new one.
	a.close()
	r = r.reopen(func(o *Options) { o.Boot = "next" })
	a = r.connect(peerA)
	if s := a.attach(1, "app.log"); s[0].Position != 19 || s[0].Durable != 19 {
		t.Fatalf("state %+v", s)
	}
}

// TestPowerLossSourceGone keeps what nobody can prove any more, but for NULs.
func TestPowerLossSourceGone(t *testing.T) {
	for _, tail := range []string{"", "\x00\x00\x00\x00", strings.Repeat("\x00", 100_000)} {
		r, a := afterPowerLoss(t, "perhaps\n"+tail)
		if s := a.attach(1, "app.log"); s[0].Position != 5 {
			t.Fatalf("state %+v", s)
		}
		f := a.frame(dtc.FrameGap, 1, 1)
		f.Offset, f.End, f.Text = 5, dtc.Absent, "the file is gone"
		a.send(f)
		a.open(1, 2, "two")
		a.append(1, 2, 0, "next\n")
		a.durable(1, 2, 5)
		if got := r.content("app.log"); got != "safe\nperhaps\nnext\n" {
			t.Fatalf("copy %q", got)
		}
		eventually(t, "events", func() bool { return len(r.eventStates()) == 2 })
		e := r.events.all
		if e[0].State != dtc.StateCorrupt || *e[0].From != 5 || *e[0].To != 13 || e[1].State != dtc.StateGap || *e[1].From != 13 || e[1].To != nil {
			t.Fatalf("events %+v", e)
		}
		if s := r.Streams()[0]; s.Unverified != 8 {
			t.Fatalf("%+v", s)
		}
	}
}

// TestPowerLossSealed proves what lies behind the mark by the checksum of the
// whole, when the source can still tell that.
func TestPowerLossSealed(t *testing.T) {
	for _, c := range []struct {
		tail, want string
		nacked     bool
	}{
		{"rest\n", "safe\nrest\nnext\n", false},
		{"r\x00\x00\x00\n", "safe\nrest\nnext\n", true},
	} {
		r, a := afterPowerLoss(t, c.tail)
		a.attach(1, "app.log")
		f := a.frame(dtc.FrameSeal, 1, 1)
		f.End, f.Sum = 10, crcOf("safe\nrest\n")
		a.send(f)
		answer := a.recv()
		for answer.Kind == dtc.FrameAck && answer.Offset == 5 {
			answer = a.recv()
		}
		if c.nacked != (answer.Kind == dtc.FrameNack) {
			t.Fatalf("answer %+v", answer)
		}
		if c.nacked {
			a.append(1, 1, 5, "rest\n")
			a.send(f)
		}
		a.open(1, 2, "two")
		a.append(1, 2, 0, "next\n")
		a.durable(1, 2, 5)
		if got := r.content("app.log"); got != c.want {
			t.Fatalf("copy %q, want %q", got, c.want)
		}
	}
}

// afterPowerLoss is a monitor that lost its power after "safe\n" was durable;
// the disk has a tail behind it.
func afterPowerLoss(t *testing.T, tail string) (*rig, *agent) {
	t.Helper()
	r := newRig(t, func(o *Options) { o.Boot = "before" })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "safe\n")
	a.durable(1, 1, 5)
	a.close()
	r.crash()
	addTo(t, r.path("app.log"), tail)
	r = r.again(func(o *Options) { o.Boot = "after" })
	return r, r.connect(peerA)
}
