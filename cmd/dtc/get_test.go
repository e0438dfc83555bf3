package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	if code := a.run(ctx, []string{"get", "memory", "-w=100ms", "-o", "jsonl"}); code != exitOK {
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
	if got := stderr.String(); got != "2 of 2 hosts answered\n" {
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
		if strings.Count(all, toTop) >= 3 {
			cancel()
		}
	}
	if code := a.run(ctx, []string{"get", "memory", "--watch=100ms"}); code != exitSome {
		t.Errorf("exit status %d, one host is dead", code)
	}
	got := stdout.String()
	if !strings.HasPrefix(got, openScreen) || !strings.HasSuffix(got, closeScreen) || strings.Count(got, openScreen) != 1 {
		t.Errorf("the terminal is not left as it was: %q", got)
	}
	if stderr.String() != "" {
		t.Errorf("written over the screen: %q", stderr)
	}
	for i, frame := range strings.Split(got, toTop)[2:] {
		frame = strings.TrimSuffix(frame, closeScreen)
		lines := strings.Split(strings.TrimSuffix(frame, clearBelow), "\r\n")
		for _, line := range lines {
			if !strings.HasSuffix(line, clearLine) {
				t.Errorf("the rest of %q is not cleared", line)
			}
		}
		want := []string{"Every 100ms: dtc get memory", "", "\x1b[1m==> web-1 (", "   ", "Mem:", "Swap:", "... 5 more lines", "2 of 3 hosts", "dead-1"}
		if len(lines) != len(want) {
			t.Fatalf("frame %d has %d lines: %q", i, len(lines), lines)
		}
		for j := range want {
			if !strings.HasPrefix(lines[j], want[j]) {
				t.Errorf("line %d is %q, want %q", j, lines[j], want[j])
			}
		}
	}
}

func TestScreenStepsAside(t *testing.T) {
	var stdout output
	g := &getter{app: &app{stdout: &stdout, rows: 9}, query: dtc.Query{Status: dtc.StatusMemory}}
	s := g.newScreen(time.Second)
	s.draw("now\n", "")
	before := len(stdout.String())
	s.aside(func() {
		if got := stdout.String()[before:]; got != closeScreen {
			t.Errorf("while it is suspended: %q", got)
		}
	})
	if got, want := stdout.String()[before:], closeScreen+openScreen+s.frame("now\n", ""); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestScreenHasRoomForAll(t *testing.T) {
	s := &screen{get: &getter{app: &app{}}, title: "T"}
	for _, tt := range []struct {
		rows int
		want string
	}{
		{0, "T||1|2|3|s1|s2"}, // unknown
		{7, "T||1|2|3|s1|s2"},
		{6, "T||1|... 2 more lines|s1|s2"},
		{5, "T||... 3 more lines|s1|s2"},
	} {
		s.get.app.rows = tt.rows
		frame := s.frame("1\n2\n3\n", "s1\ns2\n")
		got := strings.NewReplacer(toTop, "", clearLine, "", clearBelow, "", "\r\n", "|").Replace(frame)
		if got != tt.want {
			t.Errorf("%d rows: %q, want %q", tt.rows, got, tt.want)
		}
	}
	for rows := 1; rows < 5; rows++ {
		s.get.app.rows = rows
		if n := strings.Count(s.frame("1\n2\n3\n", "s1\ns2\n"), "\r\n") + 1; n > max(rows, 3) {
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
	if got := stderr.String(); got != "1 of 2 hosts answered\n" {
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
