package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

// answerAll takes the frames from now on and answers what is asked.
func (a *agent) answerAll() {
	var wg sync.WaitGroup
	wg.Go(func() {
		var f dtc.Frame
		for a.link.Recv(&f) == nil {
			if f.Kind == dtc.FrameAsk {
				a.answer(f)
			}
		}
	})
	a.t.Cleanup(func() {
		a.link.Close()
		wg.Wait()
	})
}

func (r *rig) verify() []string {
	r.t.Helper()
	var out []string
	err := r.Verify(context.Background(), nil, func(f Finding) error {
		line := fmt.Sprintf("%s %d %d-%d %s", f.Alias, f.Generation, f.From, f.To, f.Verdict)
		if f.Place != nil {
			line += fmt.Sprintf(" at %d", *f.Place)
		}
		if f.Verdict == VerdictExact && f.Reason != "" {
			line += " " + f.Reason
		}
		out = append(out, line)
		return nil
	})
	check(r.t, err)
	return out
}

func TestVerify(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	sources := map[uint64][]byte{1: []byte(text(9 << 20)), 2: []byte("second\n"), 3: []byte(text(5000))}
	var gone atomic.Uint64
	a.source = func(g uint64) []byte {
		if g == gone.Load() {
			return nil
		}
		return sources[g]
	}
	a.attach(1, "app.log")
	for g := uint64(1); g <= 3; g++ {
		a.open(1, g, fmt.Sprint(g))
	}
	// Interleaved, as late writers do.
	for at := 0; at < len(sources[1]); at += 200_000 {
		a.append(1, 1, at, string(sources[1][at:min(at+200_000, len(sources[1]))]))
		if n := at / 1000; n < 5000 {
			a.append(1, 3, n, string(sources[3][n:min(n+200, 5000)]))
		}
	}
	a.append(1, 2, 0, "second\n")
	a.append(1, 3, 0, string(sources[3]))
	a.ping()
	a.answerAll()
	want := []string{"app.log 1 0-9437184 exact", "app.log 2 0-7 exact", "app.log 3 0-5000 exact"}
	if got := r.verify(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%q", got)
	}

	// One bit of the copy, far inside.
	st := r.stream("app.log")
	st.mu.Lock()
	p := st.c.pieces(1)[20]
	st.mu.Unlock()
	f, err := os.OpenFile(r.path("app.log"), os.O_RDWR, 0)
	check(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, p.physical+77)
	check(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, p.physical+77)
	check(t, err)
	check(t, f.Close())
	want[0] = fmt.Sprintf("app.log 1 0-9437184 not exact at %d", p.source+77)
	if got := r.verify(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%q", got)
	}

	// A source that is shorter, one that is gone, and one that was sealed.
	seal := a.frame(dtc.FrameSeal, 1, 2)
	seal.End, seal.Sum = 7, crcOf("second\n")
	a.send(seal)
	gone.Store(2)
	eventually(t, "the seal", func() bool {
		return r.verify()[1] == "app.log 2 0-7 exact its checksum is the one of the source when it ended"
	})
	gone.Store(3)
	want[2] = "app.log 3 0-5000 not known"
	if got := r.verify(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%q", got)
	}
	a.close()
	eventually(t, "its end", func() bool { return r.Streams()[0].State == StreamAway })
	want[0], want[1] = "app.log 1 0-9437184 not known", "app.log 2 0-7 exact its checksum is the one of the source when it ended"
	if got := r.verify(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%q", got)
	}
}

// TestAsk has the agent ask for hashes of the copy, before it rewinds.
func TestAsk(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "0123456789")
	a.open(1, 2, "two")
	a.append(1, 2, 0, "abc")
	a.append(1, 1, 10, "ABCDEF")
	ask := func(g uint64, from, to int64) dtc.Frame {
		f := a.frame(dtc.FrameAsk, 1, g)
		f.ID, f.Offset, f.End = 9, from, to
		a.send(f)
		return a.until(dtc.FrameAnswer)
	}
	if f := ask(1, 5, 14); f.ID != 9 || f.Text != "" || hash([]byte("56789ABCD")) != dtc.Hash(f.Data[:16]) {
		t.Fatalf("%+v", f)
	}
	for _, q := range [][3]int64{{1, 5, 17}, {1, -1, 3}, {1, 9, 3}, {3, 0, 1}} {
		if f := ask(uint64(q[0]), q[1], q[2]); f.Text == "" || len(f.Data) > 0 {
			t.Fatalf("%v: %+v", q, f)
		}
	}
	f := a.frame(dtc.FrameRewind, 1, 1)
	f.Offset, f.Text = 12, "it was cut"
	a.send(f)
	a.append(1, 1, 12, "xyz")
	if f := ask(1, 8, 15); f.Text != "" || hash([]byte("89ABxyz")) != dtc.Hash(f.Data[:16]) {
		t.Fatalf("%+v", f)
	}
	if got := r.content("app.log"); got != "0123456789abcABCDEFxyz" {
		t.Fatalf("copy %q", got)
	}
}

func TestStreamsAndLag(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	f := a.frame(dtc.FrameSize, 1, 1)
	f.Offset, f.End = 10, 100
	a.send(f)
	a.durable(1, 1, 4)
	a.ping()
	s := r.Streams()
	if len(s) != 1 || s[0].Lag == nil || *s[0].Lag != 106 || s[0].Position != 4 || s[0].Size != 4 || s[0].Durable != 4 || s[0].State != StreamLive {
		t.Fatalf("%+v", s)
	}
	var listed []StreamInfo
	check(t, r.Answer(t.Context(), VerbList, nil, func(v any) error {
		listed = append(listed, v.(StreamInfo))
		return nil
	}))
	if len(listed) != 1 || listed[0].Alias != "app.log" {
		t.Fatalf("%+v", listed)
	}
	b, err := json.Marshal(VerifyRequest{Targets: []Target{{"10.0.0.7", "nothing"}}})
	check(t, err)
	check(t, r.Answer(t.Context(), VerbVerify, b, func(any) error { return errors.New("there is none") }))
	a.close()
	r.stop()
	offline, err := List(r.dir)
	check(t, err)
	if len(offline) != 1 || offline[0].State != StreamOffline || offline[0].Size != 4 || offline[0].Position != 4 || offline[0].Peer != peerA.ID {
		t.Fatalf("%+v", offline)
	}
}

// TestEventsAreToldOnce fails to tell, dies, and tells at the next start.
func TestEventsAreToldOnce(t *testing.T) {
	deaf := errors.New("deaf")
	r := newRig(t)
	good := r.opts.Report
	r = r.reopen(func(o *Options) { o.Report = func(string, dtc.Event) error { return deaf } })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	for i := range int64(3) {
		f := a.frame(dtc.FrameGap, 1, 1)
		f.Offset, f.End, f.Text = 4+10*i, 14+10*i, fmt.Sprintf("gap %d", i)
		a.send(f)
	}
	a.ping()
	a.close()
	r.crash()
	r = r.again(func(o *Options) { o.Report = good })
	eventually(t, "three events", func() bool { return len(r.eventStates()) == 3 })
	for i, e := range r.events.all {
		if e.Reason != fmt.Sprintf("gap %d", i) || !strings.HasSuffix(e.ID, fmt.Sprintf("-%d", i+1)) || e.Time.IsZero() {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	st := r.stream("app.log")
	eventually(t, "the note that they were told", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.c != nil && len(st.c.events) == 0 && st.c.dirty.IsZero()
	})
	r.crash()
	r = r.again()
	time.Sleep(20 * time.Millisecond)
	for id, n := range r.events.ids {
		if n != 1 {
			t.Errorf("event %s was told %d times", id, n)
		}
	}
}

func TestCorruptSeal(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	f := a.frame(dtc.FrameSeal, 1, 1)
	f.End, f.Sum = 4, 0xbad
	a.send(f)
	eventually(t, "the event", func() bool { return fmt.Sprint(r.eventStates()) == "[corrupt]" })
	a.append(1, 1, 4, "late\n") // and goes on all the same
	a.durable(1, 1, 9)
	f.End, f.Sum = 9, crcOf("one\nlate\n")
	a.send(f)
	a.ping()
	if s := r.Streams(); len(r.eventStates()) != 1 || s[0].Size != 9 {
		t.Fatalf("%v %+v", r.eventStates(), s)
	}
}
