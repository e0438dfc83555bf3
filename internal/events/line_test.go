package events

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"dtc"
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

	for name, c := range map[string]struct {
		event dtc.Event
		want  string
	}{
		"alive":       {process("nginx"), `pid=812 name=nginx state=alive event=7f3a-101`},
		"missing":     {func() dtc.Event { e := process(""); e.State = dtc.StateMissing; return e }(), `pid=812 name="" state=missing event=7f3a-101`},
		"signal":      {dead(dtc.Exit{Kind: dtc.ExitSignal, Number: 9}, 26*time.Hour+14*time.Minute+2*time.Second+400*time.Millisecond), `pid=812 name=nginx state=dead signal=9 lived=26h14m2s event=7f3a-101`},
		"code 0":      {dead(dtc.Exit{Kind: dtc.ExitCode}, 0), `pid=812 name=nginx state=dead exit_code=0 lived=0s event=7f3a-101`},
		"windows":     {dead(dtc.Exit{Kind: dtc.ExitCode, Number: 0xC0000005}, time.Minute), `pid=812 name=nginx state=dead exit_code=3221225477 lived=1m0s event=7f3a-101`},
		"unknown":     {dead(dtc.Exit{}, dtc.Absent), `pid=812 name=nginx state=dead exit=unknown lived=unknown event=7f3a-101`},
		"late":        {late, `pid=812 name=nginx state=dead exit_code=3 lived=1.5s died_at=2026-11-22T06:00:00.500000+08:00 event=7f3a-101`},
		"space":       {process("a b"), `pid=812 name="a b" state=alive event=7f3a-101`},
		"quote":       {process(`a"b`), `pid=812 name="a\"b" state=alive event=7f3a-101`},
		"equals":      {process("a=b"), `pid=812 name="a=b" state=alive event=7f3a-101`},
		"backslash":   {process(`a\b`), `pid=812 name="a\\b" state=alive event=7f3a-101`},
		"newline":     {process("a\nb event=x"), `pid=812 name="a\nb event=x" state=alive event=7f3a-101`},
		"escape":      {process("\x1b[2J\x9b"), `pid=812 name="\x1b[2J\x9b" state=alive event=7f3a-101`},
		"not UTF-8":   {process("a\xffb"), `pid=812 name="a\xffb" state=alive event=7f3a-101`},
		"bidi":        {process("a\u202eb"), `pid=812 name="a\u202eb" state=alive event=7f3a-101`},
		"nbsp":        {process("a\u00a0b"), `pid=812 name="a\u00a0b" state=alive event=7f3a-101`},
		"letters":     {process("进程é\ufffd'`"), "pid=812 name=进程é\ufffd'` state=alive event=7f3a-101"},
		"unreachable": {unreachable, `state=unreachable reason="connection refused" event=m-1`},
		"rebooted":    {rebooted, `kind=host state=rebooted event=m-1`},
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
	e.Lived = got.Lived // which is rounded
	normalize(&e)
	normalize(&got)
	if !reflect.DeepEqual(got, e) {
		t.Errorf("read back as %+v, want %+v", got, e)
	}
}

func normalize(e *dtc.Event) {
	e.Time = e.Time.UTC()
	if !e.DiedAt.IsZero() {
		e.DiedAt = e.DiedAt.UTC()
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
	f.Add([]byte(start + `kind=log state=gap alias="" from=9223372036854775807 to=-1 reason="\u202e" event="\x00"`))
	f.Fuzz(func(t *testing.T, line []byte) {
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
