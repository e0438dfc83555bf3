package events

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"dtc"
)

// ofWeb makes an event one of the rule web.
func ofWeb(e *dtc.Event) { e.Rule = "web" }

// What an agent keeps until it is acknowledged stands in the log once however
// often it comes again, and whatever was told between; what the monitor has
// asked for takes no place from it.
func TestLastingStates(t *testing.T) {
	dir := t.TempDir()
	own := NewRun()
	states := map[string]func(*dtc.Event){
		"restarted": func(e *dtc.Event) { died(e); e.State, e.NewPID = dtc.StateRestarted, 9 },
		"replaced":  func(e *dtc.Event) { e.State, e.NewPID = dtc.StateReplaced, 9 },
		"newcomer":  ofWeb,
		"missing":   func(e *dtc.Event) { ofWeb(e); e.State, e.PID = dtc.StateMissing, 0 },
		"count":     func(e *dtc.Event) { ofWeb(e); e.State, e.PID = dtc.StateCount, 0 },
		"normal":    func(e *dtc.Event) { ofWeb(e); e.State, e.PID = dtc.StateNormal, 0 },
	}
	c := &clock{t: at("2026-11-20T12:00:00Z").UTC()}
	for range 3 { // runs of the monitor
		s := openStore(t, dir, c.now)
		for id, with := range states {
			appendEvent(t, s, "a1-"+id, with)
		}
		for i := range seenPassing + 10 {
			appendEvent(t, s, own+"-"+strconv.Itoa(i), ofWeb)
		}
		for id, with := range states {
			appendEvent(t, s, "a1-"+id, with)
		}
		if n := len(s.record(processSeries(folder, port)).seen.passing.ids); n != seenPassing {
			t.Errorf("%d ids of what passes are remembered", n)
		}
	}
	on := ids(t, dir, Filter{})
	for id := range states {
		if n := strings.Count(on, "a1-"+id); n != 1 {
			t.Errorf("%s is on record %d times", id, n)
		}
	}
}

// Who hears of events hears each once, as it stands in the file.
func TestRecorded(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: at("2026-11-20T12:00:00Z").UTC()}
	var heard []dtc.Event
	s, err := Open(dir, Options{Now: c.now, Recorded: func(e dtc.Event) { heard = append(heard, e) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	post := &dtc.PostMortem{Command: strings.Repeat("x", 2*maxCommand)}
	for range 2 {
		appendEvent(t, s, "1")
		appendEvent(t, s, "2", died, func(e *dtc.Event) { e.PostMortem = post })
		appendEvent(t, s, "3", gap)
	}
	if err := s.Append(folder, port, dtc.Event{ID: "4"}); err == nil {
		t.Error("an event without a state was taken")
	}
	var ids []string
	for _, e := range heard {
		ids = append(ids, e.ID)
		if !e.Time.Equal(c.now()) {
			t.Errorf("%s has the time %s", e.ID, e.Time)
		}
	}
	if got := strings.Join(ids, " "); got != "1 2 3" {
		t.Errorf("heard of %s", got)
	}
	if len(heard[1].PostMortem.Command) != maxCommand || len(post.Command) != 2*maxCommand {
		t.Errorf("the command heard of has %d bytes, the caller's has %d", len(heard[1].PostMortem.Command), len(post.Command))
	}
	// A line that cannot be written is none, and nobody hears of it.
	folderPath := filepath.Join(dir, folder)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folderPath, folderPath+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folderPath, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := process("nginx")
	e.ID = "5"
	if err := s.Append(folder, port, e); err == nil || len(heard) != 3 {
		t.Errorf("append = %v, heard of %d", err, len(heard))
	}
}

func TestNoSubject(t *testing.T) {
	s := openStore(t, t.TempDir(), time.Now)
	for name, e := range map[string]dtc.Event{
		"no pid":             {State: dtc.StateDead},
		"a rule's death":     {State: dtc.StateDead, Rule: "web"},
		"missing of nothing": {State: dtc.StateMissing},
		"a negative pid":     {State: dtc.StateMissing, Rule: "web", PID: -1},
	} {
		e.ID, e.Kind = "1", dtc.EventProcess
		if err := s.Append(folder, port, e); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// remember runs with on a memory that is then written and read again.
func remember(t *testing.T, path string, with func(*Memory)) *Memory {
	t.Helper()
	m, err := OpenMemory(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	with(m)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(done); err != nil {
		t.Fatal(err)
	}
	m, err = OpenMemory(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRulesAreRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watch.json")
	const host = "10.0.0.7:7701"
	seen := at("2026-11-20T12:00:00Z")
	m := remember(t, path, func(m *Memory) {
		m.BeginRule(host, "web", "exe nginx")
		for pid := range 4 {
			m.SetMember(host, "web", pid+1, ProcessMemory{Start: uint64(pid + 11), Boot: "b1", Name: "nginx", Seen: seen})
		}
		m.EndMember(host, "web", dtc.ProcessID{PID: 1, Start: 11}, "b1")
		m.EndMember(host, "web", dtc.ProcessID{PID: 2, Start: 99}, "b1") // an earlier one of that pid
		m.SetRule(host, "web", dtc.StateCount, "b1")
		m.SetMember(host, "web", 5, ProcessMemory{Start: 15, Boot: "b1"})
		m.RecallRule(host, "web", map[int]bool{3: true, 5: false, 77: true}, dtc.StateMissing)
		m.RecallRule(host, "new", map[int]bool{3: true}, dtc.StateMissing)
		m.RecallRule("10.0.0.9:7701", "db", nil, dtc.StateMissing)
		m.BeginRule(host, "old", "x")
		m.DropRule(host, "old")
	})
	want := RuleMemory{
		Selects: "exe nginx", State: dtc.StateMissing, Boot: "b1",
		Members: map[int]ProcessMemory{
			2: {Start: 12, Boot: "b1", Name: "nginx", Seen: seen}, 4: {Start: 14, Boot: "b1", Name: "nginx", Seen: seen},
		},
		Ended: []EndedMemory{{1, 11, "b1"}, {2, 99, "b1"}, {3, 13, "b1"}},
	}
	h := m.Host(host)
	if r := h.Rules["new"]; len(h.Rules) != 2 || r == nil || r.State != dtc.StateMissing || r.Selects != "" {
		t.Errorf("remembered %+v of what only the log tells", r)
	}
	if !reflect.DeepEqual(*h.Rules["web"], want) {
		t.Errorf("remembered %+v, want %+v", h.Rules["web"], want)
	}
	delete(h.Rules["web"].Members, 2) // the caller's own
	m = remember(t, path, func(m *Memory) {
		for i := range 3 * maxEnded {
			m.EndMember(host, "web", dtc.ProcessID{PID: 100 + i, Start: 1}, "b1")
		}
	})
	r := m.Host(host).Rules["web"]
	if len(r.Members) != 2 || len(r.Ended) != maxEnded || r.Ended[maxEnded-1].PID != 100+3*maxEnded-1 {
		t.Errorf("remembered %+v", r)
	}
}

// The file of an earlier version, which knew no rules, is taken as it is.
func TestOldMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watch.json")
	const old = `{"10.0.0.7:7701":{"boot":"b1","unreachable":true,"processes":{"7":{"start":99,"boot":"b1","name":"nginx"},"8":{"start":1,"boot":"b1","dead":true}}},"10.0.0.8:7701":null,"10.0.0.9:7701":{"rules":{"web":null}}}`
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	m := remember(t, path, func(m *Memory) {
		m.EndMember("10.0.0.9:7701", "web", dtc.ProcessID{PID: 1, Start: 1}, "b1")
		m.Host("10.0.0.8:7701")
	})
	want := HostMemory{
		HostState: HostState{Boot: "b1", Unreachable: true},
		Processes: map[int]ProcessMemory{7: {Start: 99, Boot: "b1", Name: "nginx"}, 8: {Start: 1, Boot: "b1", Dead: true}},
	}
	if got := m.Host("10.0.0.7:7701"); !reflect.DeepEqual(got, want) {
		t.Errorf("remembered %+v, want %+v", got, want)
	}
}
