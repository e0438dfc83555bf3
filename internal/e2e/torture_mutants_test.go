//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var tortureMutants = flag.Bool("torture.mutants", false, "TestTortureCatchesMutants tries all mutants, not only the quick ones")

// A mutant is a fault that is planted into one of the programs. A torture that
// finds nothing proves something only if it finds those.
type mutant struct {
	name    string
	program string // in whose build it is
	edits   []edit
	focus   focus
}

// edit replaces a text that stands once in a file.
type edit struct{ file, from, to string }

// focus says what is to happen in a round, each with its weight, beside plain
// writes; nothing happens to a side of which it has nothing.
type focus struct {
	writes, agent, monitor, link map[string]int
	steps                        int
}

var (
	agentKills = map[string]int{"kill -9": 3, "kill -9, away": 3}
	linkDown   = map[string]int{"down": 3, "cut": 1}
	storms     = focus{writes: map[string]int{"truncate and grow, many times": 30, "truncate and grow, big": 10}, steps: 60}
)

// mutants are what TestTorture must find, by what is broken. What it cannot find
// is what needs a power loss (an fsync that is left out: internal/ship has that),
// or has a second line of defense behind it: an identity by inode number alone is
// set right by the proofs of head and end, a listing that changed under the
// reader's hands by the next one, a frame of an older connection by its position.
func mutants() []mutant {
	const follow, ship, logs = "internal/follow/", "internal/ship/", "internal/logs/"
	return []mutant{
		{"no second look after a read", "dtc-agent", []edit{{
			follow + "generation.go",
			"if ok, err := r.same(g.File, from, again); err != nil || !ok {\n\t\treturn nil, cut(err)\n\t}", "_ = again",
		}}, storms},
		{"truncation by size alone", "dtc-agent", []edit{
			{follow + "generation.go", "if n < k || k > 0 && r.sum(r.buf[:k]) != g.Mark.Sum {", "if n < k {"},
			{follow + "generation.go", "if ok, err := r.holds(g.File, proof); err != nil || !ok {", "if ok, err := r.holds(g.File, proof); err != nil {\n_ = ok"},
		}, storms},
		{"a position is believed without proof", "dtc-agent", []edit{
			{follow + "resume.go", "head, ok, err := r.proves(g.File, s.Start+int64(s.HeadLen), s.HeadLen, s.Head)\n\tif err != nil || !ok {", "head, ok, err := r.proves(g.File, s.Start+int64(s.HeadLen), s.HeadLen, s.Head)\n\tif _ = ok; err != nil {"},
			{follow + "resume.go", "mark, ok, err := r.proves(g.File, s.Position, s.MarkerLen, s.Marker)\n\tif err != nil || !ok {\n\t\treturn cut(err)\n\t}\n\tg.Start", "mark, ok, err := r.proves(g.File, s.Position, s.MarkerLen, s.Marker)\n\tif _ = ok; err != nil {\n\t\treturn cut(err)\n\t}\n\tg.Start"},
		}, focus{writes: map[string]int{"truncate and grow": 10, "truncate when sent": 2}, agent: agentKills}},
		{"a rotated file is not held", "dtc-agent", []edit{{
			follow + "chain.go", "changed = changed || c.current != g\n\tc.current = g\n",
			"changed = changed || c.current != g\n\tc.current = g\n\tfor _, old := range slices.Clone(c.Generations) {\n\t\tif old != g {\n\t\t\tc.Remove(old)\n\t\t}\n\t}\n",
		}}, focus{writes: map[string]int{"rotate": 10, "lines": 20}, link: linkDown}},
		{"what begins alike is a copy", "dtc-agent", []edit{
			{follow + "cut.go", "if end, err := r.holds(f, g.end); err != nil || !end || g.unproven() {", "if false {"},
			{follow + "cut.go", "same, err := r.holds(f, mark)\n\treturn err == nil && same", "return true"},
		}, focus{writes: map[string]int{"rotate and begin alike": 10, "truncate and begin alike": 10}}},
		{"late bytes of a rotated file are dropped", "dtc-agent", []edit{{
			ship + "choose.go", "if sh.sealed {\n\t\t\tsh.sealed, sh.late = false, min(sh.late+1, 8)\n\t\t}", "if sh.sealed {\n\t\t\treturn taskNone\n\t\t}",
		}}, focus{writes: map[string]int{"rotate with a late writer": 10, "late write": 30, "wait": 20}}},
		{"a successor does not wait", "dtc-agent", []edit{{
			ship + "choose.go", "if opens && (blocked || !st.chain.Settled()) {", "if opens && blocked && false {",
		}}, focus{writes: map[string]int{"big block": 10, "rotate": 10}, link: linkDown}},
		{"a loss is not told", "dtc-agent", []edit{{
			ship + "pump.go", "if lost > 0 {\n\t\tx.send(st,", "if lost > 0 {\n\t\tfunc(*stream, dtc.Frame) {}(st,",
		}}, focus{writes: map[string]int{"truncate what was seen": 20, "lines": 20}, link: map[string]int{"down for long": 10}, steps: 12}},
		{"a possible loss is not told", "dtc-agent", []edit{{
			ship + "match.go", "if !m.missing(r) || m.search(r) {", "if true {",
		}}, focus{writes: map[string]int{"truncate": 10, "remove": 10}, agent: map[string]int{"kill -9, away": 3}}},
		{"the copy's length after a kill is not believed", "dtc", []edit{{
			logs + "recover.go", "\t\tat = s.live\n", "\t\t_ = at\n",
		}}, focus{monitor: map[string]int{"kill -9": 3}}},
		{"an empty rotated file is let go", "dtc-agent", []edit{{
			ship + "pump.go", "if sh.File != nil && !sh.Copy && !sh.idle {", "if false {",
		}}, focus{writes: map[string]int{"rotate many times": 10, "late write": 60, "wait": 20}}},
		{"what was lost proves a position", "dtc-agent", []edit{{
			follow + "resume.go", "if s.Sealed && s.MarkerLen == 0 && s.Position > s.Start {", "if false {",
		}}, focus{writes: map[string]int{"truncate and grow, many times": 20}, agent: agentKills, link: linkDown}},
	}
}

// quick reports whether a mutant is among those that make test tries: they are
// found within seconds, as a rule.
func (m *mutant) quick() bool {
	return m.name == "a rotated file is not held" || m.name == "late bytes of a rotated file are dropped"
}

// TestTortureCatchesMutants plants faults and expects that the torture finds each.
func TestTortureCatchesMutants(t *testing.T) {
	t.Parallel()
	for _, m := range mutants() {
		if !*tortureMutants && !m.quick() {
			continue
		}
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			dir := m.build(t)
			took, found := m.hunt(t, dir)
			if found == "" {
				t.Errorf("%q was not found in %s", m.name, took)
				return
			}
			t.Logf("found after %s: %s", took.Round(100*time.Millisecond), found)
		})
	}
}

// TestMutantsApply keeps the table up to date with the sources.
func TestMutantsApply(t *testing.T) {
	t.Parallel()
	for _, m := range mutants() {
		m.texts(t)
	}
}

// build builds the program with the fault, beside the other one without.
func (m *mutant) build(tb testing.TB) string {
	tb.Helper()
	dir, overlay := tb.TempDir(), struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range m.texts(tb) {
		copied := filepath.Join(dir, fmt.Sprintf("%d.go", len(overlay.Replace)))
		writeFile(tb, copied, text)
		overlay.Replace[path] = copied
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		tb.Fatal(err)
	}
	writeFile(tb, filepath.Join(dir, "overlay.json"), string(list))
	for _, name := range []string{"dtc", "dtc-agent"} {
		must(os.Link(filepath.Join(bin, name), filepath.Join(dir, name)))
	}
	must(os.Remove(filepath.Join(dir, m.program)))
	build := exec.Command("go", "build", "-trimpath", "-overlay", filepath.Join(dir, "overlay.json"), "-ldflags", "-s -w -X main.version=1.0.0-test",
		"-o", filepath.Join(dir, m.program), "dtc/cmd/"+m.program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build the mutant %q: %v\n%s", m.name, err, out)
	}
	return dir
}

// texts returns the files with the fault in them, by their paths.
func (m *mutant) texts(tb testing.TB) map[string]string {
	tb.Helper()
	texts := map[string]string{}
	for _, e := range m.edits {
		path, err := filepath.Abs(filepath.Join("..", "..", e.file))
		if err != nil {
			tb.Fatal(err)
		}
		if texts[path] == "" {
			texts[path] = readFile(path)
		}
		if n := strings.Count(texts[path], e.from); n != 1 {
			tb.Fatalf("%s has the text of the mutant %q %d times: bring the table up to date:\n%s", e.file, m.name, n, e.from)
		}
		texts[path] = strings.Replace(texts[path], e.from, e.to, 1)
	}
	return texts
}

// hunting is how long a mutant may live.
const hunting = 6 * time.Minute

var foundRE = regexp.MustCompile(`(?m)^.*: seed \d+: (.*)$`)

// hunt lets this test's own program torture the mutant, round after round, and
// returns what was found, "" if nothing was.
func (m *mutant) hunt(tb testing.TB, dir string) (time.Duration, string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*hunting)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestTorture$", "-test.v", "-torture.focus", m.name, "-torture.fresh",
		"-torture.duration", hunting.String(), "-torture.patience", "8s")
	cmd.Env = append(os.Environ(), binEnv+"="+dir)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		tb.Fatal(err)
	}
	if err == nil {
		return took, ""
	}
	found := foundRE.FindStringSubmatch(string(out))
	if found == nil {
		tb.Fatalf("the mutant %q failed in another way than by the oracle:\n%s", m.name, tail(string(out), 60))
	}
	return took, found[1]
}

// focusOf returns the focus of the mutant of a name.
func focusOf(tb testing.TB, name string) focus {
	tb.Helper()
	for _, m := range mutants() {
		if m.name == name {
			return m.focus
		}
	}
	tb.Fatalf("no mutant %q", name)
	return focus{}
}
