package logs

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"dtc"
)

// findings are what a verification says, with the reasons.
func (r *rig) findings(targets ...Target) []string {
	r.t.Helper()
	var out []string
	check(r.t, r.Verify(context.Background(), targets, func(f Finding) error {
		line := fmt.Sprintf("%s %d %d-%d %s", f.Alias, f.Generation, f.From, f.To, f.Verdict)
		if f.Place != nil {
			line += fmt.Sprintf(" at %d", *f.Place)
		}
		if f.Reason != "" {
			line += ": " + f.Reason
		}
		out = append(out, line)
		return nil
	}))
	return out
}

const bySum = "its checksum is the one of the source when it ended"

// TestVerifySealed alters a copy in every way after its source is gone.
func TestVerifySealed(t *testing.T) {
	const content = "one\ntwo\n"
	for _, test := range []struct {
		name string
		do   func(path string)
		want string
	}{
		{"nothing", func(string) {}, "app.log 1 0-8 exact: " + bySum},
		{"altered", func(path string) { check(t, os.WriteFile(path, []byte("one\ntwO\nNEXT\n"), 0o600)) }, "app.log 1 0-8 not exact: its checksum is not"},
		{"cut", func(path string) { check(t, os.Truncate(path, 5)) }, "app.log 1 0-8 not exact at 5: the copy does not hold"},
		{"removed", func(path string) { check(t, os.Remove(path)) }, "app.log 1 0-8 not exact at 0: the copy does not hold"},
		{"replaced", func(path string) {
			check(t, os.Rename(path, path+".1"))
			check(t, os.WriteFile(path, []byte(content+"next\n"), 0o600))
		}, "app.log 1 0-8 not exact at 0: the copy does not hold"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			a := r.connect(peerA)
			a.attach(1, "app.log")
			a.open(1, 1, "one")
			a.append(1, 1, 0, content)
			seal := a.frame(dtc.FrameSeal, 1, 1)
			seal.End, seal.Sum = 8, crcOf(content)
			a.send(seal)
			a.open(1, 2, "two")
			a.append(1, 2, 0, "next\n")
			a.durable(1, 2, 5)
			a.close()
			eventually(t, "its end", func() bool { return r.Streams()[0].State == StreamAway })
			test.do(r.path("app.log"))
			got := r.findings()
			if len(got) < 1 || !strings.HasPrefix(got[0], test.want) {
				t.Fatalf("%q, want %q", got, test.want)
			}
			if !strings.HasPrefix(got[1], "app.log 2 0-5 not") {
				t.Fatalf("the generation without a source: %q", got)
			}
		})
	}
}

// TestVerifyStrangeBytes has somebody add bytes to the copy.
func TestVerifyStrangeBytes(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.source = func(uint64) []byte { return []byte("one\ntwo\n") }
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	a.durable(1, 1, 4)
	addTo(t, r.path("app.log"), "junk\n")
	strange := "app.log 0 0-0 not exact: the copy has bytes that are none of the source, from its byte 4 on"
	a.append(1, 1, 4, "two\n")
	a.durable(1, 1, 8)
	a.answerAll()
	if got := r.findings(); len(got) != 2 || got[0] != "app.log 1 0-8 exact" || got[1] != strange {
		t.Fatalf("%q", got)
	}
	addTo(t, r.path("app.log"), "more\n")
	if got := r.findings(); len(got) != 2 || got[1] != strange {
		t.Fatalf("%q", got)
	}
}

// TestVerifyLostAndUnknown is about what can never be exact, and about words.
func TestVerifyLostAndUnknown(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "b.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	gap := a.frame(dtc.FrameGap, 1, 1)
	gap.Offset, gap.End, gap.Text = 4, 10, "lost"
	a.send(gap)
	a.append(1, 1, 10, "two\n")
	a.attach(2, "a.log")
	a.open(2, 1, "one")
	a.append(2, 1, 0, "one\n")
	a.attach(3, "c.log")
	a.ping()
	a.answerAll()
	got := r.findings(Target{"10.0.0.7", "b.log"}, Target{"10.0.0.7", "a.log"}, Target{"10.0.0.7", "c.log"}, Target{"", "a.log"})
	want := []string{
		"b.log 1 0-14 not exact at 4: " + errNotThere.Error(),
		"a.log 1 0-4 not known: its agent has the source no more",
		"c.log 0 0-0 exact: the source has had nothing to copy yet",
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Fatalf("%q\nwant %q", got, want)
	}
	if s := answerText("not known: the source is gone"); s != "the source is gone" {
		t.Fatal(s)
	}
}

// TestVerifyEmpty begins at the end of a source, behind which nothing came.
func TestVerifyEmpty(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	f := a.frame(dtc.FrameOpen, 1, 1)
	f.Offset, f.Data = 500, []byte("one")
	a.send(f)
	size := a.frame(dtc.FrameSize, 1, 1)
	size.Offset = 500
	a.send(size)
	a.ping()
	if got := r.findings(); len(got) != 1 || got[0] != "app.log 1 500-500 exact" {
		t.Fatalf("%q", got)
	}
	size.Offset = 600
	a.send(size)
	a.ping()
	if got := r.findings(); len(got) != 1 || got[0] != "app.log 0 0-0 not known: nothing has arrived yet, and the source has 100 bytes" {
		t.Fatalf("%q", got)
	}
}

// TestListStates looks at what a list says of size, lag and state.
func TestListStates(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	if i := r.Streams()[0]; i.State != StreamWaiting || i.Lag != nil || i.Size != 0 {
		t.Fatalf("%+v", i)
	}
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\ntwo\n")
	a.durable(1, 1, 8)
	if i := r.Streams()[0]; i.State != StreamLive || i.Lag != nil || i.Size != 8 {
		t.Fatalf("%+v", i)
	}
	f := a.frame(dtc.FrameSize, 1, 1)
	f.Offset = 10
	a.send(f)
	a.ping()
	check(t, os.Truncate(r.path("app.log"), 3))
	if i := r.Streams()[0]; i.State != StreamLive || i.Lag == nil || *i.Lag != 2 || i.Size != 3 {
		t.Fatalf("%+v", i)
	}
	a.close()
	eventually(t, "its end", func() bool { return r.Streams()[0].State == StreamAway })
	eventually(t, "the end of its connection", func() bool { return r.Streams()[0].Reason == "" })
	if i := r.Streams()[0]; i.Lag != nil {
		t.Fatalf("%+v", i)
	}
	b := r.connect(peerA) // and does not want it any more
	b.ping()
	if i := r.Streams()[0]; i.State != StreamAway || i.Lag != nil || !strings.Contains(i.Reason, "follows no such file") {
		t.Fatalf("%+v", i)
	}
	b.close()
	r.stop()
	list, err := List(r.dir)
	if check(t, err); len(list) != 1 || list[0].Size != 3 {
		t.Fatalf("%+v", list)
	}
}
