package dtc

import (
	"slices"
	"strings"
	"testing"
)

func TestSortField(t *testing.T) {
	for _, tt := range []struct {
		status     Status
		text       string
		field      string
		descending bool
	}{
		{StatusProcess, "rss", "rss_bytes", true},
		{StatusProcess, "+%CPU", "cpu_percent", false},
		{StatusProcess, "pid", "pid", false},
		{StatusProcess, "-pid", "pid", true},
		{StatusProcess, "time", "cpu_seconds", true},
		{StatusUsers, "time", "login_at", false},
		{StatusDisk, "size", "total_bytes", true},
		{StatusOpenFiles, "size", "size_bytes", true},
		{StatusInterfaces, "rx_compressed", "rx_compressed", true},
		{StatusInterfaces, "tx_collisions", "tx_collisions", true},
	} {
		field, descending, err := SortField(tt.status, tt.text)
		if err != nil || field != tt.field || descending != tt.descending {
			t.Errorf("%s %q: %q, %t, %v", tt.status, tt.text, field, descending, err)
		}
	}
	for text, want := range map[string]string{
		"": `no field "": it has`, "-": `no field "": it has`, "+": `no field "": it has`, "-+pid": `no field "+pid"`, "+-pid": `no field "-pid"`,
		"--pid": `no field "-pid"`, "rsss": `did you mean "rss"`,
	} {
		if _, _, err := SortField(StatusProcess, text); KindOf(err) != KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := SortField(StatusSockets, "process"); err == nil {
		t.Error("a list has an order")
	}
}

// No name of a person's means two things: no alias is the name of another field,
// and none is the name of the column that tells the hosts apart.
func TestAliasesAreClear(t *testing.T) {
	for _, s := range Statuses() {
		seen := map[string]bool{"host": true}
		for _, field := range FieldNames(s.Status) {
			seen[field] = true
		}
		for _, a := range aliases(s.Status) {
			if field, err := FieldNamed(s.Status, strings.ToUpper(a[0])); seen[a[0]] || err != nil || field != a[1] {
				t.Errorf("%s: %q is %q, want %q alone: %v", s.Status, a[0], field, a[1], err)
			}
			seen[a[0]] = true
		}
	}
}

func TestNameMatcher(t *testing.T) {
	for _, tt := range []struct{ pattern, fits, others string }{
		{"nginx*", "nginx nginx-debug", "xnginx"},
		{"kworker/*", "kworker/0:1 kworker/u8:2/x", "kworker"},
		{"[a-c]?", "ab c1", "a d1 abc"},
		{`\*`, "*", "x"},
		{"[x]", "x [x]", "y"}, // what is called so is meant too
		{"/^(sshd|cron)$/", "sshd cron", "sshd2"},
		{"/a/b/", "a/b xa/bx", "ab"},
		{"//", "anything", ""},
		{"/[/]/", "a/b", "ab"},
	} {
		fits, err := NameMatcher(tt.pattern)
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		for name := range strings.FieldsSeq(tt.fits) {
			if !fits(name) {
				t.Errorf("%q does not fit %q", tt.pattern, name)
			}
		}
		for name := range strings.FieldsSeq(tt.others) {
			if fits(name) {
				t.Errorf("%q fits %q", tt.pattern, name)
			}
		}
	}
	for _, pattern := range []string{"/", "/usr/bin/x", "/(/", "[", "[]", `a\`, "/a{1,9999}/"} {
		if _, err := NameMatcher(pattern); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestSelectionCheck(t *testing.T) {
	for _, tt := range []struct {
		status Status
		s      Selection
		want   string // of the error; "" for none
	}{
		{StatusProcess, Selection{}, ""},
		{StatusMemory, Selection{}, ""},
		{StatusProcess, Selection{PIDs: []int{0, 1 << 22}, Users: []string{"root", "0"}, Sort: "rss", Limit: 1 << 62}, ""},
		{StatusOpenFiles, Selection{Paths: []string{"/srv/**", "**/x", "/a[bc]"}, Ports: []int{1, 65535}}, ""},
		{StatusDisk, Selection{Paths: []string{`C:\`}}, ""},
		{StatusProcess, Selection{PIDs: []int{-1}}, "--pid -1:"},
		{StatusProcess, Selection{Limit: -1}, "--limit -1:"},
		{StatusProcess, Selection{Users: []string{"a", ""}}, "--user:"},
		{StatusProcess, Selection{Names: []string{""}}, "--name:"},
		{StatusProcess, Selection{Names: []string{"/("}}, "--name /(:"},
		{StatusProcess, Selection{Names: []string{"/(" + strings.Repeat("x", 900) + "){1000}/"}}, "--name /(x"},
		{StatusProcess, Selection{Names: slices.Repeat([]string{"/[a-z]{200}/"}, 1000)}, "--name /[a-z]{200}/: the regular expressions are too large"},
		{StatusProcess, Selection{Names: slices.Repeat([]string{"/^service-[0-9]+(@.*)?$/"}, MaxSelected)}, ""},
		{StatusOpenFiles, Selection{Paths: []string{"/a["}}, "--path /a[:"},
		{StatusSockets, Selection{Ports: []int{0}}, "--port 0:"},
		{StatusSockets, Selection{Ports: []int{65536}}, "--port 65536:"},
		{StatusSockets, Selection{Paths: []string{"/x"}}, "--path: sockets cannot"},
		{StatusMemory, Selection{Limit: 1}, "--limit: memory cannot"},
		{StatusCPU, Selection{Sort: "user"}, "--sort: cpu cannot"},
		{StatusProcess, Selection{Names: make([]string, MaxSelected+1)}, "--name: 1025 values"},
		{StatusProcess, Selection{Names: []string{strings.Repeat("x", MaxSelectedText+1)}}, "--name: a value of 4097 bytes"},
		{"unheard", Selection{Limit: 1}, "--limit: unheard cannot"},
	} {
		err := tt.s.Check(tt.status)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (KindOf(err) != KindInvalid || !strings.HasPrefix(err.Error(), tt.want)):
			t.Errorf("%s %+v: %v, want %q", tt.status, tt.s, err, tt.want)
		}
	}
}
