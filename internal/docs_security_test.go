package internal_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Both READMEs name every command of both programs that is not hidden, with its
// own subcommands in the same document.
func TestCommandsAreDocumented(t *testing.T) {
	uses := regexp.MustCompile(`(?m)^\s+Use:\s+"([a-z]+)`)
	for _, program := range []string{"dtc", "dtc-agent"} {
		named := 0
		for _, text := range sources(t, "cmd/"+program) {
			for _, use := range uses.FindAllStringSubmatch(text, -1) {
				if slices.Contains([]string{"man", "demo", "help", "get", "dtc"}, use[1]) { // hidden, or named otherwise
					continue
				}
				named++
				// As a command of the program, of a group of it, or alone in a list of these.
				word := regexp.MustCompile("`" + program + " ([a-z]+ )?" + use[1] + "[ `]|`" + use[1] + "`")
				for _, name := range []string{"README.md", "README.zh-CN.md"} {
					if !word.MatchString(document(t, name)) {
						t.Errorf("%s: no word of the command %q of %s", name, use[1], program)
					}
				}
			}
		}
		if named < 9 {
			t.Errorf("%s has %d commands", program, named)
		}
	}
}

// The tables of docs/SECURITY.md say who may call what, and have what commanded,
// as the code does.
func TestRolesAreDocumented(t *testing.T) {
	doc := document(t, "docs/SECURITY.md")
	want := mayCallOf(t)
	want["dtc-log/1"] = []string{"agent"}
	compareRoles(t, rolesOf(t, doc, "| call | monitor | operator | viewer | agent |"), want)

	text, verbs := document(t, "internal/monitor/command.go"), verbsOf(t)
	may := map[string][]string{}
	for list, roles := range map[string][]string{"reads": {"operator", "viewer"}, "changes": {"operator"}} {
		found := regexp.MustCompile(list + ` := \[\]string\{(.*)\}`).FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("internal/monitor/command.go has no list %s", list)
		}
		for verb := range strings.SplitSeq(found[1], ", ") {
			may[verbs[strings.TrimPrefix(verb, "logs.")]] = roles
		}
	}
	compareRoles(t, rolesOf(t, doc, "| verb | command | operator | viewer |"), may)
}

// docs/SECURITY.md and docs/INSTALL.md name tests and files of the project that
// are there.
func TestSecurityNamesTests(t *testing.T) {
	there, doc := tests(t), document(t, "docs/SECURITY.md")
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(doc, -1)
	for _, name := range named {
		if !there[name[1]] {
			t.Errorf("docs/SECURITY.md: there is no %s", name[1])
		}
	}
	if len(named) < 50 {
		t.Errorf("docs/SECURITY.md names %d tests", len(named))
	}
	links := regexp.MustCompile(`\]\(((?:docs/|\.\./)?[A-Z]\w*[\w.-]*\.md)`)
	for _, name := range []string{"README.md", "README.zh-CN.md", "docs/SECURITY.md", "docs/INSTALL.md"} {
		for _, link := range links.FindAllStringSubmatch(document(t, name), -1) {
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(name), link[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// mayCallOf reads the table of who may call what from the code: of each call, by
// its service and name, the roles.
func mayCallOf(tb testing.TB) map[string][]string {
	tb.Helper()
	text := document(tb, "internal/wire/server_monitor.go")
	_, text, _ = strings.Cut(text, "func mayCall(")
	text, _, _ = strings.Cut(text, "\n}")
	may := map[string][]string{}
	call := regexp.MustCompile(`(\w+Service)(\w+)Procedure`)
	role := regexp.MustCompile(`dtc\.Role(\w+)`)
	for part := range strings.SplitSeq(text, "\tcase ") {
		names, answer, _ := strings.Cut(part, ":\n")
		for _, c := range call.FindAllStringSubmatch(names, -1) {
			for _, r := range role.FindAllStringSubmatch(answer, -1) {
				name := c[1] + "." + c[2]
				may[name] = append(may[name], strings.ToLower(r[1]))
			}
		}
	}
	return may
}

// verbsOf returns the verbs of the control socket by the names of their constants.
func verbsOf(tb testing.TB) map[string]string {
	tb.Helper()
	verbs := map[string]string{}
	for _, folder := range []string{"internal/monitor", "internal/logs"} {
		for _, text := range sources(tb, folder) {
			for _, v := range regexp.MustCompile(`(?m)^(?:const |\t)(Verb\w+)\s+= "([a-z-]+)"`).FindAllStringSubmatch(text, -1) {
				verbs[v[1]] = v[2]
			}
		}
	}
	return verbs
}

// rolesOf reads a table of a document: of each row, by the code in its first
// cell, the titles of the columns where it says yes.
func rolesOf(tb testing.TB, doc, header string) map[string][]string {
	tb.Helper()
	_, rows, found := strings.Cut(doc, header+"\n")
	if !found {
		tb.Fatalf("docs/SECURITY.md has no table %s", header)
	}
	titles, may := cellsOf(header), map[string][]string{}
	for row := range strings.Lines(rows) {
		if !strings.HasPrefix(row, "|") {
			break
		}
		cells := cellsOf(strings.TrimSpace(row))
		code := regexp.MustCompile("^`([^`]+)`").FindStringSubmatch(cells[0])
		if code == nil || len(cells) != len(titles) {
			continue
		}
		for i, cell := range cells {
			if cell == "yes" {
				may[code[1]] = append(may[code[1]], titles[i])
			}
		}
	}
	return may
}

// cellsOf returns the cells of a row of a table.
func cellsOf(row string) []string {
	cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(row, "|"), "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func compareRoles(tb testing.TB, got, want map[string][]string) {
	tb.Helper()
	if len(want) < 10 {
		tb.Errorf("the code has %d: %v", len(want), want)
	}
	for _, of := range []map[string][]string{got, want} {
		for _, roles := range of {
			slices.Sort(roles)
		}
	}
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		tb.Errorf("docs/SECURITY.md says\n%v, the code\n%v", got, want)
	}
}

// sources returns the files of a folder of the project that are no tests.
func sources(tb testing.TB, folder string) map[string]string {
	tb.Helper()
	files, err := filepath.Glob("../" + folder + "/*.go")
	if err != nil {
		tb.Fatal(err)
	}
	texts := map[string]string{}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			texts[file] = document(tb, strings.TrimPrefix(file, "../"))
		}
	}
	return texts
}
