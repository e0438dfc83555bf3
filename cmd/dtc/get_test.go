package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

// testApp returns a program in a home with these hosts, and what it writes.
func testApp(t *testing.T, hosts ...string) (a *app, stdout, stderr *output) {
	t.Helper()
	f, err := newTestFleet(t.TempDir(), hosts)
	t.Cleanup(f.close)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr = &output{}, &output{}
	env := map[string]string{"DTC_HOME": f.home}
	a = &app{stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, getenv: func(name string) string { return env[name] }}
	return a, stdout, stderr
}

// output is what a program writes. It calls after with everything written so
// far, after each write.
type output struct {
	mu    sync.Mutex
	b     bytes.Buffer
	after func(all string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	o.b.Write(p)
	all := o.b.String()
	o.mu.Unlock()
	if o.after != nil {
		o.after(all)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func TestWatchJSONL(t *testing.T) {
	a, stdout, stderr := testApp(t, "web-1", "db-1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout.after = func(all string) {
		if strings.Count(all, "\n") >= 6 {
			cancel()
		}
	}
	if code := a.run(ctx, []string{"get", "memory", "-w=500ms", "-o", "jsonl"}); code != exitOK {
		t.Errorf("exit status %d: %s", code, stderr)
	}
	for line := range strings.Lines(stdout.String()) {
		var host struct {
			Host   string
			Memory map[string]int64
		}
		if err := json.Unmarshal([]byte(line), &host); err != nil || host.Memory["total_bytes"] != 8<<30 {
			t.Errorf("%q: %v", line, err)
		}
	}
	got, busy := stderr.String(), "0 of 2 hosts answered" // on a busy machine nobody may have answered yet
	if strings.Count(got, "2 of 2 hosts answered\n") != 1 && !strings.Contains(got, busy) {
		t.Errorf("the summary, once as long as nothing changes: %q", got)
	}
}

func TestWatchText(t *testing.T) {
	for _, env := range []string{"", "NO_COLOR", "TERM"} {
		a, stdout, stderr := testApp(t, "web-1")
		if env != "" {
			a.terminal = true
			getenv := a.getenv
			a.getenv = func(name string) string {
				if name == env {
					return "dumb"
				}
				return getenv(name)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stdout.after = func(all string) {
			if strings.Count(all, "Mem:") >= 3 {
				cancel()
			}
		}
		if code := a.run(ctx, []string{"get", "memory", "--watch=100ms"}); code != exitOK {
			t.Errorf("exit status %d: %s", code, stderr)
		}
		blocks := strings.Split(stdout.String(), "\n\n")
		if len(blocks) != 3 || strings.Contains(stdout.String(), "\x1b") {
			t.Errorf("%q: %q", env, stdout)
		}
	}
}

func TestWatchScreen(t *testing.T) {
	a, stdout, stderr := testApp(t, "web-1", "dead-1", "db-1")
	a.terminal, a.columns, a.rows = true, 80, 9
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout.after = func(all string) {
		if strings.Count(all, "2 of 3 hosts") >= 3 {
			cancel()
		}
	}
	if code := a.run(ctx, []string{"get", "memory", "--watch=100ms", "--human", "--host", "*", "--host", "\x1b"}); code != exitUsage {
		t.Fatalf("exit status %d, there is no such host", code)
	}
	stderr.b.Reset()
	if code := a.run(ctx, []string{"get", "memory", "--human", "--watch=500ms", "--host", "w*", "--host", "*", "--raw"}); code != exitSome {
		t.Errorf("exit status %d, one host is dead", code)
	}
	got := stdout.String()
	if !strings.HasPrefix(got, openScreen) || !strings.HasSuffix(got, closeScreen) || strings.Count(got, openScreen) != 1 {
		t.Errorf("the terminal is not left as it was: %q", got)
	}
	if stderr.String() != "" {
		t.Errorf("written over the screen: %q", stderr)
	}
	frames := strings.Split(got, toTop)
	for i, frame := range frames {
		frame = strings.TrimSuffix(frame, closeScreen)
		lines := strings.Split(strings.TrimSuffix(frame, clearBelow), "\r\n")
		if !strings.Contains(frame, "2 of 3 hosts") {
			if i > 2 && !strings.Contains(frame, "no answer yet") { // the machine may be busy
				t.Errorf("frame %d: %q", i, frame)
			}
			continue
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, clearLine) {
				t.Errorf("what was there before %q is not cleared", line)
			}
		}
		want := []string{"Every 500ms: dtc get memory --human --host w* --host * --raw ", "", "\x1b[1m==> web-1 (", "   ", "Mem:", "Swap:", "... 5 more lines", "2 of 3 hosts", "dead-1"}
		if len(lines) != len(want) {
			t.Fatalf("frame %d has %d lines: %q", i, len(lines), lines)
		}
		for j := range want {
			if !strings.HasPrefix(strings.TrimPrefix(lines[j], clearLine), want[j]) {
				t.Errorf("line %d is %q, want %q", j, lines[j], want[j])
			}
		}
		if title := strings.TrimPrefix(lines[0], clearLine); len(title) != 80 || !regexp.MustCompile(` \d\d:\d\d:\d\d$`).MatchString(title) {
			t.Errorf("no time of day at the end of %q", title)
		}
	}
}

// A host that hangs holds up no other: in each form there are many answers of one
// before the other fails.
func TestWatchOfAHostThatHangs(t *testing.T) {
	for form, what := range map[string]string{"text": "Mem:", "jsonl": `"host":"web-1"`, "screen": "1 of 2 hosts answered"} {
		t.Run(form, func(t *testing.T) {
			a, stdout, stderr := testApp(t, "slow-1", "web-1")
			args := []string{"get", "memory", "-w=100ms", "--timeout", "1h", "-o", form}
			if form == "screen" {
				a.terminal, a.columns, a.rows, args = true, 80, 24, args[:5]
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stdout.after = func(all string) {
				if strings.Count(all, what) >= 10 {
					cancel()
				}
			}
			began := time.Now()
			if code := a.run(ctx, args); code != exitSome {
				t.Errorf("exit status %d", code)
			}
			if n := strings.Count(stdout.String(), what); n < 10 {
				t.Errorf("%d answers in %s: %q", n, time.Since(began), stdout)
			}
			if n := strings.Count(stdout.String(), "no answer yet"); form == "screen" && n < 9 {
				t.Errorf("the screen names the host %d times", n)
			}
			got := stderr.String()
			if _, late, ok := strings.Cut(got, "1 of 2 hosts answered\n"); ok { // on a busy machine nobody may have answered yet
				got = "1 of 2 hosts answered\n" + late
			}
			if form != "screen" && (strings.Count(got, "\n") != 2 || !strings.Contains(got, "): no answer yet\n")) {
				t.Errorf("stderr %q", got)
			}
		})
	}
}

// The first answers are there at once, however much time there is between two and
// however slow another host is; its failure is, too.
func TestWatchDrawsEarly(t *testing.T) {
	a, stdout, _ := testApp(t, "slow-1", "web-1")
	a.terminal, a.columns, a.rows = true, 80, 24
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stdout.after = func(all string) {
		if strings.Contains(all, "timed out") {
			cancel()
		}
	}
	if code := a.run(ctx, []string{"get", "memory", "-w=1h", "--timeout", "1500ms"}); code != exitSome {
		t.Errorf("exit status %d", code)
	}
	got := stdout.String()
	first, failed := strings.Index(got, "no answer yet"), strings.Index(got, "timed out")
	if first < 0 || failed < first || !strings.Contains(got[:first], "Mem:") {
		t.Errorf("%q", got)
	}
}

func TestFirstCells(t *testing.T) {
	for in, want := range map[string]string{
		"abcd": "abcd", "abcde": "abcd", "漢字x": "漢字", "x漢字": "x漢", "": "",
		markRow + "abcde" + unmarkRow: markRow + "abcd" + unmarkRow, "\x1b[1mab\x1b[0mcde": "\x1b[1mab\x1b[0mcd",
	} {
		if got := firstCells(in, 4); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A host that answered, and hangs now, keeps what it said, but is called late.
func TestLateHost(t *testing.T) {
	now := time.Now()
	w := &watcher{every: 2 * time.Second, view: &screen{}}
	for want, h := range map[string]watched{
		"":              {ended: true, began: now.Add(-1900 * time.Millisecond)},
		"no answer yet": {began: now},
		"gone":          {ended: true, err: errors.New("gone"), began: now.Add(-time.Hour)},
		"no answer for 3s; an older one is shown": {ended: true, began: now.Add(-3900 * time.Millisecond)},
	} {
		got := ""
		if err := w.state(&h, now); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A panic while a host's answer is taken leaves the terminal as it was.
func TestScreenGuard(t *testing.T) {
	var stdout output
	g := &getter{app: &app{stdout: &stdout}, query: dtc.Query{Status: dtc.StatusMemory}}
	s := g.newScreen(time.Second)
	s.guard(func() {})
	if strings.Contains(stdout.String(), closeScreen) {
		t.Error("it is left without a panic")
	}
	defer func() {
		if recover() == nil || !strings.HasSuffix(stdout.String(), closeScreen) {
			t.Errorf("the panic, or the screen, stayed: %q", stdout.String())
		}
	}()
	s.guard(func() { panic("hostile") })
}

// deadTerminal cannot be written to.
type deadTerminal struct{}

func (deadTerminal) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWatchOfADeadTerminal(t *testing.T) {
	a, _, stderr := testApp(t, "web-1")
	a.terminal, a.columns, a.rows, a.stdout = true, 80, 9, deadTerminal{}
	if code := a.run(t.Context(), []string{"get", "memory", "--watch=100ms"}); code != exitSome || !strings.Contains(stderr.String(), "write the answers") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
}

// Who ends it before any host has answered has no answer.
func TestWatchWithoutAnswers(t *testing.T) {
	a, _, stderr := testApp(t, "web-1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := a.run(ctx, []string{"get", "memory", "--watch=1h"}); code != exitSome {
		t.Errorf("exit status %d: %s", code, stderr)
	}
}

func TestScreenStepsAside(t *testing.T) {
	var stdout output
	g := &getter{app: &app{stdout: &stdout, rows: 9}, query: dtc.Query{Status: dtc.StatusMemory}}
	s := g.newScreen(time.Second)
	if err := s.draw(frame{body: "now\n", at: time.Now()}); err != nil {
		t.Fatal(err)
	}
	before := len(stdout.String())
	s.aside(func() {
		if got := stdout.String()[before:]; got != closeScreen {
			t.Errorf("while it is suspended: %q", got)
		}
	})
	if got, want := stdout.String()[before:], closeScreen+openScreen+s.text(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestScreenHasRoomForAll(t *testing.T) {
	s := &screen{get: &getter{app: &app{}}, title: "T", shown: frame{body: "1\n2\n3\n", summary: "s1\ns2\n"}}
	for _, tt := range []struct {
		rows int
		want string
	}{
		{0, "T||1|2|3|s1|s2"}, // unknown
		{7, "T||1|2|3|s1|s2"},
		{6, "T||1|... 2 more lines|s1|s2"},
		{5, "T||... 3 more lines|s1|s2"},
		{4, "T||... 3 more lines|... 2 more lines"},
	} {
		s.get.app.rows = tt.rows
		got := strings.NewReplacer(toTop, "", clearLine, "", clearBelow, "", "\r\n", "|").Replace(s.text())
		if got != tt.want {
			t.Errorf("%d rows: %q, want %q", tt.rows, got, tt.want)
		}
	}
	for rows := 1; rows < 5; rows++ {
		s.get.app.rows = rows
		if n := strings.Count(s.text(), "\r\n") + 1; n > rows {
			t.Errorf("%d rows: %d lines", rows, n)
		}
	}
}

func TestInterruptedGet(t *testing.T) {
	a, stdout, stderr := testApp(t, "web-1", "slow-1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout.after = func(string) { cancel() }
	if code := a.run(ctx, []string{"get", "memory", "--timeout", "1m"}); code != exitSome {
		t.Errorf("exit status %d", code)
	}
	if got := stderr.String(); !regexp.MustCompile(`^1 of 2 hosts answered\nslow-1 \(127\.0\.0\.12:\d+\): interrupted\n$`).MatchString(got) {
		t.Errorf("stderr %q", got)
	}
}

func TestWriteErrorEndsGet(t *testing.T) {
	a, _, stderr := testApp(t, "web-1", "slow-1")
	a.stdout = brokenWriter{}
	if code := a.run(t.Context(), []string{"get", "memory", "--timeout", "1m"}); code != exitSome {
		t.Errorf("exit status %d", code)
	}
	if got := stderr.String(); got != "dtc: write the answers: no space left\n" {
		t.Errorf("stderr %q", got)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestDidYouMean(t *testing.T) {
	known := statusNames()
	for word, want := range map[string]string{
		"procss": "process", "prcoess": "process", "Memory": "memory", "openfile": "openfiles", "cup": "cpu", "situatoin": "situation",
		"weather": "", "x": "", "": "",
	} {
		got := didYouMean(word, known)
		if want == "" && got != "" || want != "" && !strings.Contains(got, `"`+want+`"`) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
