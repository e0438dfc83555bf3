package logs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// inSegments is a copy of a source whose segments are as long as the pieces.
func inSegments(tb testing.TB, change func(*Options), pieces ...string) (*rig, *agent) {
	tb.Helper()
	r := newRig(tb, func(o *Options) {
		o.minSegment = 1
		if change != nil {
			change(o)
		}
	})
	r.keep(Retention{Age: 8_000_000 * time.Second})
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	at := 0
	for i, p := range pieces {
		if i > 0 {
			r.roll("app.log")
		}
		a.append(1, 1, at, p)
		a.ping()
		at += len(p)
	}
	return r, a
}

// roll closes the live file of a copy now.
func (r *rig) roll(alias string) {
	r.t.Helper()
	st := r.stream(alias)
	st.mu.Lock()
	defer st.mu.Unlock()
	check(r.t, st.update(func(c *replica) error { return c.roll(c.receiving()) }))
}

// known returns how many segments a copy has. The names may be there longer:
// on some systems as long as somebody has the files open.
func (r *rig) known(alias string) int {
	r.t.Helper()
	st := r.stream(alias)
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	check(r.t, err)
	return len(c.segments)
}

// drop drops the n oldest segments of a copy now.
func (r *rig) drop(alias string, n int) {
	r.t.Helper()
	st := r.stream(alias)
	eventually(r.t, "all is durable", func() bool {
		r.syncStream(st)
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.c != nil && !st.syncing && st.c.length == st.c.durableBase()
	})
	st.mu.Lock()
	defer st.mu.Unlock()
	check(r.t, st.update(func(c *replica) error {
		if err := c.dropOld(n); err != nil {
			return err
		}
		return c.removeDoomed()
	}))
}

func TestReadOverSegments(t *testing.T) {
	r, a := inSegments(t, nil, "one\ntw", "o\n", "three", " is lo", "ng\nfour\n")
	if got := r.segments("app.log"); len(got) != 4 {
		t.Fatalf("segments %v", got)
	}
	for n, want := range map[int]string{
		-1: "one\ntwo\nthree is long\nfour\n",
		9:  "one\ntwo\nthree is long\nfour\n",
		3:  "two\nthree is long\nfour\n",
		2:  "three is long\nfour\n",
		1:  "four\n",
		0:  "",
	} {
		for _, raw := range []bool{false, true} {
			if got := readAll(t, r.dir, Query{Lines: n, Bytes: raw}); got != want {
				t.Errorf("%d lines (raw %t): %q, want %q", n, raw, got, want)
			}
		}
	}
	r.roll("app.log")
	if got := readAll(t, r.dir, Query{Lines: 2}); got != "three is long\nfour\n" || r.content("app.log") != "" {
		t.Errorf("behind an empty live file: %q", got)
	}
	r.drop("app.log", 2)
	if got := readAll(t, r.dir, Query{Lines: 9}); got != "three is long\nfour\n" {
		t.Errorf("after a drop: %q", got)
	}
	r.drop("app.log", 1) // in the midst of a line
	if got := readAll(t, r.dir, Query{Lines: 9}); got != " is long\nfour\n" {
		t.Errorf("after a drop: %q", got)
	}
	// Who has no side record reads what there is by the names.
	a.close()
	r.stop()
	check(t, os.Remove(r.path(sideName("app.log"))))
	if got := readAll(t, r.dir, Query{Lines: 9}); got != " is long\nfour\n" {
		t.Errorf("without a side record: %q", got)
	}
	if list, err := List(r.dir); err != nil || list[0].Size != int64(len(" is long\nfour\n")) {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestSinceOverSegments(t *testing.T) {
	clock := &testClock{now: time.Unix(1_800_000_000, 0)}
	r, a := inSegments(t, func(o *Options) { o.Now, o.SyncEvery = clock.time, 0 })
	source := ""
	var starts []string // what came from each second on
	for i := range 60 {
		starts = append(starts, source)
		l := fmt.Sprintf("line %d\n", i)
		a.append(1, 1, len(source), l)
		source += l
		a.ping()
		clock.add(time.Second)
		if i%4 == 3 {
			r.roll("app.log")
		}
		if i == 30 {
			check(t, r.compact("app.log"))
		}
	}
	r.drop("app.log", 5)
	kept := source[len(starts[20]):]
	for i, before := range starts {
		got := readAll(t, r.dir, Query{Lines: -1, Since: time.Unix(1_800_000_000+int64(i), 0)})
		want := source[len(before):]
		if len(want) > len(kept) {
			want = kept
		}
		if got != want {
			t.Fatalf("since second %d: %q, want %q", i, got, want)
		}
	}
}

// TestFollowOverRolls follows a copy that is closed and dropped all the time,
// with restarts, and compares what each follower gives with the source.
func TestFollowOverRolls(t *testing.T) {
	const keep = 64 << 10
	r := retaining(t, Retention{Size: keep}, 4<<10)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "first\n")
	a.ping()
	lines, raw := r.follow(Query{Lines: -1}), r.follow(Query{Lines: -1, Bytes: true})
	source := "first\n"
	rng := rand.New(rand.NewPCG(1, 2))
	behind := func(f *followed) int { return len(source) - len(f.of("app.log")) }
	for round := range 400 {
		for range rng.IntN(20) {
			b := fmt.Sprintf("%d %s\n", len(source), strings.Repeat("x", rng.IntN(1500)))
			a.append(1, 1, len(source), b)
			source += b
		}
		if round%80 == 79 {
			a.ping()
			a.close()
			if round%160 == 79 {
				r.crash()
			}
			r.stop()
			r = r.again()
			r.keep(Retention{Size: keep})
			a = r.connect(peerA)
			// Where the system does not tell one boot from another some comes again.
			if at := int(a.attach(1, "app.log")[0].Position); at < len(source) {
				a.append(1, 1, at, source[at:])
			}
		}
		// What is not kept any more no follower can give.
		eventually(t, "the followers come along", func() bool { return behind(lines) < keep/2 && behind(raw) < keep/2 })
	}
	a.ping()
	lines.wait(t, "app.log", source)
	raw.wait(t, "app.log", source)
	if kept := r.whole("app.log"); len(source) < 10*keep || len(kept) > 2*keep || !strings.HasSuffix(source, kept) {
		t.Fatalf("%d bytes are kept of %d", len(kept), len(source))
	}
}

// TestSleepingReader wakes up after several rolls, and after a drop of what it
// has not read.
func TestSleepingReader(t *testing.T) {
	r, a := inSegments(t, nil, "one\n")
	rd, err := openReader(r.root, Target{"10.0.0.7", "app.log"}, segmentNames{})
	check(t, err)
	defer rd.close()
	at := 4
	source := "one\n"
	grow := func() {
		l := fmt.Sprintf("line %d\n", at)
		a.append(1, 1, at, l)
		a.ping()
		at, source = at+len(l), source+l
	}
	read := func() string {
		var b strings.Builder
		buf := make([]byte, 7)
		for {
			n, err := rd.Read(buf)
			b.Write(buf[:n])
			if n == 0 {
				if err != nil && err.Error() != "EOF" {
					t.Fatal(err)
				}
				return b.String()
			}
		}
	}
	for _, parked := range []bool{false, true} {
		from := len(source)
		for range 5 {
			grow()
			r.roll("app.log")
		}
		grow()
		if parked {
			check(t, rd.park())
		}
		if got := read(); got != source[from:] {
			t.Fatalf("parked %t: %q, want %q", parked, got, source[from:])
		}
		if rd.position() != int64(len(source)) {
			t.Fatalf("position %d, want %d", rd.position(), len(source))
		}
	}
	// It has the live file open: it reads on there, whatever becomes of it.
	grow()
	buf := make([]byte, 2)
	n, err := rd.Read(buf)
	check(t, err)
	open := at - n
	r.roll("app.log")
	segment := r.segments("app.log")
	grow()
	r.roll("app.log")
	lost := at
	grow()
	r.drop("app.log", len(segment)+1)
	if n := r.known("app.log"); n != 0 {
		t.Fatalf("%d segments", n)
	}
	got := string(buf[:n]) + read()
	if want := source[open:][n:]; !strings.HasSuffix(got, source[lost:]) || rd.first() != int64(lost) {
		t.Fatalf("%q of %q, first %d", got, want, rd.first())
	}
}

// TestDropUnderReader drops what a reader has begun to read.
func TestDropUnderReader(t *testing.T) {
	var pieces []string
	for i := range 20 {
		pieces = append(pieces, strings.Repeat(fmt.Sprintf("line %d\n", i), 200))
	}
	source := strings.Join(pieces, "")
	r, _ := inSegments(t, nil, pieces...)
	got := ""
	check(t, Read(t.Context(), r.dir, Query{Lines: -1}, func(l Line) error {
		if got == "" {
			r.drop("app.log", 19)
			if n := r.known("app.log"); n > 0 {
				t.Errorf("%d segments", n)
			}
		}
		got += string(l.Text)
		return nil
	}))
	if got != source {
		t.Fatalf("%d bytes, want %d", len(got), len(source))
	}
}

// TestReadersOfRolls has readers begin at any moment of many rolls and drops:
// each gives one piece of the source, up to its end at some moment.
func TestReadersOfRolls(t *testing.T) {
	r := retaining(t, Retention{Size: 30_000}, 1000)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "0\n")
	a.ping()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	source := text(400_000)
	for _, q := range []Query{{Lines: -1}, {Lines: 3}, {Lines: -1, Bytes: true}} {
		wg.Go(func() {
			for ctx.Err() == nil {
				var b strings.Builder
				err := Read(ctx, r.dir, q, func(l Line) error {
					b.Write(l.Text)
					return nil
				})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if got := b.String(); err == nil && (got == "" || !strings.Contains(source, got)) {
					t.Errorf("%d bytes that are no piece of the source: %.40q", len(got), got)
				}
			}
		})
	}
	a.feed(1, 1, source, 2, len(source))
	cancel()
	wg.Wait()
	if !strings.HasSuffix(source, r.whole("app.log")) {
		t.Fatal("the copy is not the source")
	}
	if e := r.eventStates(); len(e) > 0 {
		t.Fatalf("events %v", r.events.all)
	}
}

func TestSegmentsOfOtherGenerations(t *testing.T) {
	r, a := inSegments(t, nil, "one 1\n", "one 2\n")
	a.open(1, 2, "two")
	a.append(1, 2, 0, "two 1\n")
	a.ping()
	r.roll("app.log")
	a.append(1, 1, 12, "late 1\n")
	a.ping()
	r.roll("app.log")
	a.append(1, 2, 6, "two 2\n")
	a.ping()
	want := "one 1\none 2\ntwo 1\nlate 1\ntwo 2\n"
	if got := readAll(t, r.dir, Query{Lines: -1}); got != want {
		t.Fatalf("%q", got)
	}
	r.drop("app.log", 2)
	check(t, r.compact("app.log"))
	a.close()
	r = r.reopen()
	if got := readAll(t, r.dir, Query{Lines: -1}); got != "late 1\ntwo 2\n" {
		t.Fatalf("%q", got)
	}
	b := r.connect(peerA)
	s := b.attach(1, "app.log")
	if s[0].Position != 19 || s[0].Sum != crcOf("one 1\none 2\nlate 1\n") || s[1].Position != 12 || s[1].Sum != crcOf("two 1\ntwo 2\n") {
		t.Fatalf("%+v", s)
	}
	if s[1].HeadLen == 0 || s[1].Head != hash([]byte("two 1\ntwo 2\n")[:s[1].HeadLen]) {
		t.Fatalf("head %+v", s[1])
	}
}
