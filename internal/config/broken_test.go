package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the wanted faults in testdata/broken.txt")

const brokenFile = "testdata/broken.txt"

// brokenCase is one case of testdata/broken.txt.
type brokenCase struct {
	kind, written string
	data          []byte
	line          int // in the table
	want          []string
}

// frames are what stands round the text of a case, by its kind.
var brokenFrames = map[string][2]string{
	"agent":        {"<agent>\n", "\n</agent>\n"},
	"files":        {"<agent>\n<monitor_files>\n", "\n</monitor_files>\n</agent>\n"},
	"monitor":      {"<monitor>\n", "\n</monitor>\n"},
	"host":         {"<monitor>\n<remote_host>\n<ip_port>10.0.0.7:7701</ip_port>\n", "\n</remote_host>\n</monitor>\n"},
	"agent-file":   {},
	"monitor-file": {},
}

func (c brokenCase) parse(file string) error {
	if c.kind == "monitor" || c.kind == "host" || c.kind == "monitor-file" {
		_, err := ParseMonitor(file, c.data)
		return err
	}
	_, err := ParseAgent(file, c.data)
	return err
}

// readBroken reads the table.
func readBroken(tb testing.TB) []brokenCase {
	tb.Helper()
	table, err := os.ReadFile(brokenFile)
	if err != nil {
		tb.Fatal(err)
	}
	var cases []brokenCase
	for i, line := range strings.Split(string(table), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '\t':
			last := &cases[len(cases)-1]
			last.want = append(last.want, line[1:])
		default:
			kind, written, _ := strings.Cut(line, " ")
			frame, ok := brokenFrames[kind]
			if !ok {
				tb.Fatalf("%s:%d: unknown kind %q", brokenFile, i+1, kind)
			}
			text, err := strconv.Unquote(`"` + strings.ReplaceAll(written, `"`, `\"`) + `"`)
			if err != nil {
				tb.Fatalf("%s:%d: %v", brokenFile, i+1, err)
			}
			data := []byte(frame[0] + text + frame[1])
			cases = append(cases, brokenCase{kind: kind, written: written, data: data, line: i + 1})
		}
	}
	return cases
}

func TestBroken(t *testing.T) {
	cases := readBroken(t)
	if len(cases) < 200 {
		t.Errorf("%d cases, want at least 200", len(cases))
	}
	got := map[int][]string{}
	for _, c := range cases {
		err := c.parse("x.xml")
		faults, ok := errors.AsType[Errors](err)
		if !ok {
			t.Errorf("%s:%d: error %v, want Errors", brokenFile, c.line, err)
			continue
		}
		checkFaults(t, fmt.Sprintf("%s:%d", brokenFile, c.line), faults, c.data)
		for _, f := range faults {
			got[c.line] = append(got[c.line], strings.TrimPrefix(f.String(), "x.xml:"))
		}
		if !*update && !slices.Equal(got[c.line], c.want) {
			t.Errorf("%s:%d: %s %s\n got %s\nwant %s", brokenFile, c.line, c.kind, c.written,
				strings.Join(got[c.line], "\n     "), strings.Join(c.want, "\n     "))
		}
	}
	if *update {
		updateBroken(t, got)
	}
}

// checkFaults checks what holds for the faults of any file.
func checkFaults(tb testing.TB, name string, faults Errors, data []byte) {
	tb.Helper()
	lines := bytes.Count(data, []byte("\n")) + 1
	if len(faults) == 0 || len(faults) > maxFaults+1 {
		tb.Errorf("%s: %d faults", name, len(faults))
	}
	if !slices.IsSortedFunc(faults, func(a, b Fault) int { return a.Line - b.Line }) {
		tb.Errorf("%s: faults are not in the order of their lines:\n%v", name, faults)
	}
	for _, f := range faults {
		if f.Line < 1 || f.Line > lines {
			tb.Errorf("%s: line %d of %d: %s", name, f.Line, lines, f.Text)
		}
		if len(f.Text) > 4000 {
			tb.Errorf("%s: a text of %d bytes", name, len(f.Text))
		}
		if plain := strconv.Quote(f.Text); strings.Contains(plain, `\x`) && !strings.Contains(plain, `\\x`) || strings.Contains(plain, `\n`) && !strings.Contains(plain, `\\n`) {
			tb.Errorf("%s: a raw control character in %s", name, plain)
		}
	}
}

func updateBroken(t *testing.T, got map[int][]string) {
	t.Helper()
	table, err := os.ReadFile(brokenFile)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, line := range strings.SplitAfter(string(table), "\n") {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		b.WriteString(line)
		for _, fault := range got[i+1] {
			b.WriteString("\t" + fault + "\n")
		}
	}
	if err := os.WriteFile(brokenFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
