package logs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

// someSide is a side record as a busy stream leaves it.
func someSide(tb testing.TB) []byte {
	tb.Helper()
	r := newRig(tb)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "hello\n")
	a.open(1, 2, "two")
	a.append(1, 2, 0, "second\n")
	a.append(1, 1, 6, "late\n")
	a.durable(1, 1, 11)
	f := a.frame(dtc.FrameGap, 1, 2)
	f.Offset, f.End, f.Text = 7, 20, "lost"
	a.send(f)
	a.append(1, 2, 20, "third\n")
	a.durable(1, 2, 26)
	f = a.frame(dtc.FrameSeal, 1, 1)
	f.End = 11
	a.send(f)
	a.ping()
	a.close()
	r.stop()
	b, err := os.ReadFile(filepath.Join(r.dir, "10.0.0.7", sideName("app.log")))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The forms of a side record.
const (
	asWritten = iota
	compacted
)

// segmentedSide is one of a copy in several files.
func segmentedSide(tb testing.TB, form int) []byte {
	tb.Helper()
	r, a := inSegments(tb, nil, "one\n", "two\n", "three\n", "four\n")
	r.drop("app.log", 1)
	check(tb, os.Truncate(r.path(".app.log.4"), 2))
	check(tb, os.Remove(r.path(".app.log.8")))
	a.append(1, 1, 19, "five\n")
	a.durable(1, 1, 24)
	r.stream("app.log").lookAtSegments()
	if form == compacted {
		check(tb, r.compact("app.log"))
	}
	a.close()
	r.stop()
	b, err := os.ReadFile(r.path(sideName("app.log")))
	check(tb, err)
	return b
}

// TestTornSide cuts a side record at every length and spoils every byte. What
// comes out is a state that was, or a refusal.
func TestTornSide(t *testing.T) {
	whole := someSide(t)
	good, err := parseSide(whole, withArrivals)
	if err != nil {
		t.Fatal(err)
	}
	ends := recordEnds(t, whole)
	for n := range whole {
		s, err := parseSide(whole[:n], withArrivals)
		switch {
		case err == nil:
			if int64(n) < good.durable.synced || !slices.Contains(ends, s.journal) {
				t.Fatalf("cut at %d of %d: taken up to %d, safe is %d", n, len(whole), s.journal, good.durable.synced)
			}
		case !errors.Is(err, errDamaged) && !errors.Is(err, errUnfinished):
			t.Fatalf("cut at %d: %v", n, err)
		case int64(n) >= good.durable.synced:
			t.Fatalf("cut at %d, behind all that is safe: %v", n, err)
		}
	}
	for i := journalStart; i < int(good.durable.synced); i++ {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		if _, err := parseSide(b, withArrivals); !errors.Is(err, errDamaged) {
			t.Fatalf("byte %d spoilt: %v", i, err)
		}
	}
	for i := range slotSize {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		if _, err := parseSide(b, withArrivals); err == nil {
			t.Fatalf("byte %d of the first sector spoilt: taken", i)
		}
	}
}

func recordEnds(tb testing.TB, b []byte) []int64 {
	tb.Helper()
	var ends []int64
	for at := int64(journalStart); at < int64(len(b)); {
		_, n, ok := cutRecord(b[at:])
		if !ok {
			break
		}
		at += int64(n)
		ends = append(ends, at)
	}
	return ends
}

// TestTornSlots spoils one slot of each pair: the other one stands.
func TestTornSlots(t *testing.T) {
	whole := someSide(t)
	good, err := parseSide(whole, withoutArrivals)
	if err != nil {
		t.Fatal(err)
	}
	for kind, s := range []slot{good.durable, good.live} {
		b := bytes.Clone(whole)
		b[slotAt(kind, s.seq)+20] ^= 1
		got, err := parseSide(b, withoutArrivals)
		if err != nil {
			t.Fatalf("kind %d: %v", kind, err)
		}
		if n := []slot{got.durable, got.live}[kind]; n.seq >= s.seq {
			t.Fatalf("kind %d: slot %d was taken although it is torn", kind, n.seq)
		}
	}
}

func TestDamagedSideIsRefused(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "hello\n")
	a.durable(1, 1, 6)
	a.close()
	r.stop()
	side := filepath.Join(r.dir, "10.0.0.7", sideName("app.log"))
	b, err := os.ReadFile(side)
	if err != nil {
		t.Fatal(err)
	}
	b[journalStart+20] ^= 1
	if err := os.WriteFile(side, b, 0o640); err != nil {
		t.Fatal(err)
	}
	r = r.again()
	a = r.connect(peerA)
	a.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: "app.log"})
	if f := a.recv(); f.Kind != dtc.FrameRefused {
		t.Fatalf("frame %+v", f)
	}
	a.attach(2, "other.log")
	if got, _ := os.ReadFile(side); !bytes.Equal(got, b) {
		t.Fatal("the damaged record was touched")
	}
	if got := r.content("app.log"); got != "hello\n" {
		t.Fatalf("copy %q", got)
	}
	if s := r.Streams(); len(s) != 2 || s[0].State != StreamDamaged {
		t.Fatalf("%+v", s)
	}
	eventually(t, "the event", func() bool { return slices.Contains(r.eventStates(), dtc.StateRefused) })
}

// A side record that was put right, or moved away with its copy, is used when
// its agent comes again: the service need not be started anew.
func TestDamageIsMended(t *testing.T) {
	for name, at := range map[string]int{"head": journalStart + 20, "behind it": -1} {
		for _, away := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/moved away=%v", name, away), func(t *testing.T) {
				r := newRig(t)
				a := r.connect(peerA)
				a.attach(1, "app.log")
				a.open(1, 1, "one")
				a.append(1, 1, 0, "hello\n")
				a.durable(1, 1, 6)
				a.open(1, 2, "two")
				a.append(1, 2, 0, "more\n")
				a.durable(1, 2, 5)
				a.close()
				r.stop()
				side := filepath.Join(r.dir, "10.0.0.7", sideName("app.log"))
				good, err := os.ReadFile(side)
				check(t, err)
				bad := bytes.Clone(good)
				place := at
				if at < 0 { // in the second record, and others follow
					_, n, _ := cutRecord(good[journalStart:])
					place = journalStart + n + 10
				}
				bad[place] ^= 1
				check(t, os.WriteFile(side, bad, 0o640))
				r = r.again()
				a = r.connect(peerA)
				a.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: "app.log"})
				f := a.recv()
				for f.Kind == dtc.FramePaused || f.Kind == dtc.FrameResumed {
					f = a.recv()
				}
				if f.Kind != dtc.FrameRefused {
					t.Fatalf("frame %+v", f)
				}
				a.close()
				if away {
					check(t, os.Rename(side, filepath.Join(r.dir, "side")))
					check(t, os.Rename(r.path("app.log"), filepath.Join(r.dir, "copy")))
				} else {
					check(t, os.WriteFile(side, good, 0o640))
				}
				a = r.connect(peerA)
				s := a.attach(1, "app.log")
				if away {
					if len(s) != 0 {
						t.Fatalf("state %+v", s)
					}
					a.open(1, 1, "one")
					a.append(1, 1, 0, "hello\n")
					a.durable(1, 1, 6)
					if got := r.content("app.log"); got != "hello\n" {
						t.Fatalf("copy %q", got)
					}
					return
				}
				if len(s) != 2 || s[1].Position != 5 {
					t.Fatalf("state %+v", s)
				}
				a.append(1, 2, 5, "last\n")
				a.durable(1, 2, 10)
				if got := r.content("app.log"); got != "hello\nmore\nlast\n" {
					t.Fatalf("copy %q", got)
				}
			})
		}
	}
}

func TestEntriesRoundTrip(t *testing.T) {
	from, to := int64(3), int64(-1)
	at := time.Unix(1_700_000_000, 5)
	ext := extentEntry{7, 8, 100, 90, 3, 55, 0xdeadbeef, 1}
	for _, e := range []entry{
		&headerEntry{formatVersion, "id", "peer", "alias", at},
		&generation{
			number: 3, identity: []byte("x\x00y"), start: 5, position: 55, sum: 9, end: 55, flags: flagLost,
			head: proof{50, dtc.Hash{1}}, marker: proof{50, dtc.Hash{2}}, markAt: 55,
		},
		&ext,
		&gapEntry{0, -1, 77},
		&rewindEntry{3, 55, 5},
		&bootEntry{"boot", fileKey{1, 2, 3}, true},
		&eventEntry{9, at, dtc.StateGap, &from, &to, "why"},
		&eventEntry{10, at, dtc.StateGap, nil, nil, ""},
		&toldEntry{9},
		&markEntry{arrival{100, 1_700_000_000, 1}},
		&marksEntry{[]arrival{{1, 2, 3}, {10, 20, 1}, {5, 18, 60}}},
		&summaryEntry{4, 1, 10, 20, []extent{
			{0, 0, 0, 1, 0, 10, false},
			{10, 10, 5, 3, 0, 11, true},
			{20, 20, 15, 3, 1, math.MaxInt64, true},
			{30, 30, 5, 4, 1, math.MaxInt64, false},
		}, ext},
		&segmentEntry{9, 10, 8, 1_700_000_000, fileKey{1, 2, -3}, ext},
		&dropEntry{100, 50},
		&changedEntry{3, -1, fileKey{}},
		&segmentsEntry{
			90,
			sum{5, true},
			70,
			[]dropped{{3, 55, sum{7, true}}, {4, 0, sum{}}},
			[]segment{{1, 70, 70, 90, 21, 20, 0, 1_700_000_000, fileKey{1, 2, 3}, sum{}}},
			[]segment{{0, 1, 0, 70, 70, 70, 5, 6, fileKey{4, 5, 6}, sum{1, true}}},
		},
		&unverifiedEntry{span{1, 9}},
		&provenEntry{[]proven{{3, 0, 55, 9, flagLost}, {4, 7, 8, 0xdeadbeef, 0}, {900, 0, 1, 0, 0}}},
	} {
		b := appendRecord(nil, e)
		body, n, ok := cutRecord(append(b, "rest"...))
		if !ok || n != len(b) {
			t.Fatalf("%T does not read back", e)
		}
		got, err := decodeEntry(body)
		if err != nil {
			t.Fatalf("%T: %v", e, err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("%T: %+v, want %+v", e, got, e)
		}
	}
}

func TestThinKeepsWhatSinceNeeds(t *testing.T) {
	const now = 1_800_000_000
	var all []arrival
	for i := range int64(200_000) {
		all = append(all, arrival{i * 10, now - 200_000 + i, 1})
	}
	kept := thin(all, now)
	if len(kept) > 20_000 {
		t.Fatalf("%d of %d kept", len(kept), len(all))
	}
	if again := thin(kept, now); !slices.Equal(again, kept) {
		t.Fatal("thinning twice is not thinning once")
	}
	for _, ago := range []int64{1, 59, 3599, 3700, 80_000, 86_500, 150_000, 199_999} {
		at := time.Unix(now-ago, 0)
		want, _ := since(all, at)
		got, ok := since(kept, at)
		if !ok || got > want || want-got > 10*2*reachAt(ago) {
			t.Fatalf("%d s ago: from %d, exactly it is %d", ago, got, want)
		}
	}
	if _, ok := since(kept, time.Unix(now+1, 0)); ok {
		t.Fatal("something came in the future")
	}
}

func FuzzParseSide(f *testing.F) {
	whole := someSide(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(segmentedSide(f, asWritten))
	f.Add(segmentedSide(f, compacted))
	f.Add(encodeSide([]entry{&headerEntry{formatVersion, "id", "peer", "alias", time.Unix(0, 0)}}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		s, err := parseSide(b, withArrivals)
		if err != nil {
			return
		}
		// Whatever reads must survive being written anew.
		image := encodeSide(s.compact(time.Now().Unix()), s.durable, s.live)
		again, err := parseSide(image, withArrivals)
		if err != nil {
			t.Fatalf("compacted: %v", err)
		}
		if !reflect.DeepEqual(again.extents, s.extents) && len(s.extents) > 0 {
			t.Fatalf("extents %v, want %v", again.extents, s.extents)
		}
		if again.last != s.last || again.boots != s.boots || again.eventSeq != s.eventSeq || len(again.generations) != len(s.generations) {
			t.Fatal("the compacted record says something else")
		}
	})
}

// FuzzJournal gives the records behind a right beginning, with right checksums.
func FuzzJournal(f *testing.F) {
	whole := someSide(f)
	for _, whole := range [][]byte{whole, segmentedSide(f, asWritten), segmentedSide(f, compacted)} {
		for at := journalStart; at < len(whole); {
			body, n, ok := cutRecord(whole[at:])
			if !ok {
				break
			}
			f.Add(bytes.Clone(body))
			at += n
		}
	}
	head := &headerEntry{formatVersion, "id", "peer", "alias", time.Unix(0, 0)}
	f.Fuzz(func(t *testing.T, body []byte) {
		defer bounds.Alloc(t, len(body))()
		if len(body) == 0 || len(body) > maxRecord {
			return
		}
		e, err := decodeEntry(body)
		if err != nil {
			return
		}
		b := appendRecord(nil, e)
		again, _, ok := cutRecord(b)
		if !ok {
			t.Fatal("not a record")
		}
		if _, err := decodeEntry(again); err != nil {
			t.Fatalf("%T does not read back: %v", e, err)
		}
		g := &generation{number: 1, end: -1}
		_, _ = parseSide(encodeSide([]entry{head, &bootEntry{}, g, e, e}), withArrivals)
	})
}

// A side record of nothing, as a power loss may leave it where a file system
// does not order data before names, is made anew; beside bytes it is not touched.
func TestGarbageOfANewSide(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		state dtc.FrameKind
	}{
		"no copy":    {nil, dtc.FrameState},
		"empty copy": {map[string]string{"app.log": ""}, dtc.FrameState},
		"copy":       {map[string]string{"app.log": "x"}, dtc.FrameRefused},
		"segment":    {map[string]string{"app.log": "", ".app.log.0": "x"}, dtc.FrameRefused},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.stop()
			folder := filepath.Join(r.dir, "10.0.0.7")
			check(t, os.MkdirAll(folder, 0o750))
			check(t, os.WriteFile(filepath.Join(folder, sideName("app.log")), []byte(text(5000)), 0o640))
			for file, content := range c.files {
				check(t, os.WriteFile(filepath.Join(folder, file), []byte(content), 0o640))
			}
			r = r.again()
			a := r.connect(peerA)
			a.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: "app.log"})
			if f := a.recv(); f.Kind != c.state {
				t.Fatalf("frame %+v", f)
			}
		})
	}
}
