package top

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/fleet"
)

// written is what a program wrote, which may still run.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
	err  error // of the next write
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	return w.text.Write(b)
}

func (w *written) shows(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

func (w *written) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// pipes is a terminal that is none: what is written to it is kept.
type pipes struct {
	*os.File
	written
}

func (p *pipes) Write(b []byte) (int, error) { return p.written.Write(b) }

// runOn runs the program until end has ended it; end is given the screen and the
// keyboard.
func runOn(t *testing.T, end func(out *pipes, keys io.Writer, cancel func())) error {
	t.Helper()
	in, keys, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer keys.Close()
	out := &pipes{File: in}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ending sync.WaitGroup
	defer ending.Wait()
	ending.Go(func() {
		for deadline := time.Now().Add(20 * time.Second); !out.shows("2 of 2 hosts answer"); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%q", out.text.String())
				cancel()
				end = func(*pipes, io.Writer, func()) {}
				break
			}
		}
		end(out, keys, cancel)
	})
	o := testOptions(&fakeFleet{asked: map[string][]time.Time{}, processes: 3})
	o.Terminal.In, o.Terminal.Out = in, out
	return Run(ctx, o)
}

func testOptions(asker Asker) Options {
	return Options{
		Hosts: testHosts("web1", "web2"), Asker: asker, Every: 100 * time.Millisecond, Timeout: time.Second,
		Terminal: Terminal{Environ: []string{"TERM=xterm", "SSH_TTY=x"}},
	}
}

func TestRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // a pipe is no console there
	}
	closed := "\x1b[?1049l"
	for name, end := range map[string]func(out *pipes, keys io.Writer, cancel func()){
		"q":      func(_ *pipes, keys io.Writer, _ func()) { io.WriteString(keys, "q") },
		"Ctrl-C": func(_ *pipes, keys io.Writer, _ func()) { io.WriteString(keys, "/\x03") },
		"signal": func(_ *pipes, _ io.Writer, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			var screen *pipes
			if err := runOn(t, func(out *pipes, keys io.Writer, cancel func()) {
				screen = out
				end(out, keys, cancel)
			}); err != nil {
				t.Error(err)
			}
			if !screen.shows(closed) {
				t.Errorf("the screen is left as it is: %q", screen.text.String())
			}
		})
	}
	gone := errors.New("gone")
	err := runOn(t, func(out *pipes, keys io.Writer, _ func()) {
		out.fail(gone)
		io.WriteString(keys, "?") // there is something to write
	})
	if !errors.Is(err, gone) || err.Error() != "write to the terminal: gone" {
		t.Errorf("a terminal that is gone: %v", err)
	}
}

// panicking is an environment variable that has a test be the program that
// panics.
const panicking = "DTC_TEST_PANICKING"

// TestPanicking is no test, but what TestPanicLeavesTheTerminal runs.
func TestPanicking(t *testing.T) {
	o := testOptions(&fakeFleet{asked: map[string][]time.Time{}})
	o.Terminal.In, o.Terminal.Out = os.Stdin, os.Stdout
	switch os.Getenv(panicking) {
	case "":
		return
	case "feed":
		o.Asker = &failing{Asker: o.Asker, screen: &written{}}
		o.Terminal.Out = o.Asker.(*failing)
	case "update":
		o.Terminal.Suspend = func() { panic("on purpose") }
	}
	t.Error(Run(t.Context(), o))
}

// failing is a fleet that panics once the screen is there, which is written to
// it too.
type failing struct {
	Asker
	*os.File

	screen *written
}

func (f *failing) Write(b []byte) (int, error) {
	f.screen.Write(b)
	return os.Stdout.Write(b)
}

func (f *failing) Fd() uintptr { return os.Stdout.Fd() }

func (f *failing) Get(ctx context.Context, hosts []fleet.Host, q dtc.Query, timeout time.Duration, deliver func(int, *dtc.Report)) {
	if f.screen.shows("2 of 2 hosts answer") {
		panic("on purpose")
	}
	f.Asker.Get(ctx, hosts, q, timeout, deliver)
}

// A mistake in the program ends it with a trace, but on a terminal that is as
// it was.
func TestPanicLeavesTheTerminal(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // script has other arguments there
	}
	for _, where := range []string{"feed", "update"} {
		t.Run(where, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "script", "-qec", "stty -g; "+os.Args[0]+" -test.run '^TestPanicking$'; stty -g", "/dev/null")
			cmd.Env = append(os.Environ(), panicking+"="+where, "TERM=xterm")
			var out written
			cmd.Stdout = &out
			keys, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if where == "update" {
				for deadline := time.Now().Add(20 * time.Second); !out.shows("2 of 2 hosts answer") && time.Now().Before(deadline); {
					time.Sleep(5 * time.Millisecond)
				}
				io.WriteString(keys, "\x1a")
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			lines := strings.Split(strings.TrimSpace(out.text.String()), "\n")
			if first, last := lines[0], lines[len(lines)-1]; strings.TrimSpace(first) != strings.TrimSpace(last) {
				t.Errorf("the terminal was %s and is %s", first, last)
			}
			if !out.shows("panic: ") || !out.shows("\x1b[?1049l") || !out.shows("\x1b[?25h") {
				t.Errorf("%q", out.text.String())
			}
		})
	}
}
