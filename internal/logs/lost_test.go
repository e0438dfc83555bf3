package logs

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"dtc"
)

// wantSpans waits until just these events of a state were told, by their
// positions.
func (r *rig) wantSpans(state dtc.State, want ...string) {
	r.t.Helper()
	var got []string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.events.mu.Lock()
		got = nil
		for _, e := range r.events.all {
			if e.State != state {
				continue
			}
			span := fmt.Sprintf("%d-", *e.From)
			if e.To != nil {
				span += fmt.Sprint(*e.To)
			}
			got = append(got, span)
		}
		r.events.mu.Unlock()
		if len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		r.t.Fatalf("told %v, want %v", got, want)
	}
}

func (a *agent) lost(stream uint32, generation uint64, from, to int64) {
	f := a.frame(dtc.FrameLost, stream, generation)
	f.Offset, f.End, f.Text = from, to, "cut before it could be read"
	a.send(f)
}

// A loss is told once, however often it is heard, and moves nothing.
func TestLost(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "first")
	for range 2 {
		a.lost(1, 1, 5, 10)
		a.ping()
		a.close()
		r = r.reopen()
		a = r.connect(peerA)
		a.attach(1, "app.log")
		a.lost(1, 1, 5, 10)
		a.ping()
		check(t, r.compact("app.log"))
		a.lost(1, 1, 5, 10)
		a.close()
		r.crash()
		r = r.again()
		a = r.connect(peerA)
		a.attach(1, "app.log")
	}
	a.append(1, 1, 5, " last")
	a.lost(1, 1, 8, 10) // another one
	a.lost(1, 7, 8, 10) // of a generation that nobody knows
	if f := a.until(dtc.FrameState); f.States[0].Position != 10 {
		t.Fatalf("%+v", f)
	}
	if got := r.content("app.log"); got != "first last" {
		t.Fatalf("%q", got)
	}
	r.wantSpans(dtc.StateGap, "5-10", "8-10")
	st := r.stream("app.log")
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	check(t, err)
	if want := []lostEntry{{5, 1, 5, 10}, {10, 1, 8, 10}}; !slices.Equal(c.model.lost, want) {
		t.Fatalf("remembered %+v", c.model.lost)
	}
}

// What is remembered of losses has an end.
func TestLostMany(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	for i := range 3 * maxLost {
		a.lost(1, 1, int64(i), int64(i+1))
	}
	a.ping()
	st := r.stream("app.log")
	st.mu.Lock()
	defer st.mu.Unlock()
	if n := len(st.c.model.lost); n != maxLost {
		t.Fatalf("%d are remembered", n)
	}
}

// A gap of which nobody knows the generation may be all that is ever heard of a
// stream.
func TestGapFirst(t *testing.T) {
	r := newRig(t)
	for range 2 {
		a := r.connect(peerA)
		a.attach(1, "app.log")
		f := a.frame(dtc.FrameGap, 1, 0)
		f.End, f.Text = dtc.Absent, "a file was made and removed"
		a.send(f)
		a.ping()
		a.close()
		r = r.reopen()
	}
	a := r.connect(peerA)
	if s := a.attach(1, "app.log"); len(s) != 0 {
		t.Fatalf("%+v", s)
	}
	a.open(1, 1, "one")
	a.append(1, 1, 0, "first")
	a.ping()
	if got := r.content("app.log"); got != "first" {
		t.Fatalf("%q", got)
	}
	r.wantSpans(dtc.StateGap, "0-")
}

// How well a source can be followed stands as long as its connection does.
func TestQuality(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	say := func(text string) string {
		t.Helper()
		f := a.frame(dtc.FrameFollow, 1, 0)
		f.Text = text
		a.send(f)
		a.ping()
		return r.Streams()[0].Follow
	}
	for text, want := range map[string]string{
		"polled: nfs": "polled: nfs", "": "", "a\x1b[31m\nb\xff": "a [31m b?", string(make([]byte, 1000)): "",
	} {
		if got := say(text); got != want {
			t.Errorf("%q is kept as %q, want %q", text, got, want)
		}
	}
	if got := say(string(slices.Repeat([]rune{'ü'}, 400))); len(got) > maxFollow {
		t.Errorf("%d bytes are kept", len(got))
	}
	a.close()
	if got := r.Streams()[0].Follow; got != "" {
		t.Errorf("after the end: %q", got)
	}
}

// TestLossesAlone has the record of a stream written anew where nothing but
// losses comes, which are not even told any more.
func TestLossesAlone(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	a.durable(1, 1, 4)
	st := r.stream("app.log")
	for i := range int64(2 * compactAt / 8) {
		st.mu.Lock()
		check(t, st.update(func(c *replica) error { return c.record(&lostEntry{c.length, 1, 10 + i, 20 + i}) }))
		st.mu.Unlock()
	}
	eventually(t, "the record is short again", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.c != nil && st.c.journal < compactAt
	})
}
