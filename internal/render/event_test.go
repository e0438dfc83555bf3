package render

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dtc"
)

func TestEventWhat(t *testing.T) {
	at := time.Date(2026, 11, 22, 7, 15, 1, 0, time.Local)
	killed := &dtc.Exit{Kind: dtc.ExitSignal, Number: 9, OOM: true}
	dumped := &dtc.Exit{Kind: dtc.ExitSignal, Number: 11, Core: true}
	for _, c := range []struct {
		event dtc.Event
		want  string
	}{
		{dtc.Event{PID: 7, Name: "nginx", State: dtc.StateAlive}, "nginx[7] alive"},
		{dtc.Event{PID: 7, State: dtc.StateMissing}, "process[7] missing"},
		{
			dtc.Event{PID: 7, Name: "nginx", State: dtc.StateDead, Exit: killed, Lived: time.Hour, DiedAt: at},
			"nginx[7] dead: signal 9 (out of memory), lived 1h0m0s, died at 2026-11-22 07:15:01.000",
		},
		{
			dtc.Event{PID: 7, Name: "a", State: dtc.StateDead, Exit: &dtc.Exit{}, Lived: dtc.Absent, DiedAfter: at, DiedBefore: at.Add(time.Second)},
			"a[7] dead: exit unknown, lived unknown, died between 2026-11-22 07:15:01.000 and 2026-11-22 07:15:02.000",
		},
		{
			dtc.Event{PID: 7, Name: "a", State: dtc.StateDead, Lived: dtc.Absent, DiedBefore: at, Reason: "the host rebooted"},
			"a[7] dead: exit unknown, lived unknown, died before 2026-11-22 07:15:01.000: the host rebooted",
		},
		{
			dtc.Event{PID: 7, Name: "a", Rule: "web", State: dtc.StateRestarted, NewPID: 9, Gap: time.Second, Exit: dumped, Lived: time.Minute},
			"web: a[7] restarted as [9] after 1s: signal 11 (core dumped), lived 1m0s",
		},
		{dtc.Event{PID: 7, Name: "a", State: dtc.StateReplaced, NewPID: 9, Gap: time.Second}, "a[7] replaced by [9] after 1s"},
		{dtc.Event{Rule: "web", State: dtc.StateMissing, Min: 1, Reason: "no such unit"}, "web missing: 0 there, wanted 1 or more: no such unit"},
		{dtc.Event{Rule: "web", State: dtc.StateCount, Count: 5, Min: 1, Max: 4}, "web count: 5 there, wanted 1 to 4"},
		{dtc.Event{Rule: "web", State: dtc.StateNormal, Count: 4, Min: 4, Max: 4}, "web normal: 4 there, wanted 4"},
	} {
		c.event.Kind = dtc.EventProcess
		if got := EventWhat(&c.event); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.event, got, c.want)
		}
	}
	undelivered := dtc.Event{Kind: dtc.EventNotify, State: dtc.StateUndelivered, Reason: "to ops"}
	if got := EventWhat(&undelivered); got != "notice undelivered: to ops" {
		t.Errorf("%s", got)
	}
}

func TestEventIsEscaped(t *testing.T) {
	e := dtc.Event{Kind: dtc.EventProcess, State: dtc.StateAlive, PID: 1, Name: "\x1b[2J\u202e", Host: "h\n", Address: "a"}
	if got := string(EventText(&e)); strings.ContainsAny(strings.TrimSuffix(got, "\n"), "\x1b\u202e\n") {
		t.Errorf("%q", got)
	}
}

func TestEventJSON(t *testing.T) {
	e := dtc.Event{
		Kind: dtc.EventProcess, State: dtc.StateRestarted, PID: 1, Name: "", Rule: "web", NewPID: 2, Gap: 1500 * time.Millisecond,
		Exit: &dtc.Exit{Kind: dtc.ExitCode, Core: true}, Lived: time.Hour, DiedBefore: time.Unix(1, 0),
		PostMortem: &dtc.PostMortem{CPU: 0, RSSBytes: 4096, Threads: 3, Descriptors: dtc.Absent, PPID: 1, Parent: "init", Command: "x", Sampled: 1_832_100 * time.Microsecond},
	}
	var got map[string]any
	if err := json.Unmarshal(EventJSON(&e), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"process": "web", "name": "", "new_pid": 2.0, "gap": "1.5s", "exit_code": 0.0, "core": true, "lived": "1h0m0s", "cpu_seconds": 0.0, "rss_bytes": 4096.0,
		"threads": 3.0, "ppid": 1.0, "parent": "init", "command": "x", "sampled_seconds": 1.832, "died_before": "1970-01-01T00:00:01.000000Z",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	for _, key := range []string{"descriptors", "died_after", "died_at", "oom", "signal", "count"} {
		if _, ok := got[key]; ok {
			t.Errorf("%s is there: %v", key, got[key])
		}
	}
	missing := dtc.Event{Kind: dtc.EventProcess, State: dtc.StateMissing, Rule: "web", Min: 1}
	if text := string(EventJSON(&missing)); !strings.Contains(text, `"process":"web","count":0,"min":1`) || strings.Contains(text, "pid") || strings.Contains(text, "name") {
		t.Errorf("%s", text)
	}
}
