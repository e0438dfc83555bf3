package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"dtc"
	"dtc/internal/bounds"
)

// FuzzPart has a client read whatever an agent may send as a part.
func FuzzPart(f *testing.F) {
	for _, r := range everyReport() {
		if err := newEncoder(&dtc.Query{Status: r.Status}).send(r, func(m *PartMessage) error {
			b, err := proto.Marshal(m)
			f.Add(b)
			return err
		}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		m := new(PartMessage)
		if proto.Unmarshal(b, m) != nil {
			return
		}
		for _, s := range dtc.Statuses() {
			q := dtc.Query{Status: s.Status}
			r, err := newDecoder(&q).decode(m)
			if err != nil {
				continue
			}
			checkReport(t, r)
			// What was understood comes over again as it is.
			was, shown := show(r), []string{}
			if err := newEncoder(&q).send(r, func(m *PartMessage) error {
				again, err := newDecoder(&q).decode(proto.Clone(m).(*PartMessage))
				shown = append(shown, show(again))
				return err
			}); err != nil {
				t.Fatalf("%s: %v", s.Status, err)
			}
			if len(shown) == 1 && shown[0] != was {
				t.Errorf("%s:\n%s\nbecame\n%s", s.Status, was, shown[0])
			}
		}
	})
}

func checkReport(t *testing.T, r *dtc.Report) {
	t.Helper()
	if len(r.Process) > maxRows || len(r.OpenFiles) > maxRows || len(r.Sockets) > maxRows || len(r.Notes) > maxNotes {
		t.Fatal("beyond the limits")
	}
	for _, s := range r.Sockets {
		if s.LocalPort < dtc.Absent || s.SendQueue < dtc.Absent || len(s.Owners) > maxPartOwners {
			t.Fatalf("impossible: %+v", s)
		}
		for _, o := range s.Owners {
			if o.PID < dtc.Absent || o.FD < dtc.Absent {
				t.Fatalf("impossible: %+v", s)
			}
		}
	}
	for _, d := range r.Disk {
		if d.TotalBytes < dtc.Absent || math.IsInf(d.UsedPercent, 0) {
			t.Fatalf("impossible: %+v", d)
		}
	}
	for _, s := range r.Services {
		checkTime(t, s.Since)
	}
	for _, u := range r.Users {
		checkTime(t, u.LoginAt)
	}
	for _, p := range r.Process {
		if p.PID < dtc.Absent || p.RSSBytes < dtc.Absent || math.IsInf(p.CPUPercent, 0) {
			t.Fatalf("impossible: %+v", p)
		}
		checkTime(t, p.StartedAt)
	}
	checkTime(t, r.CollectedAt)
	if r.Platform != nil {
		checkTime(t, r.Platform.BootTime)
	}
	if r.CPU != nil && (len(r.CPU.Percent) > maxRows || r.CPU.LogicalCores < dtc.Absent) {
		t.Fatalf("impossible: %+v", r.CPU)
	}
	if m := r.Memory; m != nil && (m.TotalBytes < dtc.Absent || m.SwapFreeBytes < dtc.Absent) {
		t.Fatalf("impossible: %+v", m)
	}
}

func checkTime(t *testing.T, at time.Time) {
	t.Helper()
	if _, err := json.Marshal(at); err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(at.UTC()); err != nil {
		t.Fatal(err)
	}
}

func sampleWatching() *dtc.Watching {
	return &dtc.Watching{
		Targets: []dtc.WatchTarget{{PID: 7, Known: dtc.ProcessID{PID: 7, Start: math.MaxUint64}, KnownBoot: "b"}, {PID: 8}},
		Rules: []dtc.ProcessRule{
			{
				Name: "web", Match: "nginx: master\xff", User: "root", Min: 1, Max: 4, RestartWithin: 10 * time.Second,
				Known: []dtc.ProcessID{{PID: 9, Start: 3}}, KnownBoot: "b",
			},
			{Name: "a", Exe: "/bin/a"},
			{Name: "b", PIDFile: "/run/b.pid"},
			{Name: "c", Unit: "c.service"},
			{Name: "d", Port: 65535},
		},
	}
}

func sampleSighting() *dtc.Sighting {
	return &dtc.Sighting{
		Run: "r", State: dtc.StateRestarted, Process: dtc.ProcessID{PID: 7, Start: 5}, Boot: "b", Name: "n\xff",
		Exit: dtc.Exit{Kind: dtc.ExitSignal, Number: 9, Core: true, OOM: true}, Lived: time.Hour, Age: time.Millisecond, AgeMost: time.Minute,
		Rule: "web", Count: 2, NewPID: 8, Gap: time.Second, Reason: "so",
		PostMortem: &dtc.PostMortem{CPU: 0, RSSBytes: 5, Threads: dtc.Absent, Descriptors: 3, PPID: 1, Parent: "init", Command: "n x", Sampled: dtc.Absent},
	}
}

func sampleMatches() []dtc.RuleMatches {
	return []dtc.RuleMatches{
		{PID: 4, Reason: "there is no such process"},
		{Rule: "a", Problem: "it does not say"},
		{Rule: "web", Total: 9, Matches: []dtc.Match{{ID: dtc.ProcessID{PID: 9, Start: 3}, User: "root", Name: "n", Command: "n \xff"}}},
	}
}

// checkWatching fails of what no watch can be.
func checkWatching(t *testing.T, want *dtc.Watching) {
	t.Helper()
	for _, target := range want.Targets {
		if target.PID <= 0 || target.Known.PID < 0 || len(target.KnownBoot) > maxShort {
			t.Fatalf("impossible: %+v", target)
		}
	}
	for _, r := range want.Rules {
		if r.Port < 0 || r.Port > 65535 || r.Min < 0 || r.Max < 0 || r.RestartWithin < 0 || len(r.Match) > maxCondition {
			t.Fatalf("impossible: %+v", r)
		}
	}
	if again, err := newWatching(want).watching(); err != nil || !reflect.DeepEqual(again, *want) {
		t.Fatalf("%+v became %+v, %v", *want, again, err)
	}
}

// FuzzMessages has both sides read whatever may come in the other messages.
func FuzzMessages(f *testing.F) {
	for _, m := range []proto.Message{
		newInfo(dtc.Info{Version: "1", Boot: "b", Run: "r"}),
		newWatching(sampleWatching()),
		newSighting(sampleSighting()),
		newCheck([]int{1, 2}, []string{"web"}),
		newPreview(sampleMatches()),
		newSelection(&dtc.Selection{PIDs: []int{1}, Users: []string{"u"}, Names: []string{"/^a/"}, Paths: []string{"/**"}, Ports: []int{80}, Sort: "-pid", Limit: 5}),
		&JoinMessage{Token: []byte("t"), Listen: []byte("127.0.0.1:1")},
		&JoinedMessage{Error: "e", ErrorKind: 7},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		if m := new(InfoMessage); proto.Unmarshal(b, m) == nil {
			if info := m.info(); len(info.Version)+len(info.Boot)+len(info.Run) > 3*maxShort {
				t.Fatal("too long")
			}
		}
		if m := new(WatchRequest); proto.Unmarshal(b, m) == nil {
			if want, err := m.watching(); err == nil {
				checkWatching(t, &want)
			}
		}
		if m := new(SightingMessage); proto.Unmarshal(b, m) == nil {
			s := m.sighting()
			if s.Age < 0 || s.Lived < dtc.Absent || s.Gap < 0 || s.Count < 0 || len(s.Name) > maxShort || len(s.State) > maxShort || s.Process.PID < 0 {
				t.Fatalf("impossible: %+v", s)
			}
			if again := newSighting(&s).sighting(); !reflect.DeepEqual(again, s) {
				t.Fatalf("%+v became %+v", s, again)
			}
		}
		if m := new(CheckRequest); proto.Unmarshal(b, m) == nil {
			pids, _, err := m.check()
			for _, pid := range pids {
				if err == nil && pid <= 0 {
					t.Fatalf("pid %d", pid)
				}
			}
		}
		if m := new(PreviewReply); proto.Unmarshal(b, m) == nil {
			if again := newPreview(m.matches()).matches(); !reflect.DeepEqual(again, m.matches()) {
				t.Fatalf("%+v became %+v", m.matches(), again)
			}
		}
		if m := new(SelectionMessage); proto.Unmarshal(b, m) == nil {
			checkSelection(t, m)
		}
		_ = readJoin(bytes.NewReader(b), new(JoinMessage))
		_ = readJoin(bytes.NewReader(b), new(JoinedMessage))
	})
}

// checkSelection has a selection judged for every status, and sent on.
func checkSelection(t *testing.T, m *SelectionMessage) {
	t.Helper()
	s, err := m.selection()
	if err != nil {
		return
	}
	if len(s.PIDs) > dtc.MaxSelected || len(s.Sort) > dtc.MaxSelectedText || s.Limit > maxAnswerRows {
		t.Fatalf("beyond the limits: %+v", s)
	}
	for _, status := range dtc.Statuses() {
		_ = s.Check(status.Status)
	}
	if again, err := newSelection(&s).selection(); err != nil || !reflect.DeepEqual(again, s) {
		t.Fatalf("%+v became %+v, %v", s, again, err)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[2J\u202e\xff\r\nb\u200b")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounds.Alloc(t, len(s))()
		got := clean(s)
		if !utf8.ValidString(got) || len(got) > 3*maxNote {
			t.Fatalf("clean(%q) = %q", s, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("clean(%q) = %q", s, got)
			}
		}
	})
}
