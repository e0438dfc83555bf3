package main

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dtc": main})
}

// update rewrites the wanted output that stands in the scripts.
var update = flag.Bool("update", false, "rewrite the wanted output in testdata/script")

// TestScripts runs testdata/script/*.txtar. Besides the commands of testscript
// they have
//
//	fleet NAME…     makes $DTC_HOME a home with these hosts, see testFleet; the
//	                address of web-1 is then $web_1
//	noescapes FILE  fails if the file (or stdout, stderr) holds what a terminal
//	                may act upon
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("DTC_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("NO_COLOR", "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fleet":     fleetCommand,
			"noescapes": noEscapesCommand,
		},
	})
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
