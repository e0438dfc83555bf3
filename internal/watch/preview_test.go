package watch

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dtc"
	"dtc/internal/proc"
)

func TestPreview(t *testing.T) {
	w, word := newWatcher(t), tag(t)
	a := start(t, "exit 0")
	program := filepath.Base(os.Args[0])
	path := pidfile(t, "none")
	got, err := w.Preview(t.Context(), dtc.Watching{
		Targets: pids(a.pid, 1<<30, os.Getpid()),
		Rules: []dtc.ProcessRule{
			{Name: "one", PIDFile: pidfile(t, strconv.Itoa(a.pid))},
			{Name: "none", Match: "^no" + word},
			{Name: "relative", PIDFile: "x.pid"},
			{Name: "file", PIDFile: path},
			{Name: "all", Match: "."},
		},
	})
	if err != nil || len(got) != 8 {
		t.Fatalf("%+v, %v", got, err)
	}
	if m := got[0]; m.PID != a.pid || m.Total != 1 || len(m.Matches) != 1 || m.Matches[0].ID != identify(t, a.pid) ||
		m.Matches[0].Name == "" || m.Matches[0].User == "" || !strings.Contains(m.Matches[0].Command, program) {
		t.Errorf("a pid: %+v", m)
	}
	if m := got[1]; m.PID != 1<<30 || m.Total != 0 || m.Matches != nil || m.Problem != "" {
		t.Errorf("no such pid: %+v", m)
	}
	if m := got[2]; m.PID != os.Getpid() || m.Total != 1 {
		t.Errorf("this one: %+v", m)
	}
	if m := got[3]; m.Rule != "one" || m.PID != 0 || m.Total != 1 || len(m.Matches) != 1 || m.Matches[0].ID.PID != a.pid {
		t.Errorf("a rule: %+v", m)
	}
	for i, reason := range []string{"", "no whole path", "holds no pid"} {
		if m := got[4+i]; m.Total != 0 || m.Matches != nil || m.Problem != "" || !strings.Contains(m.Reason, reason) || (reason == "") != (m.Reason == "") {
			t.Errorf("none: %+v", m)
		}
	}
	if m := got[7]; m.Total < 3 || len(m.Matches) != min(m.Total, maxPreview) {
		t.Errorf("all: %d of %d", len(m.Matches), m.Total)
	}

	for _, wrong := range []dtc.Watching{
		{Targets: pids(0)},
		{Targets: pids(5, 5)},
		{Rules: []dtc.ProcessRule{{Name: "x", Match: "("}}},
		{Rules: []dtc.ProcessRule{{Name: "x"}}},
	} {
		_, err := w.Preview(t.Context(), wrong)
		wantKind(t, err, dtc.KindInvalid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Preview(ctx, dtc.Watching{Targets: pids(1)}); err == nil {
		t.Error("no error after the end of the context")
	}
}

// TestPreviewIsBounded has a thousand rules match as much as is told, with the
// longest texts.
func TestPreviewIsBounded(t *testing.T) {
	who := found{seen: proc.Seen{Name: strings.Repeat("n", 1000)}, user: strings.Repeat("u", 1000), command: strings.Repeat("c", maxCommand)}
	many := make([]found, maxFound)
	for i := range many {
		many[i] = who
		many[i].seen.ID = dtc.ProcessID{PID: i + 1, Start: 1 << 60}
	}
	var p preview
	for range MaxTargets {
		p.matches = append(p.matches, dtc.RuleMatches{PID: 1 << 30, Matches: []dtc.Match{p.match(&who)}, Total: 1})
	}
	sels, answers := make([]*selector, maxRules), make([]answer, maxRules)
	for i := range sels {
		sels[i] = &selector{rule: dtc.ProcessRule{Name: strings.Repeat("r", 200)}}
		answers[i] = answer{found: many, total: len(many)}
	}
	p.rules(sels, answers)
	size := 0
	for _, m := range p.matches {
		size += 40 + len(m.Rule) + len(m.Problem)
		for _, match := range m.Matches {
			size += 30 + len(match.Name) + len(match.User) + len(match.Command)
		}
	}
	if len(p.matches) != MaxTargets+maxRules || size > 12<<20 {
		t.Errorf("%d bytes", size)
	}
	if first, last := p.matches[0].Matches[0], p.matches[len(p.matches)-1]; first.Command == "" || last.Total != len(many) || len(last.Matches) != 0 {
		t.Errorf("first %d bytes, last %d matches", len(first.Command), len(last.Matches))
	}
}
