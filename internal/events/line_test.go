package events

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

var shanghai = time.FixedZone("", 8*3600)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func process(name string) dtc.Event {
	return dtc.Event{
		ID: "7f3a-101", Time: at("2026-11-21T23:15:01.123456Z"), Host: "web1", Address: "10.0.0.7:7701",
		Kind: dtc.EventProcess, State: dtc.StateAlive, PID: 812, Name: name,
	}
}

func dead(exit dtc.Exit, lived time.Duration) dtc.Event {
	e := process("nginx")
	e.State, e.Exit, e.Lived = dtc.StateDead, &exit, lived
	return e
}

const start = "2026-11-22T07:15:01.123456+08:00 host=web1 address=10.0.0.7:7701 "

func TestLines(t *testing.T) {
	late := dead(dtc.Exit{Kind: dtc.ExitCode, Number: 3}, 1500*time.Millisecond)
	late.DiedAt = at("2026-11-21T22:00:00.5Z")
	unreachable := dtc.Event{
		ID: "m-1", Time: process("").Time, Host: "web1", Address: "10.0.0.7:7701",
		Kind: dtc.EventHost, State: dtc.StateUnreachable, Reason: "connection refused",
	}
	rebooted := unreachable
	rebooted.State, rebooted.Reason = dtc.StateRebooted, ""
	gap := dtc.Event{
		ID: "s-9", Time: process("").Time, Host: "web1", Address: "10.0.0.7", Kind: dtc.EventLog,
		State: dtc.StateGap, Alias: "app log", From: new(int64(0)), To: new(int64(70)), Reason: "truncated",
	}
	openGap := gap
	openGap.To, openGap.Alias = nil, "app.log"

	stopped := unreachable
	stopped.State, stopped.Reason = dtc.StateStopped, "the agent was stopped on purpose"
	core := dead(dtc.Exit{Kind: dtc.ExitSignal, Number: 11, Core: true}, time.Minute)
	bounds := dead(dtc.Exit{}, dtc.Absent)
	bounds.DiedAfter, bounds.DiedBefore = at("2026-11-21T22:00:00.5Z"), at("2026-11-21T22:00:09Z")
	bounds.Reason = "the host rebooted"
	before := bounds
	before.DiedAfter, before.Reason = time.Time{}, ""

	for name, c := range map[string]struct {
		event dtc.Event
		want  string
	}{
		"core":           {core, `pid=812 name=nginx state=dead signal=11 core=true lived=1m0s event=7f3a-101`},
		"bounds":         {bounds, `pid=812 name=nginx state=dead exit=unknown lived=unknown died_after=2026-11-22T06:00:00.500000+08:00 died_before=2026-11-22T06:00:09.000000+08:00 reason="the host rebooted" event=7f3a-101`},
		"no lower bound": {before, `pid=812 name=nginx state=dead exit=unknown lived=unknown died_before=2026-11-22T06:00:09.000000+08:00 event=7f3a-101`},
		"stopped":        {stopped, `state=stopped reason="the agent was stopped on purpose" event=m-1`},
		"alive":          {process("nginx"), `pid=812 name=nginx state=alive event=7f3a-101`},
		"missing":        {func() dtc.Event { e := process(""); e.State = dtc.StateMissing; return e }(), `pid=812 name="" state=missing event=7f3a-101`},
		"signal":         {dead(dtc.Exit{Kind: dtc.ExitSignal, Number: 9}, 26*time.Hour+14*time.Minute+2*time.Second+400*time.Millisecond), `pid=812 name=nginx state=dead signal=9 lived=26h14m2s event=7f3a-101`},
		"code 0":         {dead(dtc.Exit{Kind: dtc.ExitCode}, 0), `pid=812 name=nginx state=dead exit_code=0 lived=0s event=7f3a-101`},
		"windows":        {dead(dtc.Exit{Kind: dtc.ExitCode, Number: 0xC0000005}, time.Minute), `pid=812 name=nginx state=dead exit_code=3221225477 lived=1m0s event=7f3a-101`},
		"unknown":        {dead(dtc.Exit{}, dtc.Absent), `pid=812 name=nginx state=dead exit=unknown lived=unknown event=7f3a-101`},
		"late":           {late, `pid=812 name=nginx state=dead exit_code=3 lived=1.5s died_at=2026-11-22T06:00:00.500000+08:00 event=7f3a-101`},
		"space":          {process("a b"), `pid=812 name="a b" state=alive event=7f3a-101`},
		"quote":          {process(`a"b`), `pid=812 name="a\"b" state=alive event=7f3a-101`},
		"equals":         {process("a=b"), `pid=812 name="a=b" state=alive event=7f3a-101`},
		"backslash":      {process(`a\b`), `pid=812 name="a\\b" state=alive event=7f3a-101`},
		"newline":        {process("a\nb event=x"), `pid=812 name="a\nb event=x" state=alive event=7f3a-101`},
		"escape":         {process("\x1b[2J\x9b"), `pid=812 name="\x1b[2J\x9b" state=alive event=7f3a-101`},
		"not UTF-8":      {process("a\xffb"), `pid=812 name="a\xffb" state=alive event=7f3a-101`},
		"bidi":           {process("a\u202eb"), `pid=812 name="a\u202eb" state=alive event=7f3a-101`},
		"nbsp":           {process("a\u00a0b"), `pid=812 name="a\u00a0b" state=alive event=7f3a-101`},
		"letters":        {process("进程é\ufffd'`"), "pid=812 name=进程é\ufffd'` state=alive event=7f3a-101"},
		"unreachable":    {unreachable, `state=unreachable reason="connection refused" event=m-1`},
		"rebooted":       {rebooted, `kind=host state=rebooted event=m-1`},
	} {
		t.Run(name, func(t *testing.T) { checkLine(t, c.event, start+c.want) })
	}
	t.Run("gap", func(t *testing.T) {
		checkLine(t, gap, `2026-11-22T07:15:01.123456+08:00 host=web1 address=10.0.0.7 kind=log state=gap alias="app log" from=0 to=70 reason=truncated event=s-9`)
	})
	t.Run("open gap", func(t *testing.T) {
		checkLine(t, openGap, `2026-11-22T07:15:01.123456+08:00 host=web1 address=10.0.0.7 kind=log state=gap alias=app.log from=0 reason=truncated event=s-9`)
	})
}

// ofRule is an event of a rule as a whole.
func ofRule(state dtc.State, count, least, most int) dtc.Event {
	e := process("")
	e.PID, e.Rule, e.State, e.Count, e.Min, e.Max = 0, "web", state, count, least, most
	return e
}

func TestRuleLines(t *testing.T) {
	alive := process("nginx")
	alive.Rule = "web tier"
	restarted := dead(dtc.Exit{Kind: dtc.ExitSignal, Number: 9, OOM: true}, 90*time.Second)
	restarted.State, restarted.Rule, restarted.NewPID, restarted.Gap = dtc.StateRestarted, "web", 900, 1234567*time.Microsecond
	restarted.DiedAt = at("2026-11-21T22:00:00.5Z")
	restarted.PostMortem = &dtc.PostMortem{
		CPU: 61500 * time.Millisecond, RSSBytes: 4096, Threads: 4, Descriptors: 12, PPID: 1, Parent: "systemd",
		Command: "nginx: master process", Sampled: 200 * time.Millisecond,
	}
	little := dtc.NoPostMortem()
	little.CPU, little.Parent = 0, "sh"
	known := dead(dtc.Exit{Kind: dtc.ExitCode, Number: 1}, time.Second)
	known.PostMortem = &little
	replaced := process("nginx")
	replaced.State, replaced.NewPID, replaced.Gap = dtc.StateReplaced, 813, 0
	missing := ofRule(dtc.StateMissing, 0, 1, 0)
	missing.Reason = "no such unit"

	for name, c := range map[string]struct {
		event dtc.Event
		want  string
	}{
		"alive":     {alive, `pid=812 name=nginx process="web tier" state=alive event=7f3a-101`},
		"missing":   {missing, `process=web state=missing count=0 min=1 reason="no such unit" event=7f3a-101`},
		"too few":   {ofRule(dtc.StateCount, 1, 2, 4), `process=web state=count count=1 min=2 max=4 event=7f3a-101`},
		"normal":    {ofRule(dtc.StateNormal, 3, 2, 0), `process=web state=normal count=3 min=2 event=7f3a-101`},
		"restarted": {restarted, `pid=812 name=nginx process=web state=restarted signal=9 oom=true lived=1m30s died_at=2026-11-22T06:00:00.500000+08:00 new_pid=900 gap=1.235s cpu_seconds=61.5 rss_bytes=4096 threads=4 descriptors=12 sampled_seconds=0.2 ppid=1 parent=systemd command="nginx: master process" event=7f3a-101`},
		"little":    {known, `pid=812 name=nginx state=dead exit_code=1 lived=1s cpu_seconds=0 parent=sh event=7f3a-101`},
		"replaced":  {replaced, `pid=812 name=nginx state=replaced new_pid=813 gap=0s event=7f3a-101`},
	} {
		t.Run(name, func(t *testing.T) { checkLine(t, c.event, start+c.want) })
	}
	undelivered := dtc.Event{
		ID: "n-1", Time: alive.Time, Host: "monitor", Address: "127.0.0.1", Kind: dtc.EventNotify,
		State: dtc.StateUndelivered, Reason: "ops: 3 events",
	}
	checkLine(t, undelivered, `2026-11-22T07:15:01.123456+08:00 host=monitor address=127.0.0.1 kind=notify state=undelivered reason="ops: 3 events" event=n-1`)
}

func checkLine(t *testing.T, e dtc.Event, want string) {
	t.Helper()
	line := string(formatLine(&e, shanghai))
	if line != want+"\n" {
		t.Errorf("line\n%swant\n%s", line, want)
	}
	got, err := parseLine([]byte(strings.TrimSuffix(line, "\n")))
	if err != nil {
		t.Fatalf("parse %s: %v", line, err)
	}
	if again := string(formatLine(&got, shanghai)); again != line {
		t.Errorf("read back and written again\n%swant\n%s", again, line)
	}
	e.Lived, e.Gap = got.Lived, got.Gap // which are rounded
	normalize(&e)
	normalize(&got)
	if !reflect.DeepEqual(got, e) {
		t.Errorf("read back as %+v, want %+v", got, e)
	}
}

func normalize(e *dtc.Event) {
	for _, t := range []*time.Time{&e.Time, &e.DiedAt, &e.DiedAfter, &e.DiedBefore} {
		if !t.IsZero() {
			*t = t.UTC()
		}
	}
}

func TestNoLines(t *testing.T) {
	for _, line := range []string{
		"",
		"garbage",
		"2026-11-22",
		"2026-11-22T07:15:01.123456+08:00",
		start,
		start + `pid=812 name=nginx state=alive`,
		start + `pid=812 name=nginx state=alive event=7f3a-101 `,
		start + `pid=812 name=nginx state=alive event=7f3a-101 x=1`,
		start + `pid=812 name=nginx state=alive event=`,
		start + `pid=812 name=nginx state=alive event=""`,
		start + `pid=812 name=nginx event=7f3a-101`,
		start + `pid=812 pid=813 name=nginx state=alive event=7f3a-101`,
		start + `pid=0 name=nginx state=alive event=7f3a-101`,
		start + `pid=x name=nginx state=alive event=7f3a-101`,
		start + `pid=812 name=a b state=alive event=7f3a-101`,
		start + `pid=812 name="a b state=alive event=7f3a-101`,
		start + `pid=812 name="a"b state=alive event=7f3a-101`,
		start + "pid=812 name=`a` state=alive event=7f3a-101\x00",
		start + `pid=812  name=nginx state=alive event=7f3a-101`,
		start + `pid=812 name=nginx state=dead lived=1s event=7f3a-101`,
		start + `pid=812 name=nginx state=dead exit_code=x lived=1s event=7f3a-101`,
		start + `pid=812 name=nginx state=dead exit_code=1 lived=-1s event=7f3a-101`,
		start + `kind=process state=alive event=7f3a-101`,
		start + `process=web state=alive event=7f3a-101`,
		start + `process=web state=dead exit=unknown lived=1s event=7f3a-101`,
		start + `process="" state=missing count=0 min=1 event=7f3a-101`,
		start + `process=web state=count count=-1 min=1 event=7f3a-101`,
		start + `process=web state=count count=99999999999999999999 min=1 event=7f3a-101`,
		start + `pid=812 name=nginx process=web state=restarted lived=1s new_pid=1 gap=1s event=7f3a-101`,
		start + `pid=812 name=nginx process=web state=restarted exit=unknown lived=1s new_pid=0 gap=1s event=7f3a-101`,
		start + `pid=812 name=nginx state=dead core=true signal=9 lived=1s event=7f3a-101`,
		start + `pid=812 name=nginx state=dead signal=9 core=yes lived=1s event=7f3a-101`,
		start + `pid=812 name=nginx state=dead signal=9 lived=1s died_after=then event=7f3a-101`,
		start + `pid=812 name=nginx state=dead signal=9 lived=1s cpu_seconds=-1 event=7f3a-101`,
		start + `pid=812 name=nginx state=dead signal=9 lived=1s cpu_seconds=1h event=7f3a-101`,
		start + `pid=812 name=nginx state=dead signal=9 lived=1s cpu_seconds=. event=7f3a-101`,
		start + `pid=812 name=nginx state=dead signal=9 lived=1s rss_bytes=1e9 event=7f3a-101`,
		"x" + start + `pid=812 name=nginx state=alive event=7f3a-101`,
		start + `pid=812 name=nginx state=alive event=7f3a-10` + start + `pid=1 name=x state=alive event=7`,
	} {
		if e, err := parseLine([]byte(line)); err == nil {
			t.Errorf("%q was read as %+v", line, e)
		}
	}
	if _, err := parseLine([]byte(start + `pid=812 later="what a later version knows" name=nginx state=alive event=1`)); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
}

// FuzzLine reads any line, and what it can read it writes and reads the same.
func FuzzLine(f *testing.F) {
	for _, name := range []string{"nginx", "a b", "a\nb", "\xff", "", "进程", `"`, "a=b"} {
		e := process(name)
		f.Add(formatLine(&e, time.UTC))
	}
	e := dead(dtc.Exit{Kind: dtc.ExitSignal, Number: 9}, time.Hour)
	e.DiedAt = e.Time
	f.Add(formatLine(&e, time.UTC))
	e.State, e.Rule, e.NewPID, e.PostMortem = dtc.StateRestarted, "web", 900, &dtc.PostMortem{Command: "\x1b[2J", Parent: "a b"}
	f.Add(formatLine(&e, time.UTC))
	e.DiedAt, e.DiedBefore = time.Time{}, e.Time
	f.Add(formatLine(&e, time.UTC))
	e = ofRule(dtc.StateCount, 1, 2, 3)
	f.Add(formatLine(&e, time.UTC))
	f.Add([]byte(start + `pid=1 name="" state=dead exit=x core=true signal=-9 lived=0s cpu_seconds=9223372036.854 sampled_seconds=0.0005 event=x`))
	f.Add([]byte(start + `kind=log state=gap alias="" from=9223372036854775807 to=-1 reason="\u202e" event="\x00"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		defer bounds.Alloc(t, len(line))()
		e, err := parseLine(line)
		if err != nil {
			return
		}
		first := formatLine(&e, time.UTC)
		if strings.Count(string(first), "\n") != 1 {
			t.Fatalf("no single line: %q", first)
		}
		again, err := parseLine(first[:len(first)-1])
		if err != nil {
			t.Fatalf("%q was written as %q, which is not read: %v", line, first, err)
		}
		if second := formatLine(&again, time.UTC); string(second) != string(first) {
			t.Fatalf("%q is written as %q and then as %q", line, first, second)
		}
	})
}

// FuzzName writes any name and reads the same.
func FuzzName(f *testing.F) {
	for _, name := range []string{"nginx", "a b", "a\nb", "\xff", "", "进程\ufffd", `"\`, "a=b"} {
		f.Add(name, name)
	}
	f.Fuzz(func(t *testing.T, name, host string) {
		defer bounds.Alloc(t, len(name)+len(host))()
		e := process(name)
		e.Host = host
		line := formatLine(&e, time.UTC)
		got, err := parseLine(line[:len(line)-1])
		if err != nil || got.Name != name || got.Host != host || got.ID != e.ID {
			t.Fatalf("%q %q is read back as %+v, %v", name, host, got, err)
		}
	})
}

func TestFileNames(t *testing.T) {
	for name, want := range map[string]bool{
		"10.0.0.7_7701_process_2026-11-22.log":  true,
		"10.0.0.7_65536_process_2026-11-22.log": false,
		"10.0.0.7_0_process_2026-11-22.log":     false,
		"10.0.0.7_7701_process_2026-13-22.log":  false,
		"10.0.0.7__process_2026-11-22.log":      false,
		"10.0.0.8_7701_process_2026-11-22.log":  false,
		".10.0.0.7_events_2026-11-22.log":       true,
		"10.0.0.7_events_2026-11-22.log":        false,
		".app.log.dtc":                          false,
		"app.log":                               false,
		"2026-11-22.log":                        false,
	} {
		if f, ok := parseName("10.0.0.7", name); ok != want || ok && f.date != "2026-11-22" {
			t.Errorf("%s: %+v, %v", name, f, ok)
		}
	}
}
