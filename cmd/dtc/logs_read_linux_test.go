package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// grow appends numbered lines to the world's source until stop is called,
// sometimes in pieces, and rotates it now and then. It returns what it wrote.
func (w *logsWorld) grow() (stop func() string) {
	w.t.Helper()
	done := make(chan struct{})
	var all bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() {
		f, err := os.OpenFile(w.source, os.O_APPEND|os.O_WRONLY, 0)
		must(w.t, err)
		defer func() { must(w.t, f.Close()) }()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			line := fmt.Sprintf("line %d\n", i)
			cut := rand.IntN(len(line))
			for _, part := range []string{line[:cut], line[cut:]} {
				_, err := f.WriteString(part)
				must(w.t, err)
			}
			all.WriteString(line)
			if i%500 == 499 { // a rotation
				must(w.t, f.Close())
				must(w.t, os.Rename(w.source, fmt.Sprintf("%s.%d", w.source, i/500)))
				f, err = os.OpenFile(w.source, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				must(w.t, err)
			}
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		}
	})
	return func() string {
		close(done)
		wg.Wait()
		return all.String()
	}
}

// process runs dtc as a process of its own with its output in a file, to which
// it adds.
func (w *logsWorld) process(output string, args ...string) *exec.Cmd {
	w.t.Helper()
	out, err := os.OpenFile(output, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(w.t, err)
	defer out.Close()
	cmd := exec.CommandContext(w.t.Context(), "dtc", append(args, "--home", w.home)...)
	cmd.Stdout = out
	cmd.Stderr = os.Stderr
	must(w.t, cmd.Start())
	return cmd
}

// arrived waits until the copy has all that was written.
func (w *logsWorld) arrived(want string) {
	w.t.Helper()
	path := filepath.Join(w.home, "logs", "10.0.0.7", "app.log")
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got, err := os.ReadFile(path)
		if err == nil && string(got) == want {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the copy has %d bytes, want %d (%v)", len(got), len(want), err)
		}
	}
}

// end ends a process by a signal.
func end(tb testing.TB, cmd *exec.Cmd, how syscall.Signal) {
	tb.Helper()
	must(tb, cmd.Process.Signal(how))
	err := cmd.Wait()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case how == syscall.SIGKILL && status.Signal() == syscall.SIGKILL:
	case how == syscall.SIGTERM && status.Signal() == syscall.SIGTERM: // it had not begun yet
	case how != syscall.SIGKILL && err == nil:
	default:
		tb.Fatalf("after %v: %v", how, err)
	}
}

// TestCursorOverKills follows with a cursor while the reader is ended again and
// again. After an orderly end the next reader begins with the next line, after
// a kill with that or one before: never is one missing.
func TestCursorOverKills(t *testing.T) {
	w := newLogsWorld(t)
	w.until(`^one\ntwo\n$`, "logs", "app.log")
	stop := w.grow()
	cursor := filepath.Join(t.TempDir(), "cursor")
	args := []string{"logs", "app.log", "--cursor", cursor, "--no-marks", "-n", "1000000"}
	next := 0 // the line that has to come, or where lines may come again -it-1
	for i, way := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGKILL} {
		output := filepath.Join(t.TempDir(), "output")
		cmd := w.process(output, append(args, "-f")...)
		time.Sleep(time.Duration(200+rand.IntN(1600)) * time.Millisecond)
		end(t, cmd, way)
		if next = checkLines(t, output, next, i); way == syscall.SIGKILL {
			next = -next - 1 // what it had not written down yet
		}
	}
	text := "one\ntwo\n" + stop()
	w.arrived(text)
	output := filepath.Join(t.TempDir(), "output")
	must(t, w.process(output, args...).Wait())
	if next, want := checkLines(t, output, next, -1), strings.Count(text, "\n"); next != want {
		t.Fatalf("it ended before line %d, want %d", next, want)
	}
}

// checkLines checks that the lines of a file follow each other, and begin with
// the one that comes next: or, where that is given as -next-1, with one before
// it. It returns which comes next.
func checkLines(tb testing.TB, file string, next, run int) int {
	tb.Helper()
	text, err := os.ReadFile(file)
	must(tb, err)
	again := next < 0
	if again {
		next = -next - 1
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			return next // a kill cut it
		}
		n := lineNumber(strings.TrimSuffix(line, "\n"))
		if again && n >= 0 && n < next {
			tb.Logf("run %d: after a kill %d lines come again", run, next-n)
			next = n
		}
		if again = false; n != next {
			tb.Fatalf("run %d: line %q, want number %d", run, line, next)
		}
		next++
	}
	return next
}

func lineNumber(line string) int {
	switch line {
	case "one":
		return 0
	case "two":
		return 1
	}
	n := -1
	if _, err := fmt.Sscanf(line, "line %d", &n); err != nil {
		return -1
	}
	return n + 2
}

// TestRawFromOverKills has a consumer keep a copy of a copy, that goes on at its
// own length: whatever ends the reader, it is the same.
func TestRawFromOverKills(t *testing.T) {
	w := newLogsWorld(t)
	w.until(`^one\ntwo\n$`, "logs", "app.log")
	stop := w.grow()
	output := filepath.Join(t.TempDir(), "copy")
	must(t, os.WriteFile(output, nil, 0o600))
	read := func(more ...string) *exec.Cmd {
		t.Helper()
		st, err := os.Stat(output)
		must(t, err)
		return w.process(output, append([]string{"logs", "web1/app.log", "--raw", "--from", fmt.Sprint(st.Size())}, more...)...)
	}
	for i := range 6 {
		cmd := read("-f")
		time.Sleep(time.Duration(100+rand.IntN(500)) * time.Millisecond)
		end(t, cmd, []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[i%2])
	}
	text := "one\ntwo\n" + stop()
	w.arrived(text)
	must(t, read().Wait())
	if got, err := os.ReadFile(output); err != nil || string(got) != text {
		t.Fatalf("%d bytes, want %d (%v)", len(got), len(text), err)
	}
}

// TestReaderIsGone ends a follower whose reader has gone, though it has nothing
// to write.
func TestReaderIsGone(t *testing.T) {
	w := newLogsWorld(t)
	w.until(`^one\ntwo\n$`, "logs", "app.log")
	r, out, err := os.Pipe()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), "dtc", "logs", "-f", "app.log", "--home", w.home)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	must(t, cmd.Start())
	must(t, out.Close())
	line := make([]byte, 8)
	_, err = r.Read(line)
	must(t, err)
	must(t, r.Close())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(patience):
		must(t, cmd.Process.Kill())
		t.Fatal("it did not notice")
	}
	if code := cmd.ProcessState.ExitCode(); code != exitPipe || stderr.Len() > 0 {
		t.Fatalf("status %d, %s", code, &stderr)
	}
}
