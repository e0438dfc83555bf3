package logs

import (
	"testing"

	"dtc"
)

func TestAppendAndRestart(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	if s := a.attach(1, "app.log"); len(s) != 0 {
		t.Fatalf("state %v of a new stream", s)
	}
	a.open(1, 1, "one")
	a.append(1, 1, 0, "hello ")
	a.append(1, 1, 6, "world\n")
	a.durable(1, 1, 12)
	if got := r.content("app.log"); got != "hello world\n" {
		t.Fatalf("copy %q", got)
	}
	a.close()
	r = r.reopen()
	a = r.connect(peerA)
	if len(a.known) != 1 || a.known[0].Text != "app.log" {
		t.Fatalf("known %v", a.known)
	}
	s := a.attach(7, "app.log")
	if len(s) != 1 || s[0].Position != 12 || s[0].Durable != 12 || string(s[0].Identity) != "one" || s[0].MarkerLen != 12 ||
		s[0].Marker != hash([]byte("hello world\n")) || s[0].Head != s[0].Marker {
		t.Fatalf("state %+v", s)
	}
	a.append(7, 1, 6, "world\nagain\n") // half of it is there
	a.append(7, 1, 30, "hole")
	if f := a.until(dtc.FrameNack); f.Offset != 18 {
		t.Fatalf("nack %+v", f)
	}
	a.open(7, 2, "two")
	a.append(7, 2, 0, "second\n")
	a.append(7, 1, 18, "late\n")
	a.append(7, 2, 7, "third\n")
	a.durable(7, 2, 13)
	if got, want := r.content("app.log"), "hello world\nagain\nsecond\nlate\nthird\n"; got != want {
		t.Fatalf("copy %q, want %q", got, want)
	}
	if e := r.events.states(); len(e) != 0 {
		t.Fatalf("events %v", e)
	}
}
