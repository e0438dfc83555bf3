package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// readAll returns what a query gives, each line with its alias before it if
// there are several.
func readAll(tb testing.TB, dir string, q Query) string {
	tb.Helper()
	var b strings.Builder
	check(tb, Read(tb.Context(), dir, q, func(l Line) error {
		b.Write(l.Text)
		if l.Cut {
			b.WriteString("[cut]")
		}
		return nil
	}))
	return b.String()
}

// plainDir is a folder of copies without side records.
func plainDir(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	check(tb, os.Mkdir(filepath.Join(dir, "10.0.0.7"), 0o750))
	for name, content := range files {
		check(tb, os.WriteFile(filepath.Join(dir, "10.0.0.7", name), []byte(content), 0o640))
	}
	return dir
}

func TestLastLines(t *testing.T) {
	long := strings.Repeat("x", backBlock-3)
	many := strings.Repeat("line\n", 40_000) + "last\n"
	for _, c := range []struct {
		content string
		n       int
		match   string
		want    string
	}{
		{"", 10, "", ""},
		{"one\ntwo\n", 10, "", "one\ntwo\n"},
		{"one\ntwo\n", 2, "", "one\ntwo\n"},
		{"one\ntwo\n", 1, "", "two\n"},
		{"one\ntwo\n", 0, "", ""},
		{"one\ntwo", 1, "", "two"},
		{"\n\n\n", 2, "", "\n\n"},
		{"\n", 1, "", "\n"},
		{"a\n" + long + "\nb\n", 2, "", long + "\nb\n"},
		{long + "\n" + long + "\n", 1, "", long + "\n"},
		{"a\nb\nc\nab\n", 2, "a", "a\nab\n"},
		{"a\nb\nc\nab\n", 1, "^a$", "a\n"},
		{"a\nb\n", 3, "z", ""},
		{many, 2, "", "line\nlast\n"},
		{many, 1, "^last$", "last\n"},
		{"first\n" + many, 1, "first", "first\n"},
		{"a\r\nb\x00\xff\r\n", 1, "", "b\x00\xff\r\n"},
		{many, -1, "", many},
	} {
		dir := plainDir(t, map[string]string{"app.log": c.content})
		for _, bytes := range []bool{false, true} {
			q := Query{Lines: c.n, Bytes: bytes}
			if c.match != "" {
				q.Match = regexp.MustCompile(c.match)
			}
			if got := readAll(t, dir, q); got != c.want {
				t.Errorf("%d lines of %.20q (bytes %t, match %q): %.40q, want %.40q", c.n, c.content, bytes, c.match, got, c.want)
			}
		}
	}
}

func TestEndlessLine(t *testing.T) {
	endless := strings.Repeat("x", 3<<20)
	dir := plainDir(t, map[string]string{"app.log": "before\n" + endless + "\nafter\n"})
	want := "before\n" + endless[:MaxLine] + "[cut]after\n"
	if got := readAll(t, dir, Query{Lines: 3}); got != want {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	if got := readAll(t, dir, Query{Lines: 2, Bytes: true}); got != endless+"\nafter\n" {
		t.Fatalf("raw: %d bytes", len(got))
	}
	if got := readAll(t, dir, Query{Lines: 5, Match: regexp.MustCompile("^x+$")}); got != endless[:MaxLine]+"[cut]" {
		t.Fatalf("matched: %d bytes", len(got))
	}
}

func TestOrderAndSelection(t *testing.T) {
	dir := plainDir(t, map[string]string{
		"b.log": "b\n", "a.log": "a\n", "10.0.0.7_7701_process_2026-11-22.log": "no\n", ".hidden": "no\n", ".a.log.dtc.tmp": "no\n",
	})
	check(t, os.Mkdir(filepath.Join(dir, "10.0.0.1"), 0o750))
	check(t, os.WriteFile(filepath.Join(dir, "10.0.0.1", "c.log"), []byte("c"), 0o640))
	if got := readAll(t, dir, Query{Lines: 1}); got != "ca\nb\n" {
		t.Errorf("%q", got)
	}
	if got := readAll(t, dir, Query{Lines: 1, Folders: []string{"10.0.0.7", "10.0.0.1", "none"}}); got != "a\nb\nc" {
		t.Errorf("%q", got)
	}
	if got := readAll(t, dir, Query{Lines: 1, Wants: func(t Target) bool { return t.Alias == "b.log" }}); got != "b\n" {
		t.Errorf("%q", got)
	}
}

// TestOneCopyCannotBeRead tells of it, and gives the others.
func TestOneCopyCannotBeRead(t *testing.T) {
	dir := plainDir(t, map[string]string{"b.log": "b\n", ".a.log.dtc": "whatever"})
	check(t, os.Symlink("b.log", filepath.Join(dir, "10.0.0.7", "a.log")))
	var got string
	err := Read(t.Context(), dir, Query{Lines: 1}, func(l Line) error {
		got += string(l.Text)
		return nil
	})
	if got != "b\n" || err == nil || !strings.Contains(err.Error(), "10.0.0.7/a.log") {
		t.Fatalf("%q, %v", got, err)
	}
}

// followed collects what a follower gives.
type followed struct {
	mu    sync.Mutex
	text  map[string]string // by alias
	lines []string
	stop  func()
}

func (r *rig) follow(q Query) *followed {
	r.t.Helper()
	f := &followed{text: map[string]string{}}
	q.Follow = true
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	q.Idle = sync.OnceValue(func() error { close(ready); return nil })
	var wg sync.WaitGroup
	wg.Go(func() {
		err := Read(ctx, r.dir, q, func(l Line) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.text[l.Alias] += string(l.Text)
			f.lines = append(f.lines, l.Alias+":"+string(l.Text))
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			r.t.Errorf("follow: %v", err)
		}
	})
	f.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	r.t.Cleanup(f.stop)
	<-ready
	return f
}

func (f *followed) of(alias string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text[alias]
}

func (f *followed) wait(tb testing.TB, alias, want string) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if f.of(alias) == want {
			return
		}
	}
	tb.Fatalf("%s: %q, want %q", alias, f.of(alias), want)
}

func TestFollow(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "a.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "old 1\nold 2\n")
	a.durable(1, 1, 12)
	f := r.follow(Query{Lines: 1})
	f.wait(t, "a.log", "old 2\n")
	a.append(1, 1, 12, "half a ")
	a.append(1, 1, 19, "line\nand")
	f.wait(t, "a.log", "old 2\nhalf a line\n") // the rest when it is whole
	a.attach(2, "b.log")
	a.open(2, 1, "one")
	a.append(2, 1, 0, "new stream\n")
	f.wait(t, "b.log", "new stream\n")
	a.append(1, 1, 27, " more\n")
	f.wait(t, "a.log", "old 2\nhalf a line\nand more\n")
	a.open(1, 2, "two")
	a.append(1, 2, 0, "rotated\n")
	a.append(1, 1, 33, "late\n")
	f.wait(t, "a.log", "old 2\nhalf a line\nand more\nrotated\nlate\n")
	// The monitor restarts and is killed under its feet.
	a.close()
	r = r.reopen()
	a = r.connect(peerA)
	a.attach(1, "a.log")
	a.append(1, 1, 38, "after restart\n")
	f.wait(t, "a.log", "old 2\nhalf a line\nand more\nrotated\nlate\nafter restart\n")
	a.close()
	r.crash()
	r = r.again()
	a = r.connect(peerA)
	a.attach(1, "a.log")
	check(t, r.compact("a.log"))
	a.append(1, 1, 52, "after kill\n")
	f.wait(t, "a.log", "old 2\nhalf a line\nand more\nrotated\nlate\nafter restart\nafter kill\n")
	f.stop()
	if !slices.Contains(f.lines, "a.log:and more\n") {
		t.Fatalf("%q", f.lines)
	}
}

func TestFollowBytes(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "a.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "abc")
	a.durable(1, 1, 3)
	f := r.follow(Query{Lines: 10, Bytes: true})
	f.wait(t, "a.log", "abc")
	a.append(1, 1, 3, "def")
	f.wait(t, "a.log", "abcdef") // at once
}

// TestFollowForeign has somebody change a copy under a follower: it gets each
// byte of the source once.
func TestFollowForeign(t *testing.T) {
	for _, c := range foreignChanges {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			a := r.connect(peerA)
			a.attach(1, "app.log")
			a.open(1, 1, "one")
			a.append(1, 1, 0, "one\ntwo\n")
			a.durable(1, 1, 8)
			f := r.follow(Query{Lines: 10})
			f.wait(t, "app.log", "one\ntwo\n")
			c.do(t, r.path("app.log"))
			time.Sleep(pathCheck + 10*time.Millisecond)
			a.append(1, 1, 8, "three\n")
			f.wait(t, "app.log", "one\ntwo\nthree\n")
			a.append(1, 1, 14, "four\n")
			f.wait(t, "app.log", "one\ntwo\nthree\nfour\n")
			a.durable(1, 1, 19)
			c.do(t, r.path("app.log"))
			time.Sleep(pathCheck + 10*time.Millisecond)
			a.append(1, 1, 19, "five\n")
			f.wait(t, "app.log", "one\ntwo\nthree\nfour\nfive\n")
		})
	}
}

// TestFollowMany has several streams written at the same time in pieces of
// lines: no line is mixed with another.
func TestFollowMany(t *testing.T) {
	const streams, lines = 8, 200
	r := newRig(t)
	a := r.connect(peerA)
	for i := range streams {
		a.attach(uint32(i+1), fmt.Sprintf("%d.log", i))
		a.open(uint32(i+1), 1, "one")
	}
	a.ping()
	f := r.follow(Query{Lines: 0, Match: regexp.MustCompile("line")})
	at := make([]int, streams)
	want := make([]string, streams)
	for n := range lines {
		for i := range streams {
			for _, part := range []string{fmt.Sprintf("stream %d ", i), fmt.Sprintf("line %d", n), "\nnoise\n"} {
				a.append(uint32(i+1), 1, at[i], part)
				at[i] += len(part)
			}
			want[i] += fmt.Sprintf("stream %d line %d\n", i, n)
		}
	}
	for i := range streams {
		f.wait(t, fmt.Sprintf("%d.log", i), want[i])
	}
}

// TestFollowLatency measures from the agent's send to the follower's line.
func TestFollowLatency(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "first\n")
	a.durable(1, 1, 6)
	got := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	ready := make(chan struct{})
	wg.Go(func() {
		_ = Read(ctx, r.dir, Query{Follow: true, Idle: sync.OnceValue(func() error { close(ready); return nil })}, func(Line) error {
			got <- time.Now()
			return nil
		})
	})
	<-ready
	at := 6
	var took []time.Duration
	for i := range 500 {
		line := fmt.Sprintf("line %d\n", i)
		start := time.Now()
		a.append(1, 1, at, line)
		at += len(line)
		took = append(took, (<-got).Sub(start))
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("p50 %v p99 %v max %v", p50, p99, took[len(took)-1])
	if p99 > 100*time.Millisecond {
		t.Fatalf("p99 %v", p99)
	}
}

func TestSince(t *testing.T) {
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
	at := 0
	for i := range 10 {
		line := fmt.Sprintf("minute %d\n", i)
		a.append(1, 1, at, line[:4])
		a.append(1, 1, at+4, line[4:])
		at += len(line)
		a.ping()
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
	}
	for range 2 {
		for i := range 11 {
			since := now.Add(time.Duration(i-10) * time.Minute)
			var want strings.Builder
			for k := i; k < 10; k++ {
				fmt.Fprintf(&want, "minute %d\n", k)
			}
			if got := readAll(t, r.dir, Query{Lines: -1, Since: since}); got != want.String() {
				t.Errorf("since %v: %q, want %q", since, got, want.String())
			}
		}
		if got := readAll(t, r.dir, Query{Lines: 2, Since: now.Add(-5 * time.Minute)}); got != "minute 8\nminute 9\n" {
			t.Errorf("two of them: %q", got)
		}
		check(t, r.compact("app.log"))
	}
}
