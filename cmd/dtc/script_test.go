package main

import (
	"flag"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dtc": main})
}

// update rewrites the wanted output that stands in the scripts.
var update = flag.Bool("update", false, "rewrite the wanted output in testdata/script")

// patience bounds every wait for something that takes milliseconds on an idle
// machine.
const patience = 60 * time.Second

// TestScripts runs testdata/script/*.txtar. Besides the commands of testscript
// they have
//
//	fleet NAME…          makes $DTC_HOME a home with these hosts, see testFleet;
//	                     the address of web-1 is then $web_1
//	noescapes FILE       fails if the file (or stdout, stderr) holds what a
//	                     terminal may act upon
//	exits N CMD ARG…     runs a command that has to have the exit status N
//	until PATTERN CMD…   runs a command again and again until it succeeds with
//	                     output that matches
//	capture NAME PATTERN puts what PATTERN's group matches in stdout into $NAME
//	freeport NAME…       puts addresses of the loopback that nobody listens on
//	                     into variables
//	occupy NAME          does the same, and listens there
//	receiver NAME STATUS starts a web server that answers everything with that
//	                     status; $NAME is its address
//	received NAME N      fails if that server was not asked N times
//	hangup TEXT…         sends SIGHUP to the process with TEXT in its command line
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("DTC_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else a second for each command of a -race run
			env.Setenv("NO_COLOR", "")
			env.Values[receiversKey{}] = map[string]*atomic.Int64{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fleet":     fleetCommand,
			"noescapes": noEscapesCommand,
			"exits":     exitsCommand,
			"until":     untilCommand,
			"capture":   captureCommand,
			"freeport":  freePortCommand,
			"occupy":    occupyCommand,
			"hangup":    hangupCommand,
			"receiver":  receiverCommand,
			"received":  receivedCommand,
		},
	})
}

// TestHelp goes through all commands: each explains itself with an example and
// its exit status, and says so at --help.
func TestHelp(t *testing.T) {
	t.Parallel()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
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
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: io.Discard, getenv: func(string) string { return "" }}
		if code := a.run(t.Context(), slices.Concat(path[1:], []string{"--help"})); code != exitOK || !strings.Contains(out.String(), c.Example) {
			t.Errorf("%s --help: exit status %d, output\n%s", c.CommandPath(), code, out.String())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	root := (&app{}).command(nil)
	root.InitDefaultHelpCmd()
	walk(root)
}

func fleetCommand(ts *testscript.TestScript, _ bool, names []string) {
	f, err := newTestFleet(ts.Getenv("DTC_HOME"), names)
	ts.Defer(f.close)
	ts.Check(err)
	for _, h := range f.hosts {
		ts.Setenv(strings.ReplaceAll(h.Name, "-", "_"), h.Address.String())
	}
}

func noEscapesCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: noescapes FILE…")
	}
	for _, name := range args {
		text := ts.ReadFile(name)
		if !utf8.ValidString(text) {
			ts.Fatalf("%s is not UTF-8", name)
		}
		for i, r := range text {
			if terminalActsOn(r) {
				ts.Fatalf("%s has %U at byte %d", name, r, i)
			}
		}
	}
}

// terminalActsOn tells whether r is a control character or turns the direction
// of text.
func terminalActsOn(r rune) bool {
	switch {
	case r == '\n', r == '\r', r == '\t':
		return false
	case r < ' ', r >= 0x7f && r < 0xa0:
		return true
	}
	return strings.ContainsRune("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", r)
}
