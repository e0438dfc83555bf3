package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWindows reads what came between two times: windows that follow each
// other give each line once, also one that was half there in between.
func TestWindows(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	r := newRig(t, func(o *Options) { o.Now = clock; o.SyncEvery = time.Nanosecond })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	start, at := now, 0
	var lines []string
	for i := range 20 {
		line := fmt.Sprintf("line %d\n", i)
		lines = append(lines, line)
		for k, part := range []string{line[:4], line[4:]} {
			if k == 1 && i%2 == 1 { // the rest of it comes a minute later
				mu.Lock()
				now = now.Add(time.Minute)
				mu.Unlock()
			}
			a.append(1, 1, at, part)
			at += len(part)
			a.ping()
		}
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
	}
	whole := strings.Join(lines, "")
	for range 2 {
		for from := start; !from.After(now); from = from.Add(time.Minute) {
			for to := from.Add(time.Minute); !to.After(now.Add(time.Minute)); to = to.Add(7 * time.Minute) {
				before := readAll(t, r.dir, Query{Lines: -1, Until: from})
				between := readAll(t, r.dir, Query{Lines: -1, Since: from, Until: to})
				after := readAll(t, r.dir, Query{Lines: -1, Since: to})
				if before+between+after != whole {
					t.Fatalf("%v to %v: %q, %q, %q", from, to, before, between, after)
				}
				if last := readAll(t, r.dir, Query{Lines: 1, Until: to}); !strings.HasSuffix(before+between, last) || last == "" {
					t.Fatalf("the last before %v: %q", to, last)
				}
				raw := readAll(t, r.dir, Query{Lines: -1, Since: from, Until: to, Bytes: true})
				if raw != between {
					t.Fatalf("raw: %q, want %q", raw, between)
				}
			}
		}
		check(t, r.compact("app.log"))
	}
	// With a cursor the end is where it goes on.
	var place Place
	q := Query{Begin: map[Target]Place{appLog: {}}, Hold: true, Reached: func(p Place) error { place = p; return nil }}
	q.Until = start.Add(10 * time.Minute)
	first := readAll(t, r.dir, q)
	q.Begin, q.Until = map[Target]Place{appLog: place}, time.Time{}
	if rest := readAll(t, r.dir, q); first == "" || rest == "" || first+rest != whole {
		t.Fatalf("%q and %q", first, rest)
	}
}

// strictly reads from a position on, and returns the error.
func (r *rig) strictly(position int64) (string, error) {
	var b bytes.Buffer
	q := Query{Begin: map[Target]Place{appLog: {Target: appLog, Position: position}}, Strict: true, Bytes: true}
	err := Read(r.t.Context(), r.dir, q, func(l Line) error {
		_, err := b.Write(l.Text)
		return err
	})
	return b.String(), err
}

// TestStrict goes on at a position, or says why it cannot.
func TestStrict(t *testing.T) {
	r := retaining(t, Retention{}, 100)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	source := text(3000)
	a.feed(1, 1, source, 0, 1000)
	for _, position := range []int64{0, 1, 500, 999, 1000} {
		if got, err := r.strictly(position); err != nil || got != source[position:1000] {
			t.Errorf("from %d: %d bytes, %v", position, len(got), err)
		}
	}
	if _, err := r.strictly(1001); err == nil || !strings.Contains(err.Error(), "begin at byte 1001 of 10.0.0.7/app.log: it has only 1000 bytes") {
		t.Errorf("beyond the end: %v", err)
	}
	// Somebody adds bytes, and cuts some: what is the stream's own is given, or
	// what is missing told.
	a.durable(1, 1, 1000)
	addTo(t, r.path("app.log"), "junk")
	a.feed(1, 1, source, 1000, 1500)
	if got, err := r.strictly(900); err != nil || got != source[900:1500] {
		t.Errorf("over junk: %q, %v", got, err)
	}
	check(t, os.Truncate(r.path("app.log"), 1304))
	a.feed(1, 1, source, 1500, 2000)
	if got, err := r.strictly(1200); err == nil || !strings.Contains(err.Error(), "has the bytes 1300-1500 no more") || got != source[1200:1300] {
		t.Errorf("over a cut: %q, %v", got, err)
	}
	if got, err := r.strictly(1500); err != nil || got != source[1500:2000] {
		t.Errorf("behind it: %q, %v", got, err)
	}
	r.keep(Retention{Size: 100})
	eventually(t, "a drop", func() bool {
		a.feed(1, 1, source, 2000, 3000)
		st := r.stream("app.log")
		st.retain(time.Now().Add(time.Hour))
		st.mu.Lock()
		defer st.mu.Unlock()
		c, err := st.open()
		check(t, err)
		return c.dropped > 0
	})
	if _, err := r.strictly(0); err == nil || !strings.Contains(err.Error(), "were dropped by retention; what is kept begins at ") {
		t.Errorf("dropped: %v", err)
	}
}

// TestForeignMarks tells of what somebody did to a copy, in its place.
func TestForeignMarks(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\nhalf ")
	a.durable(1, 1, 9)
	addTo(t, r.path("app.log"), "JUNK\n")
	a.append(1, 1, 9, "a line\n")
	a.durable(1, 1, 16)
	marked := func(q Query) string {
		t.Helper()
		var b strings.Builder
		q.Marks = true
		check(t, Read(t.Context(), r.dir, q, func(l Line) error {
			if l.Mark != nil {
				fmt.Fprintf(&b, "[%d %d]", l.Mark.Kind, l.Mark.Bytes)
			} else {
				fmt.Fprintf(&b, "%q", l.Text)
			}
			return nil
		}))
		return b.String()
	}
	if got, want := marked(Query{Lines: -1}), fmt.Sprintf("%q%q[%d 0]%q%q", "one\n", "half ", MarkChanged, "JUNK\n", "a line\n"); got != want {
		t.Errorf("all: %s, want %s", got, want)
	}
	from := Query{Begin: map[Target]Place{appLog: {Target: appLog}}}
	if got, want := marked(from), fmt.Sprintf("%q%q[%d 0]", "one\n", "half a line\n", MarkChanged); got != want {
		t.Errorf("the stream's own: %s, want %s", got, want)
	}
	check(t, os.Truncate(r.path("app.log"), 4))
	a.append(1, 1, 16, "three\n")
	a.durable(1, 1, 22)
	if got, want := marked(from), fmt.Sprintf("%q[%d 12][%d 0]%q", "one\n", MarkRemoved, MarkChanged, "three\n"); got != want {
		t.Errorf("after a cut: %s, want %s", got, want)
	}
}

// TestCursorFile reads back what it wrote, and refuses what is none.
func TestCursorFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursor")
	open := func() *Cursor {
		t.Helper()
		c, err := OpenCursor(path)
		check(t, err)
		return c
	}
	save := func(c *Cursor) {
		t.Helper()
		write := c.Save()
		if write == nil {
			t.Fatal("nothing is to be written")
		}
		check(t, write())
		if c.Save() != nil {
			t.Fatal("it is to be written again")
		}
	}
	c := open()
	if c.Begin() != nil {
		t.Fatal("it begins somewhere")
	}
	save(c)
	a, b := Place{appLog, "id", 5, false}, Place{Target{"f", "a"}, "", 7, true}
	c.Set(a)
	c.Set(b)
	save(c)
	c.Set(b)
	if c.Save() != nil {
		t.Fatal("nothing changed")
	}
	check(t, os.Chmod(path, 0o600))
	if c = open(); len(c.Begin()) != 2 || c.Begin()[a.Target] != a || c.Begin()[b.Target] != b {
		t.Fatalf("%v", c.Begin())
	}
	c.Set(Place{appLog, "id", 6, false})
	save(c)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
	for _, bad := range []string{
		"x", "{}", `{"format":"dtc-logs-cursor","version":2,"copies":[]}`, `{"format":"dtc-logs-cursor","version":1,"copies":[{"position":-1}]}`,
		`{"format":"dtc-logs-cursor","version":1,"copies":[]}{}`, `{"format":"dtc-logs-cursor","version":1,"copies":[],"more":1}`,
	} {
		check(t, os.WriteFile(path, []byte(bad), 0o600))
		if _, err := OpenCursor(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	check(t, os.WriteFile(path, nil, 0o600))
	if open().Begin() != nil {
		t.Fatal("an empty file begins somewhere")
	}
	if _, err := OpenCursor(t.TempDir()); err == nil {
		t.Fatal("a folder is taken")
	}
}

// TestBeginOfAnother begins anew where a stream of that name is another one.
func TestBeginOfAnother(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\ntwo\n")
	a.durable(1, 1, 8)
	st := r.stream("app.log")
	begin := func(p Place) Query {
		p.Target = appLog
		return Query{Begin: map[Target]Place{appLog: p}}
	}
	for _, c := range []struct {
		place Place
		want  string
	}{
		{Place{ID: st.id, Position: 4}, "two\n"},
		{Place{ID: "another", Position: 4}, "one\ntwo\n"},
		{Place{ID: st.id, Position: 1}, "ne\ntwo\n"},
		{Place{ID: st.id, Position: 1, Within: true}, "two\n"},
		{Place{ID: st.id, Position: 8}, ""},
		{Place{ID: st.id, Position: 99}, ""}, // after a power loss of the monitor
	} {
		if got := readAll(t, r.dir, begin(c.place)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.place, got, c.want)
		}
	}
	if got := readAll(t, r.dir, Query{Begin: map[Target]Place{{"10.0.0.7", "other"}: {}}}); got != "one\ntwo\n" {
		t.Errorf("a stream that the cursor does not name: %q", got)
	}
	f := r.follow(begin(Place{ID: st.id, Position: 12}))
	a.append(1, 1, 8, "three\nfour\n")
	f.wait(t, "app.log", "e\nfour\n")
}

var errStop = errors.New("stop")

// TestEmitFails ends a reading at once.
func TestEmitFails(t *testing.T) {
	dir := plainDir(t, map[string]string{"app.log": "one\ntwo\n"})
	n := 0
	if err := Read(t.Context(), dir, Query{Lines: -1}, func(Line) error { n++; return errStop }); !errors.Is(err, errStop) || n != 1 {
		t.Fatalf("%v after %d lines", err, n)
	}
}
