package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"dtc/internal/logs"
)

// printed returns what a printer makes of lines.
func printed(tb testing.TB, p *linePrinter, lines ...logs.Line) string {
	tb.Helper()
	var b bytes.Buffer
	p.out = bufio.NewWriter(&b)
	p.escaper = nil
	p.names = map[string]string{"10.0.0.7": "web1", "10.0.0.8": "we\x1bb"}
	for _, l := range lines {
		must(tb, p.print(l))
	}
	must(tb, p.out.Flush())
	return b.String()
}

func textLine(text string) logs.Line {
	return logs.Line{Target: logs.Target{Folder: "10.0.0.7", Alias: "app.log"}, Text: []byte(text)}
}

// TestHighlight shows matches in the line as it came, not in how it is escaped.
func TestHighlight(t *testing.T) {
	const on, off = "\x1b[7m", "\x1b[27m"
	for _, c := range []struct {
		expressions string // separated by a space
		line, want  string
	}{
		{"b+", "abbc\n", "a" + on + "bb" + off + "c\n"},
		{"x1b", "\x1b[31m\n", `\x1b[31m` + "\n"},
		{"31", "\x1b[31m\n", `\x1b[` + on + "31" + off + "m\n"},
		{"\x1b", "\x1b[31m\n", on + `\x1b` + off + "[31m\n"},
		{"b c", "abc\n", "a" + on + "bc" + off + "\n"},
		{"ab bc", "abc\n", on + "abc" + off + "\n"},
		{"b*", "abc", "a" + on + "b" + off + "c\n"},
		{"^|$", "abc\n", "abc\n"},
		{"c.*", "ab\tcä\xff\r\n", "ab\t" + on + `cä\xff` + off + "\n"},
		{".", "ä\u202e\n", on + "ä" + off + on + `\u202e` + off + "\n"},
	} {
		h, err := newHighlighter(strings.Fields(c.expressions))
		must(t, err)
		if got := printed(t, &linePrinter{color: true, highlight: h}, textLine(c.line)); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.expressions, c.line, got, c.want)
		}
		plain := printed(t, &linePrinter{highlight: h}, textLine(c.line))
		if bare := strings.NewReplacer(on, "", off, "").Replace(c.want); plain != bare {
			t.Errorf("%q without a terminal: %q, want %q", c.line, plain, bare)
		}
	}
	h, err := newHighlighter([]string{"."})
	must(t, err)
	got := printed(t, &linePrinter{color: true, highlight: h}, textLine(strings.Repeat("x", 5000)+"\n"))
	if n := strings.Count(got, on); n != maxHighlights {
		t.Errorf("%d matches are shown", n)
	}
	if _, err := newHighlighter([]string{"("}); err == nil {
		t.Error("a bad expression is taken")
	}
}

// TestStreamColors gives streams that are shown together colors of their own.
func TestStreamColors(t *testing.T) {
	p := &linePrinter{color: true, prefix: true}
	seen := map[string]bool{}
	for i := range len(streamColors()) + 1 {
		l := textLine("x\n")
		l.Alias = fmt.Sprint(i)
		first, again := printed(t, p, l), printed(t, p, l)
		color, _, _ := strings.Cut(first, "mweb1")
		if first != again {
			t.Errorf("%q, then %q", first, again)
		}
		if seen[color] != (i == len(streamColors())) {
			t.Errorf("stream %d: %q, seen %t", i, color, seen[color])
		}
		seen[color] = true
	}
}

func TestMarks(t *testing.T) {
	target := logs.Target{Folder: "10.0.0.8", Alias: "a\u202e.log"}
	for _, c := range []struct {
		mark logs.Mark
		want string
	}{
		{logs.Mark{Kind: logs.MarkFile, Generation: 3}, "a new file follows (generation 3)"},
		{logs.Mark{Kind: logs.MarkFile, Generation: 3, From: 9}, "a new file follows, from its byte 9 on (generation 3)"},
		{logs.Mark{Kind: logs.MarkEarlier, Generation: 2, From: 9}, "more of an earlier file follows, from its byte 9 on (generation 2)"},
		{logs.Mark{Kind: logs.MarkLost, Generation: 2, From: 9, To: 19}, "10 bytes were lost: bytes 9-19 of the file (generation 2)"},
		{logs.Mark{Kind: logs.MarkLost, Generation: 2, From: 9, To: -1}, "what the file had from its byte 9 on was lost (generation 2)"},
		{logs.Mark{Kind: logs.MarkRewound, Generation: 2, From: 9, To: 5}, "the file lost its end: it went back from byte 9 to 5 (generation 2)"},
		{logs.Mark{Kind: logs.MarkChanged}, "somebody changed the copy here"},
		{logs.Mark{Kind: logs.MarkRemoved, Bytes: 2048}, "2.0 KiB of the copy are gone: somebody removed or cut it"},
		{logs.Mark{Kind: logs.MarkDropped, Bytes: 3 << 30}, "3.0 GiB before this were dropped by retention"},
		{logs.Mark{Kind: logs.MarkZeros, Bytes: 4096}, "4.0 KiB of zeros"},
		{logs.Mark{Kind: logs.MarkHole, Bytes: 1 << 30}, "1.0 GiB of zeros that were never written"},
	} {
		want := `--- we\x1bb/a\u202e.log: ` + c.want + " ---"
		if got := printed(t, &linePrinter{prefix: true}, logs.Line{Target: target, Mark: &c.mark}); got != want+"\n" {
			t.Errorf("%q, want %q", got, want)
		}
		if got := printed(t, &linePrinter{color: true}, logs.Line{Target: target, Mark: &c.mark}); got != dim+want+plain+"\n" {
			t.Errorf("on a terminal %q", got)
		}
	}
}

func TestByteText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB",
		5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB",
	} {
		if got := byteText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestWantsOfPatterns takes an alias, or the name of its host before it.
func TestWantsOfPatterns(t *testing.T) {
	names := map[string]string{"10.0.0.7": "web1", "10.0.0.8": "db[1]"}
	for _, c := range []struct {
		pattern, folder, alias string
		want                   bool
	}{
		{"app.log", "10.0.0.7", "app.log", true},
		{"*.log", "10.0.0.7", "app.log", true},
		{"web1/app.log", "10.0.0.7", "app.log", true},
		{"web*/app*", "10.0.0.7", "app.log", true},
		{"web2/app.log", "10.0.0.7", "app.log", false},
		{"web1/other", "10.0.0.7", "app.log", false},
		{"10.0.0.7/app.log", "10.0.0.7", "app.log", true},
		{"db[1]/a[b", "10.0.0.8", "a[b", true},
		{"*/x", "10.0.0.8", "x", true},
		{"/x", "10.0.0.8", "x", false},
	} {
		chosen := chosen{names: names, aliases: []string{c.pattern}}
		if got := chosen.wants(logs.Target{Folder: c.folder, Alias: c.alias}); got != c.want {
			t.Errorf("%q: %s/%s %t", c.pattern, c.folder, c.alias, got)
		}
	}
}

// TestDrain watches copies catch up.
func TestDrain(t *testing.T) {
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	row := func(alias string, received, lag int64) listRow {
		r := listRow{host: "web1"}
		r.Folder, r.Alias, r.Received, r.Size, r.State = "10.0.0.7", alias, received, received, logs.StreamLive
		if lag >= 0 {
			r.Lag = &lag
		}
		return r
	}
	const mib = 1 << 20
	var d drains
	look := func(rows ...listRow) []string {
		d.look(rows, at)
		at = at.Add(time.Second)
		var out []string
		for i := range rows {
			out = append(out, d.of(&rows[i]).text())
		}
		return append(out, d.total(rows).text())
	}
	for i, c := range []struct {
		rows []listRow
		want string
	}{
		{[]listRow{row("a", 0, 100*mib), row("b", 5, 9), row("c", 5, -1)}, "[..........]  0%  -  - left|-|-|[..........]  0%  -  - left"},
		{[]listRow{row("a", 25*mib, 75*mib), row("b", 14, 0), row("c", 5, -1)}, "[##........] 25%  25.0 MiB/s  0:03 left|-|-|[##........] 25%  25.0 MiB/s  0:03 left"},
		{[]listRow{row("a", 50*mib, 50*mib), row("b", 14, 5), row("c", 5, -1)}, "[#####.....] 50%  25.0 MiB/s  0:02 left|-|-|[#####.....] 50%  25.0 MiB/s  0:02 left"},
		{[]listRow{row("a", 100*mib-1, 1), row("b", 14, 5), row("c", 5, -1)}, "[#########.] 99%  29.5 MiB/s  0:01 left|[..........]  0%  0 bytes/s  - left|-|[#########.] 99%  29.5 MiB/s  0:01 left"},
		{[]listRow{row("a", 100*mib, 0), row("b", 14, -1), row("c", 5, -1)}, "-|-|-|-"},
		{[]listRow{row("a", 100*mib, 2*mib)}, "[..........]  0%  -  - left|[..........]  0%  -  - left"},                 // anew
		{[]listRow{row("a", 101*mib, 9*mib)}, "[#.........] 10%  1.0 MiB/s  - left|[#.........] 10%  1.0 MiB/s  - left"}, // the source is faster
	} {
		if got := strings.Join(look(c.rows...), "|"); got != c.want {
			t.Errorf("look %d: %s\nwant %s", i, got, c.want)
		}
	}
	if got := (&drain{left: 3600e9, net: average{1e9, true}}).remaining(); got != "1:00:00" {
		t.Error(got)
	}
	rows := []listRow{row("small", 3, 1), row("big", 0, 3*mib)}
	d = drains{}
	d.look(rows, at)
	body, total := (&listOptions{}).watched(rows, &d)
	want := "HOST   ALIAS  SIZE  LAG      STATE  PROGRESS\n" +
		"web1   big    0     3145728  live   [..........]  0%  -  - left\n" +
		"web1   small  3     1        live   -\n" +
		"total  2      3     3145729         [..........]  0%  -  - left\n"
	if body+total != want || strings.Count(total, "\n") != 1 {
		t.Errorf("%s", body+total)
	}
}

// TestWatchCopies lists again and again: below each other, or in place.
func TestWatchCopies(t *testing.T) {
	w := newLogsWorld(t)
	w.until(`live`, "logs", "ls")
	for _, terminal := range []bool{false, true} {
		r, out := io.Pipe()
		a := &app{stdin: strings.NewReader(""), stdout: out, stderr: io.Discard, terminal: terminal, columns: 60, rows: 10, getenv: func(string) string { return "" }}
		ctx, cancel := context.WithCancel(t.Context())
		status := make(chan int, 1)
		go func() {
			status <- a.run(ctx, []string{"logs", "ls", "--watch=100ms", "--home", w.home})
			out.Close()
		}()
		var got strings.Builder
		b := make([]byte, 1<<16)
		for strings.Count(got.String(), "app.log  8     0    live   -") < 3 {
			n, err := r.Read(b)
			must(t, err)
			got.Write(b[:n])
		}
		cancel()
		rest, err := io.ReadAll(r)
		must(t, err)
		got.Write(rest)
		if code := <-status; code != exitOK {
			t.Errorf("status %d", code)
		}
		text := got.String()
		if terminal != strings.HasPrefix(text, openScreen+toTop) || terminal != strings.HasSuffix(text, closeScreen) {
			t.Errorf("terminal %t: %q", terminal, text)
		}
		if !terminal && !strings.Contains(text, "PROGRESS\nweb1  app.log  8     0    live   -\n\nHOST") {
			t.Errorf("%q", text)
		}
	}
}

func TestMissedText(t *testing.T) {
	for _, c := range []struct {
		mark logs.Mark
		want string
	}{
		{logs.Mark{Kind: logs.MarkDropped, Bytes: 4037337}, "web1/app.log: 3.9 MiB that were asked for are not printed: retention has dropped them"},
		{logs.Mark{Kind: logs.MarkRemoved, Bytes: 60}, "web1/app.log: 60 bytes that were asked for are not printed: somebody removed or cut the copy"},
	} {
		if got := missedText("web1/app.log", &c.mark); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestListTitle(t *testing.T) {
	opt := listOptions{every: 2 * time.Second, hosts: []string{"web"}, aliases: []string{"app.log", "a\x1b*"}}
	if got := opt.title(); got != `Every 2s: dtc logs ls --host web app.log a\x1b*` {
		t.Error(got)
	}
}
