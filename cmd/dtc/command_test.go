package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func exitsCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits N CMD ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func untilCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until PATTERN CMD ARG…")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")+ts.ReadFile("stderr")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("waited %s in vain; in the end: %v", patience, err)
		}
	}
}

func captureCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("stdout has no %s with a group", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func listenLoopback(ts *testscript.TestScript, name string) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(name, ln.Addr().String())
	return ln
}

func freePortCommand(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		defer listenLoopback(ts, name).Close() // held until all are there, so that they differ
	}
}

func occupyCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: occupy NAME")
	}
	ln := listenLoopback(ts, args[0])
	ts.Defer(func() { ln.Close() })
}

func hangupCommand(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.Join(args, " ")
	if text == "" {
		ts.Fatalf("usage: hangup TEXT…")
	}
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	for _, path := range paths {
		line, _ := os.ReadFile(path) // it may have ended
		if !strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), text) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		ts.Check(err)
		p, err := os.FindProcess(pid)
		ts.Check(err)
		ts.Check(p.Signal(syscall.SIGHUP))
		return
	}
	ts.Fatalf("no process has %q in its command line", text)
}

// receiversKey is under what a script keeps how often its web servers were asked.
type receiversKey struct{}

func receiverCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: receiver NAME STATUS")
	}
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	asked := new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(status)
	}))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.Listener.Addr().String())
	ts.Value(receiversKey{}).(map[string]*atomic.Int64)[args[0]] = asked
}

func receivedCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: received NAME N")
	}
	want, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if got := ts.Value(receiversKey{}).(map[string]*atomic.Int64)[args[0]].Load(); got != want {
		ts.Fatalf("%s was asked %d times, want %d", args[0], got, want)
	}
}
