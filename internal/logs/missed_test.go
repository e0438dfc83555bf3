package logs

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// shown is what a query gives, a line or mark each, and what it tells as missed.
func shown(tb testing.TB, dir string, q Query) []string {
	tb.Helper()
	var out []string
	q.Missed = func(t Target, m Mark) { out = append(out, "missed "+markWords(&m)) }
	check(tb, Read(tb.Context(), dir, q, func(l Line) error {
		if l.Mark != nil {
			out = append(out, markWords(l.Mark))
			return nil
		}
		out = append(out, string(l.Text))
		return nil
	}))
	return out
}

func markWords(m *Mark) string {
	return fmt.Sprintf("%s %d", map[MarkKind]string{
		MarkDropped: "dropped", MarkRemoved: "removed", MarkFile: "file", MarkChanged: "changed", MarkLost: "lost",
	}[m.Kind], m.Bytes)
}

func expectShown(tb testing.TB, what string, got []string, want ...string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("%s: %q, want %q", what, got, want)
	}
}

// What retention dropped of what was wanted is told where no mark says it.
func TestMissedByRetention(t *testing.T) {
	clock := &testClock{now: time.Unix(1_800_000_000, 0)}
	r, _ := inSegments(t, func(o *Options) { o.Now = clock.time }, "one\n", "two\n", "three\n", "four\n")
	r.drop("app.log", 2)
	target := Target{"10.0.0.7", "app.log"}
	id := r.stream("app.log").c.header.id
	from := func(position int64) map[Target]Place {
		return map[Target]Place{target: {Target: target, ID: id, Position: position}}
	}
	for name, c := range map[string]struct {
		q    Query
		want []string
	}{
		"a mark says it":        {Query{Lines: 9, Marks: true}, []string{"dropped 8", "three\n", "four\n"}},
		"nothing was missed":    {Query{Lines: 1, Bytes: true}, []string{"four\n"}},
		"less is there":         {Query{Lines: 9, Bytes: true}, []string{"three\n", "four\n"}},
		"a cursor, with marks":  {Query{Begin: from(4), Marks: true}, []string{"dropped 4", "three\n", "four\n"}},
		"a cursor, raw":         {Query{Begin: from(4), Bytes: true}, []string{"missed dropped 4", "three\n", "four\n"}},
		"a cursor, filtered":    {Query{Begin: from(4), Match: regexp.MustCompile("four")}, []string{"missed dropped 4", "four\n"}},
		"a cursor, all is read": {Query{Begin: from(19), Bytes: true}, nil},
	} {
		expectShown(t, name, shown(t, r.dir, c.q), c.want...)
	}
	r.roll("app.log")
	r.drop("app.log", 2)
	for name, c := range map[string]struct {
		q    Query
		want []string
	}{
		"all":                   {Query{Lines: 9, Marks: true}, []string{"missed dropped 19"}},
		"none":                  {Query{Lines: 0, Marks: true}, nil},
		"raw":                   {Query{Lines: 9, Bytes: true}, []string{"missed dropped 19"}},
		"since before it":       {Query{Lines: -1, Since: clock.time().Add(-time.Hour)}, []string{"missed dropped 19"}},
		"since after it":        {Query{Lines: -1, Since: clock.time().Add(time.Hour)}, nil},
		"until after it":        {Query{Lines: -1, Until: clock.time().Add(time.Hour)}, []string{"missed dropped 19"}},
		"a cursor":              {Query{Begin: from(4), Marks: true}, []string{"missed dropped 15"}},
		"a cursor, all is read": {Query{Begin: from(19), Marks: true}, nil},
	} {
		expectShown(t, "all dropped: "+name, shown(t, r.dir, c.q), c.want...)
	}
}

// A slow reader of bytes is told of those that were dropped before it came to
// them; one that wants every byte fails.
func TestDropUnderRawReader(t *testing.T) {
	r, a := inSegments(t, nil, "one\n", "two\n")
	at := 8
	more := func() { // three segments more, of which the reader sees the last
		for range 3 {
			r.roll("app.log")
			a.append(1, 1, at, "more\n")
			a.ping()
			at += 5
		}
		r.drop("app.log", r.known("app.log"))
	}
	for _, strict := range []bool{false, true} {
		var got []string
		done := errors.New("done")
		target := Target{"10.0.0.7", "app.log"}
		q := Query{Lines: 9, Follow: true, Bytes: true, Strict: strict, Missed: func(_ Target, m Mark) { got = append(got, markWords(&m)) }}
		if strict {
			q.Begin = map[Target]Place{target: {Target: target, Position: int64(at) - 5}}
		}
		idle := 0
		q.Idle = func() error {
			if idle++; idle == 1 {
				more()
			}
			return nil
		}
		before := at
		err := Read(t.Context(), r.dir, q, func(l Line) error {
			got = append(got, string(l.Text))
			if at > before && string(l.Text) == "more\n" {
				return done
			}
			return nil
		})
		all := strings.Join(got, "|")
		switch {
		case strict && (err == nil || !strings.Contains(err.Error(), "retention has dropped them")):
			t.Errorf("every byte is wanted: %q, %v", all, err)
		case !strict && (!errors.Is(err, done) || !strings.Contains(all, "two\n|dropped 10|more\n")):
			t.Errorf("%q, %v", all, err)
		}
	}
}

// A copy that somebody removed or cut has a mark where its bytes are missing,
// wherever a reading begins.
func TestMarksOfRemovedCopies(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\ntwo\n")
	a.durable(1, 1, 8)
	check(t, os.Remove(r.path("app.log")))
	a.append(1, 1, 8, "three\nfour\n")
	a.durable(1, 1, 19)
	expectShown(t, "removed", shown(t, r.dir, Query{Lines: 9, Marks: true}), "removed 8", "changed 0", "three\n", "four\n")
	expectShown(t, "removed, the last line", shown(t, r.dir, Query{Lines: 1, Marks: true}), "four\n")
	check(t, os.Truncate(r.path("app.log"), 6))
	a.append(1, 1, 19, "five\n")
	a.durable(1, 1, 24)
	expectShown(t, "cut", shown(t, r.dir, Query{Lines: 9, Marks: true}), "removed 8", "changed 0", "three\n", "removed 5", "changed 0", "five\n")
	expectShown(t, "cut, the last line", shown(t, r.dir, Query{Lines: 1, Marks: true}), "removed 5", "changed 0", "five\n")
}

// The same for closed segments.
func TestMarksOfRemovedSegments(t *testing.T) {
	r, _ := inSegments(t, nil, "one\n", "two\n", "three\n", "four\n")
	names := r.segments("app.log")
	check(t, os.Remove(r.path(names[1])))
	expectShown(t, "from the start", shown(t, r.dir, Query{Lines: -1, Marks: true}), "one\n", "removed 4", "three\n", "four\n")
	expectShown(t, "from behind it", shown(t, r.dir, Query{Lines: 3, Marks: true}), "removed 4", "three\n", "four\n")
	check(t, os.Remove(r.path(names[0])))
	expectShown(t, "two", shown(t, r.dir, Query{Lines: -1, Marks: true}), "removed 8", "three\n", "four\n")
	expectShown(t, "the last lines", shown(t, r.dir, Query{Lines: 2, Marks: true}), "removed 8", "three\n", "four\n")
}

// A line that is cut is cut between characters.
func TestCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct{ before, want int }{{MaxLine, MaxLine}, {MaxLine - 1, MaxLine - 1}, {MaxLine - 2, MaxLine - 2}, {MaxLine - 3, MaxLine}} {
		line := strings.Repeat("x", c.before) + "€€€"
		dir := plainDir(t, map[string]string{"app.log": line + "\n"})
		if got := readAll(t, dir, Query{Lines: 1}); got != line[:c.want]+"[cut]" {
			t.Errorf("%d bytes before it: %d bytes, want %d", c.before, len(got)-len("[cut]"), c.want)
		}
	}
	for in, want := range map[string]string{"": "", "a": "a", "a\xff": "a\xff", "\x82\x82\x82\x82": "\x82\x82\x82\x82", "a\xf0\x9f\x98": "a", "\xe2": ""} {
		if got := string(wholeRunes([]byte(in))); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// A cursor that could not be written is no cursor.
func TestCursorMustBeWritable(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/file", nil, 0o600))
	for _, path := range []string{dir, dir + "/none/cursor", dir + "/file/cursor", os.DevNull} {
		if _, err := OpenCursor(path); err == nil || !strings.Contains(err.Error(), "the cursor: ") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{dir + "/file", dir + "/new"} {
		if _, err := OpenCursor(path); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("it left %v, %v", left, err)
	}
}
