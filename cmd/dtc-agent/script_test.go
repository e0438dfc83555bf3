package main

import (
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dtc-agent": main})
}

// update rewrites the wanted output that stands in the scripts.
var update = flag.Bool("update", false, "rewrite the wanted output in testdata/script")

// patience bounds every wait for something that takes milliseconds on an idle
// machine.
const patience = 60 * time.Second

// TestScripts runs testdata/script/*.txtar, with the program dtc beside. Besides
// the commands of testscript they have
//
//	exits N CMD ARG…     runs a command that has to have the exit status N
//	until PATTERN CMD…   runs a command again and again until it succeeds with
//	                     output that matches
//	capture NAME PATTERN puts what PATTERN's group matches in stdout into $NAME
//	freeport NAME…       puts addresses of the loopback that nobody listens on
//	                     into variables
//	occupy NAME          does the same, and listens there
//	hangup TEXT…         sends SIGHUP to the process with TEXT in its command line
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "dtc/cmd/dtc").CombinedOutput(); err != nil {
		t.Fatalf("build dtc: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("DTC_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else a second for each command of a -race run
			env.Setenv("PATH", env.Getenv("PATH")+string(os.PathListSeparator)+bin)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exitsCommand,
			"until":    untilCommand,
			"capture":  captureCommand,
			"freeport": freePortCommand,
			"occupy":   occupyCommand,
			"hangup":   hangupCommand,
		},
	})
}

// TestHelp goes through all commands: each explains itself with an example and
// its exit status, and says so at --help.
func TestHelp(t *testing.T) {
	t.Parallel()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())
		for line := range strings.SplitSeq(c.Example, "\n") {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, path[0]) {
				t.Errorf("%s: its example has the line %q", c.CommandPath(), line)
			}
		}
		if !strings.Contains(c.Example, c.Name()) {
			t.Errorf("%s: its example does not show it: %q", c.CommandPath(), c.Example)
		}
		if !strings.Contains(strings.ToLower(c.Long), "exit status") {
			t.Errorf("%s: its help does not say its exit status", c.CommandPath())
		}
		var out strings.Builder
		a := &app{stdout: &out, stderr: io.Discard, getenv: func(string) string { return "" }}
		if code := a.run(t.Context(), slices.Concat(path[1:], []string{"--help"})); code != exitOK || !strings.Contains(out.String(), c.Example) {
			t.Errorf("%s --help: exit status %d, output\n%s", c.CommandPath(), code, out.String())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	root := (&app{}).command()
	root.InitDefaultHelpCmd()
	walk(root)
}

// What the monitor says of itself reaches the terminal clean and short.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"web1": "web1", "b\u00fccher 1": "b\u00fccher 1", "a\x1b[2Jb": "a?[2Jb", "\u202eevil\u0085": "?evil?", "\xff": "?",
		strings.Repeat("x", 300): strings.Repeat("x", 253),
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

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
