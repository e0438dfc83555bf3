package watch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dtc"
	"dtc/internal/proc"
)

// helperEnv makes the test binary one of the processes that the tests watch.
const helperEnv = "DTC_WATCH_TEST_HELPER"

func TestMain(m *testing.M) {
	if mode, ok := os.LookupEnv(helperEnv); ok {
		helper(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

// helper is the program of a helper process.
func helper(mode string) {
	verb, arg, _ := strings.Cut(mode, " ")
	switch verb {
	case "exit": // with a code, when its input ends
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	default:
		platformHelper(verb, arg)
	}
}

// child is a helper process.
type child struct {
	*exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Scanner
	pid   int
}

// start starts a helper process, waits until it says its first line, and ends
// it with the test.
func start(t *testing.T, mode string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0])}
	c.Env = append(os.Environ(), helperEnv+"="+mode)
	c.Stderr = os.Stderr
	var err error
	if c.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	c.pid = c.Process.Pid
	c.line(t)
	return c
}

// line returns the next line of the helper's output.
func (c *child) line(t *testing.T) string {
	t.Helper()
	if !c.out.Scan() {
		t.Fatalf("the helper process ended: %v", c.out.Err())
	}
	return c.out.Text()
}

// end has a helper of the mode exit end, and reaps it.
func (c *child) end() {
	_ = c.stdin.Close()
	_ = c.Wait()
}

// kill kills a helper and reaps it.
func (c *child) kill() {
	_ = c.Process.Kill()
	_ = c.Wait()
}

// newWatcher returns a watcher whose Run ends with the test.
func newWatcher(t *testing.T, prepare ...func(*Watcher)) *Watcher {
	t.Helper()
	w := New(Options{Run: "run1", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	for _, p := range prepare {
		p(w)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	if err := w.await(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// feed is a running call of Watch.
type feed struct {
	seen   chan dtc.Sighting
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

func watchFor(t *testing.T, w *Watcher, asker string, targets ...dtc.WatchTarget) *feed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &feed{seen: make(chan dtc.Sighting, 10_000), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = w.Watch(ctx, asker, dtc.Watching{Targets: targets}, func(s dtc.Sighting) error {
			f.seen <- s
			return nil
		})
	}()
	t.Cleanup(func() { _ = f.stop() })
	return f
}

func pids(list ...int) []dtc.WatchTarget {
	targets := make([]dtc.WatchTarget, len(list))
	for i, pid := range list {
		targets[i].PID = pid
	}
	return targets
}

// stop ends the call and returns its error.
func (f *feed) stop() error {
	f.cancel()
	return f.wait()
}

// wait waits for the end of the call and returns its error.
func (f *feed) wait() error {
	<-f.done
	return f.err
}

// next returns the next sighting.
func (f *feed) next(t *testing.T) dtc.Sighting {
	t.Helper()
	select {
	case s := <-f.seen:
		return s
	case <-f.done:
		select {
		case s := <-f.seen: // before it returned
			return s
		default:
		}
		t.Fatalf("Watch returned %v", f.err)
	case <-time.After(30 * time.Second):
		t.Fatal("no sighting within 30 s")
	}
	return dtc.Sighting{}
}

// is fails unless the next sighting is of this pid and state.
func (f *feed) is(t *testing.T, pid int, state dtc.State) dtc.Sighting {
	t.Helper()
	s := f.next(t)
	if s.Process.PID != pid || s.State != state {
		t.Fatalf("saw %+v, want process %d %s", s, pid, state)
	}
	return s
}

// quiet fails if there is a sighting within a while.
func (f *feed) quiet(t *testing.T) {
	t.Helper()
	select {
	case s := <-f.seen:
		t.Fatalf("saw %+v, want nothing", s)
	case <-time.After(150 * time.Millisecond):
	}
}

func identify(t *testing.T, pid int) dtc.ProcessID {
	t.Helper()
	id, _, err := proc.Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantKind(t *testing.T, err error, kind dtc.ErrorKind) {
	t.Helper()
	if err == nil || dtc.KindOf(err) != kind {
		t.Errorf("error %v, want one of the kind %v", err, kind)
	}
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

var errEmit = errors.New("emit fails")
