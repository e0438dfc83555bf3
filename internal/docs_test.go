package internal_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"dtc"
)

// docs/STATUSES.md has a section for each status, whose tables with the columns
// of statusTable name its fields, all of them and in their order.
const statusTable = "| field | meaning | Linux | Windows | macOS |"

func TestStatusesAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/STATUSES.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string][]string)
	section, inTable := "", false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		switch name, isHeading := strings.CutPrefix(line, "## "); {
		case isHeading:
			section, inTable = name, false
			documented[section] = nil
		case line == statusTable:
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "| --- "):
			documented[section] = append(documented[section], fieldOfRow(t, line))
		}
	}
	for _, s := range dtc.Statuses() {
		got, want := documented[string(s.Status)], dtc.FieldNames(s.Status)
		if !slices.Equal(got, want) {
			t.Errorf("docs/STATUSES.md: %s has the fields\n%q, want\n%q", s.Status, got, want)
		}
		delete(documented, string(s.Status))
	}
	for section := range documented {
		t.Errorf("docs/STATUSES.md: %q is no status", section)
	}
}

// fieldOfRow returns the field that a row of a table of fields is about: its
// name stands in the first cell as code, and no other cell is empty.
func fieldOfRow(tb testing.TB, row string) string {
	tb.Helper()
	cells := strings.Split(strings.Trim(row, "|"), " | ")
	if len(cells) != strings.Count(statusTable, " | ")+1 {
		tb.Fatalf("docs/STATUSES.md: %d cells in the row %s", len(cells), row)
	}
	for i := range cells {
		if cells[i] = strings.TrimSpace(cells[i]); cells[i] == "" {
			tb.Errorf("docs/STATUSES.md: an empty cell in the row %s", row)
		}
	}
	return strings.Trim(cells[0], "`")
}
