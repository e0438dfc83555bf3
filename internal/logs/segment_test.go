package logs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

// retaining is a rig whose copies are kept as far as r says, in segments of
// at least least bytes.
func retaining(tb testing.TB, keep Retention, least int64, change ...func(*Options)) *rig {
	tb.Helper()
	r := newRig(tb, append([]func(*Options){func(o *Options) { o.minSegment = least }}, change...)...)
	r.keep(keep)
	return r
}

// keep sets the retention of every stream.
func (r *rig) keep(keep Retention) {
	r.SetRetention(func(string, string, string) Retention { return keep })
}

// segments returns the names of the closed segments of a copy that are on disk,
// the oldest first.
func (r *rig) segments(alias string) []string {
	r.t.Helper()
	files, err := os.ReadDir(filepath.Join(r.dir, "10.0.0.7"))
	check(r.t, err)
	var names []int64
	for _, f := range files {
		if a, name, ok := segmentOf(f.Name()); ok && a == alias {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = segmentName(alias, name)
	}
	return out
}

// whole returns what the files of a copy hold, one after the other.
func (r *rig) whole(alias string) string {
	r.t.Helper()
	if st := r.stream(alias); st != nil { // nothing is dropped meanwhile
		st.mu.Lock()
		defer st.mu.Unlock()
	}
	var b bytes.Buffer
	for _, name := range append(r.segments(alias), alias) {
		part, err := os.ReadFile(r.path(name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			r.t.Fatal(err)
		}
		b.Write(part)
	}
	return b.String()
}

// feed has an agent append text in small pieces.
func (a *agent) feed(stream uint32, generation uint64, text string, from, to int) {
	a.t.Helper()
	for at := from; at < to; {
		n := min(to-at, 700)
		a.append(stream, generation, at, text[at:at+n])
		at += n
	}
	a.ping()
}

func TestRoll(t *testing.T) {
	r := retaining(t, Retention{Size: 1 << 20}, 4000)
	source := text(80_000)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.feed(1, 1, source, 0, 50_000)
	if got := r.whole("app.log"); got != source[:50_000] {
		t.Fatalf("%d bytes", len(got))
	}
	// 1 MiB / 8 is more than is there: the least counts for nothing then.
	if n := r.segments("app.log"); len(n) != 0 {
		t.Fatalf("segments %v", n)
	}
	r.keep(Retention{Size: 20_000}) // of segments of 4000
	eventually(t, "it is closed as it is", func() bool { return len(r.segments("app.log")) == 1 })
	a.feed(1, 1, source, 50_000, 80_000)
	r.stream("app.log").retain(time.Now())
	kept := r.whole("app.log")
	if len(kept) < 20_000 || !strings.HasSuffix(source, kept) {
		t.Fatalf("%d bytes are kept, of %d", len(kept), len(source))
	}
	for _, name := range append(r.segments("app.log"), "app.log") {
		st, err := os.Stat(r.path(name))
		check(t, err)
		if st.Size() > 4000 {
			t.Errorf("%s: %d bytes", name, st.Size())
		}
	}
	if got := readAll(t, r.dir, Query{Lines: -1}); got != kept {
		t.Fatalf("%d bytes are read, %d are kept", len(got), len(kept))
	}
	i := r.Streams()[0]
	if i.Size != int64(len(kept)) || i.Position != 80_000 {
		t.Fatalf("%+v", i)
	}
	// The same after a restart, and for who has only the files.
	a.close()
	r = r.reopen()
	r.keep(Retention{Size: 20_000})
	b := r.connect(peerA)
	if s := b.attach(1, "app.log"); s[0].Position != 80_000 || s[0].Sum != crcOf(source) ||
		s[0].HeadLen != dtc.HeadSize || s[0].Head != hash([]byte(source[:dtc.HeadSize])) ||
		s[0].MarkerLen != dtc.MarkerSize || s[0].Marker != hash([]byte(source[80_000-dtc.MarkerSize:])) {
		t.Fatalf("%+v", s[0])
	}
	list, err := List(r.dir)
	check(t, err)
	if len(list) != 1 || list[0].Size != int64(len(kept)) {
		t.Fatalf("%+v", list)
	}
	// Without retention nothing more is closed or dropped.
	r.keep(Retention{})
	before := r.segments("app.log")
	more := source + text(20_000)
	b.feed(1, 1, more, 80_000, 100_000)
	if now := r.segments("app.log"); !slices.Equal(now, before) {
		t.Fatalf("segments %v, were %v", now, before)
	}
	if got := r.whole("app.log"); got != kept+more[80_000:] {
		t.Fatalf("%d bytes", len(got))
	}
	if e := r.eventStates(); len(e) != 0 {
		t.Fatalf("events %v", e)
	}
}

// TestNoRetentionNoChange has nothing of segments in the side record.
func TestNoRetentionNoChange(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.feed(1, 1, text(50_000), 0, 50_000)
	a.durable(1, 1, 50_000)
	check(t, r.compact("app.log"))
	b, err := os.ReadFile(r.path(sideName("app.log")))
	check(t, err)
	for at := journalStart; at < len(b); {
		body, n, ok := cutRecord(b[at:])
		if !ok {
			break
		}
		if k := kind(body[0]); k > kindUnverified {
			t.Errorf("a record of kind %d", k)
		}
		at += n
	}
	if n := r.segments("app.log"); len(n) > 0 {
		t.Fatalf("segments %v", n)
	}
}

func TestSegmentNames(t *testing.T) {
	for name, want := range map[string]string{
		".app.log.0":                           "app.log 0",
		".app.log.123":                         "app.log 123",
		".x.5":                                 "x 5",
		".x.5.1":                               "x.5 1",
		".5.5":                                 "5 5",
		".x.dtc.5":                             "x.dtc 5",
		".x.5.dtc":                             "",
		".x.dtc":                               "",
		".x.dtc.tmp":                           "",
		".probe":                               "",
		".5":                                   "",
		"..5":                                  "",
		".x.05":                                "",
		".x.+5":                                "",
		".x.-5":                                "",
		".x.":                                  "",
		"x.5":                                  "",
		".x.5 ":                                "",
		".x.99999999999999999999":              "",
		".10.0.0.7_events_2026-11-22.log":      "",
		"10.0.0.7_7701_process_2026-11-22.log": "",
	} {
		got := ""
		if alias, number, ok := segmentOf(name); ok {
			got = fmt.Sprint(alias, " ", number)
			if segmentName(alias, number) != name {
				t.Errorf("%s is not the name of %s", name, got)
			}
			if _, side := aliasOf(name); side {
				t.Errorf("%s is the name of a side record too", name)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestSegmentsAreNoStreams lists a folder with segments.
func TestSegmentsAreNoStreams(t *testing.T) {
	r := retaining(t, Retention{Size: 8 << 10}, 1<<10)
	source := text(30_000)
	a := r.connect(peerA)
	for i, alias := range []string{"x", "x.5", "x.dtc", "X.log"} {
		n := uint32(i + 1)
		a.attach(n, alias)
		a.open(n, 1, alias)
		a.feed(n, 1, source, 0, len(source))
	}
	a.close()
	r = r.reopen()
	if n := len(r.Streams()); n != 4 {
		t.Fatalf("%d streams", n)
	}
	targets, err := Targets(r.dir)
	check(t, err)
	if len(targets) != 4 {
		t.Fatalf("%v", targets)
	}
	for _, alias := range []string{"x", "x.5", "x.dtc", "X.log"} {
		if got := readAll(t, r.dir, Query{Lines: -1, Wants: func(t Target) bool { return t.Alias == alias }}); !strings.HasSuffix(source, got) || len(got) < 8<<10 {
			t.Errorf("%s: %d bytes", alias, len(got))
		}
		if e := r.eventStates(); len(e) > 0 {
			t.Fatalf("events %v", r.events.all)
		}
	}
}

// TestTakenName has somebody else's file where a segment would be.
func TestTakenName(t *testing.T) {
	r := retaining(t, Retention{Size: 8 << 10}, 1<<10)
	source := text(3000)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.feed(1, 1, source, 0, 700)
	check(t, os.WriteFile(r.path(".app.log.0"), []byte("not yours"), 0o640))
	a.feed(1, 1, source, 700, 3000)
	if b, err := os.ReadFile(r.path(".app.log.0")); err != nil || string(b) != "not yours" {
		t.Fatalf("%q %v", b, err)
	}
	if got := r.whole("app.log"); got != "not yours"+source {
		t.Fatalf("%d bytes", len(got))
	}
	if got := readAll(t, r.dir, Query{Lines: -1}); got != source {
		t.Fatalf("%d bytes", len(got))
	}
}

// TestAge has bytes closed and dropped by their age, whether or not more come.
func TestAge(t *testing.T) {
	clock := &testClock{now: time.Now()}
	r := retaining(t, Retention{Age: 80 * time.Second}, 1<<10, func(o *Options) {
		o.Now = clock.time
		o.retainEvery = time.Millisecond
	})
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	source := ""
	line := func() {
		l := fmt.Sprintf("line %d\n", len(source))
		a.append(1, 1, len(source), l)
		a.ping()
		source += l
	}
	line()
	clock.add(10 * time.Second)
	line() // the first is too old for it
	if got := r.segments("app.log"); !slices.Equal(got, []string{".app.log.0"}) || r.content("app.log") == source {
		t.Fatalf("segments %v", got)
	}
	clock.add(11 * time.Second)
	eventually(t, "an old file is closed although nothing comes", func() bool {
		live, err := os.ReadFile(r.path("app.log"))
		return err == nil && len(live) == 0 && len(r.segments("app.log")) == 2
	})
	clock.add(61 * time.Second)
	eventually(t, "the oldest is dropped", func() bool { return len(r.segments("app.log")) == 1 })
	if got := r.whole("app.log"); !strings.HasSuffix(source, got) {
		t.Fatalf("%q", got)
	}
	clock.add(12 * time.Second)
	eventually(t, "all is dropped", func() bool { return len(r.segments("app.log")) == 0 })
	line()
	if got := r.whole("app.log"); !strings.HasSuffix(source, got) || got == "" {
		t.Fatalf("%q", got)
	}
	if s := r.Streams()[0]; s.Position != int64(len(source)) {
		t.Fatalf("%+v", s)
	}
	if e := r.eventStates(); len(e) > 0 {
		t.Fatalf("events %v", r.events.all)
	}
}

// testClock is a clock that a test sets.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// BenchmarkRoll is what closing a live file of 1 MiB costs, with the bytes made
// durable and the oldest dropped.
func BenchmarkRoll(b *testing.B) {
	r := retaining(b, Retention{Size: 8 << 20}, minLen)
	st, err := r.find(peerA, "app.log")
	check(b, err)
	c := &conn{store: r.Store, peer: peerA}
	c.out.wake = make(chan struct{}, 1)
	att := &attachment{conn: c, stream: st}
	st.owner = att
	check(b, att.open(&dtc.Frame{Generation: 1, Data: []byte("one")}))
	data := make([]byte, dtc.MaxChunk)
	f := dtc.Frame{Kind: dtc.FrameAppend, Generation: 1, Data: data, Sum: crc32.Checksum(data, castagnoli())}
	b.SetBytes(minLen)
	for b.Loop() {
		for range minLen / len(data) {
			check(b, att.append(&f))
			f.Offset += int64(len(data))
			c.out.flushAcks()
			c.out.take()
		}
	}
	b.StopTimer()
	r.stop()
}

// TestSegmentsOfAnEarlierStream has segments beside a copy whose side record
// somebody removed while nobody was there: they are left alone.
func TestSegmentsOfAnEarlierStream(t *testing.T) {
	r, a := inSegments(t, nil, "one\n", "two\n", "three\n")
	before := r.segments("app.log")
	a.close()
	r.stop()
	check(t, os.Remove(r.path(sideName("app.log"))))
	r = r.again()
	r.keep(Retention{Age: 8_000_000 * time.Second})
	b := r.connect(peerA)
	b.attach(1, "app.log")
	b.open(1, 1, "one")
	b.append(1, 1, 0, "one\ntwo\nthree\n")
	b.ping()
	r.roll("app.log")
	b.append(1, 1, 14, "four\n")
	b.ping()
	if got := r.segments("app.log"); len(got) != 3 || !slices.Contains(got, before[0]) || !slices.Contains(got, before[1]) {
		t.Fatalf("segments %v", got)
	}
	r.drop("app.log", 1)
	if got := r.segments("app.log"); !slices.Equal(got, before) {
		t.Fatalf("segments %v, want %v", got, before)
	}
	if got := readAll(t, r.dir, Query{Lines: -1}); got != "four\n" {
		t.Fatalf("%q", got)
	}
}

// TestRipe has more bytes under way than may be made durable while the writer
// waits: the file is closed when the syncer has caught up.
func TestRipe(t *testing.T) {
	r := retaining(t, Retention{Size: 64 << 20}, minLen, func(o *Options) { o.SyncEvery = time.Hour })
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	piece := strings.Repeat("x", dtc.MaxChunk)
	st := r.stream("app.log")
	for at := 0; at < 12<<20; at += len(piece) {
		if at > 8<<20 {
			eventually(t, "the syncer catches up", func() bool {
				st.mu.Lock()
				defer st.mu.Unlock()
				return !st.c.ripe || st.c.length-st.c.durableBase() <= easyRoll
			})
		}
		a.append(1, 1, at, piece)
		a.ping()
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if s := st.c.segments; len(s) != 1 || s[0].size < 8<<20 || s[0].size > 10<<20 {
		t.Fatalf("%+v", s)
	}
}

// TestManySegments has as many as there may be, and a compaction of them.
func TestManySegments(t *testing.T) {
	r, a := inSegments(t, nil, "x\n")
	source := "x\n"
	for range maxSegments + 20 {
		st := r.stream("app.log")
		st.mu.Lock()
		check(t, st.update(func(c *replica) error {
			c.limits.length = 1
			return c.rollIfFull(c.receiving(), 1)
		}))
		st.mu.Unlock()
		a.append(1, 1, len(source), "y\n")
		a.ping()
		source += "y\n"
	}
	if n := len(r.segments("app.log")); n != maxSegments {
		t.Fatalf("%d segments", n)
	}
	check(t, r.compact("app.log"))
	a.close()
	r = r.reopen()
	if got := readAll(t, r.dir, Query{Lines: -1}); got != source {
		t.Fatalf("%d bytes of %d", len(got), len(source))
	}
	r.keep(Retention{Size: 1})
	r.stream("app.log").retain(time.Now())
	r.stream("app.log").retain(time.Now())
	if got := r.whole("app.log"); len(r.segments("app.log")) > 1 || !strings.HasSuffix(source, got) || got == "" {
		t.Fatalf("segments %v", r.segments("app.log"))
	}
}
