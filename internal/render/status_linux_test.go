package render

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dtc"
	"dtc/internal/status"
)

// collect asks this machine and renders its answer.
func collect(t *testing.T, what dtc.Status) []string {
	t.Helper()
	var b bytes.Buffer
	d := NewDocument(&b, what, 1, Options{})
	err := status.New(status.Options{}).Get(t.Context(), dtc.Query{Status: what}, func(r *dtc.Report) error {
		r.PIDWidth = pidWidth(t)
		return d.Add(0, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(b.String(), "\n")
}

// What is read of this machine and rendered is, line by line, what the tools
// print, for processes that do nothing meanwhile.
func TestCollectedAsTools(t *testing.T) {
	dir := t.TempDir()
	odd := start(t, []string{"odd\x1b\tname", strings.Repeat("漢字 ", 30), "\xff\u00e9", "600"}, dir)
	plain := start(t, []string{"sleep", "600"}, dir)
	pids := strconv.Itoa(odd) + "," + strconv.Itoa(plain)

	var missing []string
	for range 10 { // they need a moment to come to rest
		want := strings.Split(run(t, "COLUMNS=", "ps", "u", "-p", "2,"+pids), "\n")
		if missing = without(want, collect(t, dtc.StatusProcess)); len(missing) == 0 {
			break
		}
	}
	for _, line := range missing {
		t.Errorf("not rendered: %q", line)
	}

	// How wide lsof's columns are depends on all processes, so only what stands
	// in them is compared.
	want := words(strings.Split(run(t, "", "lsof", "-w", "-n", "-P", "-p", pids), "\n"))
	for _, line := range without(want, words(collect(t, dtc.StatusOpenFiles))) {
		t.Errorf("not rendered: %q", line)
	}
}

// without returns the lines that are not among others.
func without(lines, others []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(others, line) })
}

// words returns lines with one space between two words.
func words(lines []string) []string {
	var out []string
	for _, line := range lines {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return out
}
