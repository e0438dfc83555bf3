package internal_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/logs"
	"dtc/internal/render"
)

// docs/STATUSES.md has a section for each status, whose tables with the columns
// of statusTable name its fields, all of them and in their order.
const statusTable = "| field | meaning | Linux | Windows | macOS |"

func TestStatusesAreDocumented(t *testing.T) {
	documented := make(map[string][]string)
	section, inTable := "", false
	for line := range strings.Lines(document(t, "docs/STATUSES.md")) {
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

// docs/WATCHING.md and docs/NOTIFY.md name every state, and the former every key
// of an event in JSON.
func TestEventsAreDocumented(t *testing.T) {
	watching := document(t, "docs/WATCHING.md")
	both := watching + document(t, "docs/NOTIFY.md")
	for _, s := range dtc.States() {
		if !strings.Contains(both, "`"+string(s)+"`") {
			t.Errorf("docs/WATCHING.md and docs/NOTIFY.md: no word of the state %s", s)
		}
	}
	position, now := int64(1), time.Now()
	for _, e := range []dtc.Event{
		{
			Kind: dtc.EventProcess, State: dtc.StateRestarted, PID: 1, Name: "a", Rule: "r", NewPID: 2, Reason: "x",
			Exit: &dtc.Exit{Kind: dtc.ExitCode, Core: true, OOM: true}, DiedAt: now, DiedAfter: now, DiedBefore: now,
			PostMortem: &dtc.PostMortem{Parent: "b", Command: "c"},
		},
		{Kind: dtc.EventProcess, State: dtc.StateDead, PID: 1, Exit: &dtc.Exit{Kind: dtc.ExitSignal}},
		{Kind: dtc.EventProcess, State: dtc.StateDead, PID: 1},
		{Kind: dtc.EventProcess, State: dtc.StateCount, Rule: "r", Min: 1, Max: 2},
		{Kind: dtc.EventLog, State: dtc.StateGap, Alias: "a", From: &position, To: &position},
		{Kind: dtc.EventLog, State: dtc.StateChanged, Reason: "x"},
	} {
		var keys map[string]any
		if err := json.Unmarshal(render.EventJSON(&e), &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			if !strings.Contains(watching, "`"+key+"`") && !strings.Contains(watching, key+"=") {
				t.Errorf("docs/WATCHING.md: no word of the key %s of an event", key)
			}
		}
	}
}

// Every piece of a configuration that a document shows is one without a mistake.
func TestConfigurationsInDocuments(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```xml\n(.*?)```")
	for _, name := range []string{"README.md", "README.zh-CN.md", "docs/WATCHING.md", "docs/NOTIFY.md", "docs/FOLLOWING.md"} {
		found := blocks.FindAllStringSubmatch(document(t, name), -1)
		if len(found) == 0 && name != "docs/WATCHING.md" {
			t.Errorf("%s shows no configuration", name)
		}
		for _, block := range found {
			var err error
			if strings.Contains(block[1], "<monitor_files>") {
				_, err = config.ParseAgent(name, []byte("<agent>\n"+block[1]+"</agent>\n"))
			} else {
				_, err = config.ParseMonitor(name, []byte("<monitor>\n"+block[1]+"</monitor>\n"))
			}
			if err != nil {
				t.Errorf("%s:\n%s%v", name, block[1], err)
			}
		}
	}
}

// docs/FOLLOWING.md names every flag of dtc logs and of its subcommands, every
// state and verdict, and tests that are there.
func TestFollowingIsDocumented(t *testing.T) {
	doc := document(t, "docs/FOLLOWING.md")
	for _, name := range []string{"logs", "logs_ls", "logs_verify"} {
		flags := regexp.MustCompile(`f\.\w+Var\w*\(&[\w.]+, "([a-z-]+)"|Flags\(\)\.\w+Var\w*\(&[\w.]+, "([a-z-]+)"`).
			FindAllStringSubmatch(document(t, "cmd/dtc/"+name+".go"), -1)
		if len(flags) == 0 {
			t.Errorf("cmd/dtc/%s.go has no flags", name)
		}
		for _, f := range flags {
			if flag := f[1] + f[2]; !strings.Contains(doc, "--"+flag) {
				t.Errorf("docs/FOLLOWING.md: no word of the flag --%s of cmd/dtc/%s.go", flag, name)
			}
		}
	}
	for _, word := range []string{
		logs.StreamLive, logs.StreamWaiting, logs.StreamAway, logs.StreamPaused, logs.StreamDamaged, logs.StreamUnverified,
		logs.StreamOffline, logs.VerdictExact, logs.VerdictDiffers, logs.VerdictUnknown,
	} {
		if !strings.Contains(doc, "`"+word) {
			t.Errorf("docs/FOLLOWING.md: no word of %q", word)
		}
	}
	there := tests(t)
	for _, name := range regexp.MustCompile("`((?:Test|Benchmark|Fuzz)\\w+)`").FindAllStringSubmatch(doc, -1) {
		if !there[name[1]] {
			t.Errorf("docs/FOLLOWING.md: there is no %s", name[1])
		}
	}
}

// docs/ARCHITECTURE.md has each frame of the log protocol and each record of a
// side record, by their numbers.
func TestFormatsAreDocumented(t *testing.T) {
	doc := document(t, "docs/ARCHITECTURE.md")
	frames := regexp.MustCompile(`(?m)^\tFrame([A-Z][a-z]+)$`).FindAllStringSubmatch(document(t, "frame.go"), -1)
	for i, f := range frames {
		if want := fmt.Sprintf("%d %s", i+1, f[1]); !strings.Contains(doc, want+" |") && !strings.Contains(doc, want+", ") {
			t.Errorf("docs/ARCHITECTURE.md: no word of the frame %s", want)
		}
	}
	records := regexp.MustCompile(`(?m)^\tkind([A-Z][a-z]+)\s+kind = (\d+)$`).FindAllStringSubmatch(document(t, "internal/logs/entry.go"), -1)
	for _, r := range records {
		if want := fmt.Sprintf("| %s | %s |", r[2], strings.ToLower(r[1])); !strings.Contains(doc, want) {
			t.Errorf("docs/ARCHITECTURE.md: no record %s", want)
		}
	}
	if len(frames) < 26 || len(records) < 18 {
		t.Errorf("%d frames, %d records", len(frames), len(records))
	}
}

// tests returns the names of all tests of the module.
func tests(tb testing.TB) map[string]bool {
	tb.Helper()
	files, err := filepath.Glob("../internal/*/*_test.go")
	if err != nil {
		tb.Fatal(err)
	}
	commands, err := filepath.Glob("../cmd/*/*_test.go")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]bool{}
	for _, file := range append(files, commands...) {
		for _, name := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`).
			FindAllStringSubmatch(document(tb, strings.TrimPrefix(file, "../")), -1) {
			all[name[1]] = true
		}
	}
	return all
}

// The example of a signature in docs/NOTIFY.md is right.
func TestSignatureInDocument(t *testing.T) {
	doc := document(t, "docs/NOTIFY.md")
	body := regexp.MustCompile("```json\n(.*)\n```").FindStringSubmatch(doc)
	example := regexp.MustCompile(`printf '%s\.' (\d+) \| cat - body\.json \| openssl dgst -sha256 -r -hmac (\w+)\n(\w+) `).FindStringSubmatch(doc)
	if body == nil || example == nil {
		t.Fatal("docs/NOTIFY.md has no body, or no signature of it")
	}
	mac := hmac.New(sha256.New, []byte(example[2]))
	mac.Write([]byte(example[1] + "." + body[1]))
	if got := hex.EncodeToString(mac.Sum(nil)); got != example[3] {
		t.Errorf("docs/NOTIFY.md: the body has the signature %s, not %s", got, example[3])
	}
}

// document returns what stands in a document of the project.
func document(tb testing.TB, name string) string {
	tb.Helper()
	data, err := os.ReadFile("../" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}
