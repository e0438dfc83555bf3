package events

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// hostile draws texts as another machine may send them.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"", "nginx", "a b", "\n", "\x00", "\xff\xfe", "\u202e", `"`, `\`, "a=b", " event=x", "进程"}),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.IntRange(500, 5000), func(n int) string { return strings.Repeat("\x01", n) }),
	)
}

// moments are times as a line can hold them.
func moments() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.Int64Range(0, 1<<52), func(us int64) time.Time { return time.UnixMicro(us).UTC() })
}

// amounts are numbers that may be absent.
func amounts() *rapid.Generator[int64] {
	return rapid.Map(rapid.Int64(), func(n int64) int64 { return max(n, dtc.Absent) })
}

func times() *rapid.Generator[time.Duration] {
	return rapid.Map(amounts(), func(n int64) time.Duration { return time.Duration(n) })
}

// processEvents are all that the monitor may record of a process or a rule.
func processEvents() *rapid.Generator[dtc.Event] {
	return rapid.Custom(func(t *rapid.T) dtc.Event {
		e := dtc.Event{
			ID: rapid.StringMatching(`[0-9a-f]{4}-[0-9]{1,20}`).Draw(t, "id"), Time: moments().Draw(t, "time"),
			Host: hostile().Draw(t, "host"), Address: "10.0.0.7:7701", Kind: dtc.EventProcess, Reason: hostile().Draw(t, "reason"),
			State: rapid.SampledFrom([]dtc.State{
				dtc.StateAlive, dtc.StateDead, dtc.StateMissing, dtc.StateRestarted, dtc.StateCount, dtc.StateNormal, dtc.StateReplaced,
			}).Draw(t, "state"),
			Rule: hostile().Draw(t, "rule"),
		}
		if !hasCount(&e) || rapid.Bool().Draw(t, "with a pid") {
			e.PID, e.Name = rapid.IntMin(1).Draw(t, "pid"), hostile().Draw(t, "name")
		}
		if hasCount(&e) {
			e.Count, e.Min, e.Max = rapid.IntMin(0).Draw(t, "count"), rapid.IntMin(0).Draw(t, "min"), rapid.IntMin(0).Draw(t, "max")
		}
		if hasSuccessor(e.State) && rapid.Bool().Draw(t, "with a successor") {
			e.NewPID, e.Gap = rapid.IntMin(1).Draw(t, "new pid"), times().Draw(t, "gap")
		}
		if isEnd(e.State) {
			drawEnd(t, &e)
		}
		return e
	})
}

func drawEnd(t *rapid.T, e *dtc.Event) {
	e.Exit = &dtc.Exit{
		Kind: rapid.SampledFrom([]dtc.ExitKind{dtc.ExitUnknown, dtc.ExitCode, dtc.ExitSignal}).Draw(t, "exit"),
		Core: rapid.Bool().Draw(t, "core"), OOM: rapid.Bool().Draw(t, "oom"),
	}
	if e.Exit.Kind != dtc.ExitUnknown {
		e.Exit.Number = rapid.Int().Draw(t, "number")
	}
	e.Lived = times().Draw(t, "lived")
	switch rapid.IntRange(0, 3).Draw(t, "when") {
	case 1:
		e.DiedAt = moments().Draw(t, "died at")
	case 2:
		e.DiedAfter, e.DiedBefore = moments().Draw(t, "after"), moments().Draw(t, "before")
	case 3:
		e.DiedBefore = moments().Draw(t, "before")
	}
	if rapid.Bool().Draw(t, "post mortem") {
		e.PostMortem = &dtc.PostMortem{
			CPU: times().Draw(t, "cpu"), RSSBytes: amounts().Draw(t, "rss"), Threads: int(amounts().Draw(t, "threads")),
			Descriptors: int(amounts().Draw(t, "fds")), PPID: int(amounts().Draw(t, "ppid")), Sampled: times().Draw(t, "sampled"),
			Parent: hostile().Draw(t, "parent"), Command: hostile().Draw(t, "command"),
		}
	}
}

// Whatever is recorded is one line, within bounds, that says the same when it is
// read.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := processEvents().Draw(t, "event")
		if err := check(folder, port, &e); err != nil {
			t.Fatalf("%+v is refused: %v", e, err)
		}
		line := formatLine(&e, shanghai)
		if n := len(line); n > maxLine/2 || strings.Count(string(line), "\n") != 1 || line[n-1] != '\n' {
			t.Fatalf("a line of %d bytes: %q", n, line)
		}
		got, err := parseLine(line[:len(line)-1])
		if err != nil {
			t.Fatalf("%s%v", line, err)
		}
		if e.PostMortem != nil && len(e.PostMortem.Command) > maxCommand {
			t.Fatalf("a command of %d bytes", len(e.PostMortem.Command))
		}
		rounded(&e)
		normalize(&got)
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("written %+v %+v\nread    %+v %+v\nas %s", e, e.PostMortem, got, got.PostMortem, line)
		}
	})
}

// rounded makes of an event what its line can say.
func rounded(e *dtc.Event) {
	for _, d := range []*time.Duration{&e.Lived, &e.Gap} {
		*d, _ = parseLived(dtc.FormatLived(*d))
	}
	p := e.PostMortem
	if p == nil {
		return
	}
	for _, d := range []*time.Duration{&p.CPU, &p.Sampled} {
		if *d >= 0 {
			*d = time.Duration(d.Round(time.Millisecond).Milliseconds()) * time.Millisecond
		}
	}
	if *p == dtc.NoPostMortem() {
		e.PostMortem = nil // of which nothing is known
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "abc"},
		{"ab进程", 4, "ab"},
		{"ab进程", 5, "ab进"},
		{"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80"},
	} {
		if got := cut(c.text, c.limit); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}
