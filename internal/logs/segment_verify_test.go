package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dtc"
)

func TestVerifyWhatIsKept(t *testing.T) {
	r, a := inSegments(t, nil, "one 1\n", "one 2\n")
	two := "two 1\ntwo 2\n"
	a.open(1, 2, "two")
	a.append(1, 2, 0, two[:6])
	a.ping()
	r.roll("app.log")
	a.append(1, 2, 6, two[6:])
	a.append(1, 1, 12, "late\n")
	seal := a.frame(dtc.FrameSeal, 1, 1)
	seal.End, seal.Sum = 17, crcOf("one 1\none 2\nlate\n")
	a.send(seal)
	seal = a.frame(dtc.FrameSeal, 1, 2)
	seal.End, seal.Sum = 12, crcOf(two)
	a.send(seal)
	a.ping()
	a.source = func(g uint64) []byte { return []byte([]string{"one 1\none 2\nlate\n", two}[g-1]) }
	a.answerAll()
	expect := func(when string, want ...string) {
		t.Helper()
		got := r.verify()
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], "exact ")
		}
		if len(got) < len(want) || strings.Join(got[:len(want)], "; ") != strings.Join(want, "; ") {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	exact := func(g, from, to int) string { return fmt.Sprintf("app.log %d %d-%d exact", g, from, to) }
	expect("whole", exact(1, 0, 17), exact(2, 0, 12))
	r.drop("app.log", 1)
	expect("one segment dropped", exact(1, 6, 17), exact(2, 0, 12))
	r.drop("app.log", 1)
	expect("two dropped", exact(1, 12, 17), exact(2, 6, 12))
	// The same when nobody can be asked: by the checksum where what was dropped
	// ended at a segment's end.
	check(t, r.compact("app.log"))
	a.close()
	r = r.reopen()
	got := r.verify()
	if len(got) < 2 || got[0] != "app.log 1 12-17 not known" ||
		got[1] != "app.log 2 6-12 exact its checksum is the one of the source when it ended" {
		t.Errorf("%q", got)
	}
	spoil(t, r.path("app.log"), 2)
	if got := r.verify(); len(got) < 2 || got[1] != "app.log 2 6-12 not exact" {
		t.Errorf("%q", got)
	}
}

// spoil changes a byte of a file.
func spoil(tb testing.TB, path string, at int) {
	tb.Helper()
	b, err := os.ReadFile(path)
	check(tb, err)
	check(tb, writeAt(path, int64(at), string([]byte{b[at] ^ 1})))
}

// writeAt changes a file in place.
func writeAt(path string, at int64, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), at)
	return errors.Join(err, f.Close())
}

// TestVerifyWhileDropping drops while it compares.
func TestVerifyWhileDropping(t *testing.T) {
	var pieces []string
	for i := range 10 {
		pieces = append(pieces, strings.Repeat(fmt.Sprintf("line %d\n", i), 100))
	}
	source := strings.Join(pieces, "")
	r, a := inSegments(t, nil, pieces...)
	dropped := false
	a.source = func(uint64) []byte {
		if !dropped {
			dropped = true
			r.drop("app.log", 4)
		}
		return []byte(source)
	}
	a.answerAll()
	for _, f := range r.verify() {
		if strings.Contains(f, "not") {
			t.Fatalf("%s", f)
		}
	}
	if !dropped {
		t.Fatal("nothing was asked")
	}
}

// What somebody may do to a closed segment, and what is told of it.
func TestForeignSegments(t *testing.T) {
	pieces := []string{"one one\n", "two two\n", "three\n", "four\n"}
	for _, c := range []struct {
		name string
		do   func(path string) error
		kept string // of what was the second of them
		told string // "": a verification alone finds it
		bad  string // what that says of the generation
	}{
		{"removed", os.Remove, "", "removed .app.log.8, a closed part of the copy of 8 bytes", "0-27 not exact at 8"},
		{"cut", func(p string) error { return os.Truncate(p, 5) }, "two t", "cut .app.log.8, a closed part of the copy, from 8 bytes to 5", "0-27 not exact at 13"},
		{"grown", func(p string) error {
			return writeAt(p, 8, "junk\n")
		}, "two two\njunk\n", "added 5 bytes to .app.log.8", "0-27 exact"},
		{"replaced", func(p string) error {
			if err := os.WriteFile(p+".new", []byte("TWO two\n"), 0o640); err != nil {
				return err
			}
			return os.Rename(p+".new", p)
		}, "TWO two\n", "another file of 8 bytes in the place of .app.log.8", "0-27 not exact at 8"},
		{"edited", func(p string) error { return writeAt(p, 6, "0") }, "two tw0\n", "", "0-27 not exact at 14"},
		{"a link", func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Symlink("/etc/passwd", p)
		}, "", "removed .app.log.8", "0-27 not exact at 8"},
	} {
		for _, when := range []string{"running", "stopped"} {
			t.Run(c.name+"/"+when, func(t *testing.T) {
				r, a := inSegments(t, nil, pieces...)
				a.source = func(uint64) []byte { return []byte(strings.Join(pieces, "")) }
				if when == "stopped" {
					a.close()
					r.stop()
					check(t, c.do(r.path(".app.log.8")))
					r = r.again()
					b := r.connect(peerA)
					b.attach(1, "app.log")
					b.source = a.source
					a = b
				} else {
					check(t, c.do(r.path(".app.log.8")))
					r.stream("app.log").retain(time.Now())
				}
				a.answerAll()
				if got := r.verify(); got[0] != "app.log 1 "+c.bad {
					t.Errorf("verification: %q", got)
				}
				if got, want := readAll(t, r.dir, Query{Lines: -1}), "one one\n"+c.kept+"three\nfour\n"; got != want {
					t.Errorf("%q, want %q", got, want)
				}
				if c.told != "" {
					eventually(t, "the event", func() bool { return len(r.eventStates()) > 0 })
				}
				check(t, r.compact("app.log"))
				r = r.reopen()
				if got, want := readAll(t, r.dir, Query{Lines: -1}), "one one\n"+c.kept+"three\nfour\n"; got != want {
					t.Errorf("after a restart: %q, want %q", got, want)
				}
				r.events.mu.Lock()
				defer r.events.mu.Unlock()
				if c.told == "" && len(r.events.all) > 0 || c.told != "" &&
					(len(r.events.all) != 1 || r.events.all[0].State != dtc.StateChanged || !strings.Contains(r.events.all[0].Reason, c.told)) {
					t.Errorf("events %+v", r.events.all)
				}
			})
		}
	}
}

// TestHolesDoNotCount has a copy that is nearly all a hole: that is no reason
// to drop what stands before it.
func TestHolesDoNotCount(t *testing.T) {
	r, _ := inSegments(t, nil, "one\n", "two\n")
	st := r.stream("app.log")
	st.mu.Lock()
	c, err := st.open()
	check(t, err)
	// As a hole of the source makes it.
	g := c.receiving()
	const hole = 64 << 20
	check(t, c.writeLive(hole))
	check(t, c.data.Truncate(c.size+hole))
	c.size += hole
	c.length += hole
	g.position += hole
	g.sum = 0
	st.mu.Unlock()
	r.roll("app.log")
	keep := Retention{Size: 1 << 20}
	r.keep(keep)
	st.retain(time.Now())
	if got := r.segments("app.log"); len(got) != 2 {
		t.Fatalf("segments %v", got)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if s := c.segments[1]; s.size != hole+4 || s.weight > 64<<10 {
		t.Fatalf("%+v", s)
	}
	var b bytes.Buffer
	check(t, Read(t.Context(), r.dir, Query{Lines: 2}, func(l Line) error {
		_, err := b.Write(l.Text[:min(len(l.Text), 10)])
		return err
	}))
}

// TestProofsOutliveTheBytes drops the bytes of which a generation's proofs were
// made.
func TestProofsOutliveTheBytes(t *testing.T) {
	r, a := inSegments(t, nil, "one\n", "two\n")
	r.drop("app.log", 1)
	r.crash()
	a.close()
	r = r.again()
	a = r.connect(peerA)
	s := a.attach(1, "app.log")[0]
	if s.Position != 8 || s.HeadLen != 8 || s.Head != hash([]byte("one\ntwo\n")) {
		t.Fatalf("%+v", s)
	}
	r.keep(Retention{Age: 8_000_000 * time.Second})
	r.roll("app.log")
	r.drop("app.log", 1) // nothing is left
	a.close()
	r = r.reopen()
	a = r.connect(peerA)
	s = a.attach(1, "app.log")[0]
	if s.Position != 8 || s.Sum != crcOf("one\ntwo\n") || s.HeadLen != 8 || s.Head != hash([]byte("one\ntwo\n")) || s.MarkerLen == 0 ||
		s.Marker != hash([]byte("one\ntwo\n")[8-s.MarkerLen:]) {
		t.Fatalf("%+v", s)
	}
	if got := r.whole("app.log"); got != "" {
		t.Fatalf("%q", got)
	}
	a.append(1, 1, 8, "three\n")
	a.ping()
	if got := r.content("app.log"); got != "three\n" {
		t.Fatalf("%q", got)
	}
}
