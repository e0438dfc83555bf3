package events

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dtc"
)

// timeLayout is RFC 3339 with microseconds and offset.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// Bounds on what a line holds, in bytes. Texts come from other machines; what is
// longer is cut.
const (
	maxText    = 4096
	maxCommand = 512
	maxID      = 256
	maxLine    = 256 << 10 // of what is read: a longer line is none of ours
)

// formatLine returns an event as its line, newline included: logfmt, the time
// first, event= last, and between them in this order what belongs to the event.
//
//	TIME host= address= [pid= name=] [process=] state= [END] [new_pid= gap=] [count= min= [max=]] [POST] [reason=] event=
//	TIME host= address= state= [reason=] event=
//	TIME host= address= kind= state= [alias= from= to= reason=] event=
//
// where END, of a process that is dead or was restarted, is
//
//	exit_code=|signal=|exit= [core=true] [oom=true] lived= [died_at= | died_after= died_before=]
//
// and POST, of the same, as much as is known of
//
//	cpu_seconds= rss_bytes= threads= descriptors= sampled_seconds= ppid= parent= command=
//
// The second is a host that came up or went, in a process log; the third is
// everything that stands in no process log, and names its kind.
func formatLine(e *dtc.Event, zone *time.Location) []byte {
	b := e.Time.In(zone).AppendFormat(nil, timeLayout)
	b = appendField(b, "host", e.Host)
	b = appendField(b, "address", e.Address)
	switch {
	case e.Kind == dtc.EventProcess:
		b = appendProcess(b, e, zone)
	case inProcessLog(e):
		b = appendField(b, "state", string(e.State))
	default:
		b = appendField(b, "kind", string(e.Kind))
		b = appendField(b, "state", string(e.State))
		b = appendPresent(b, "alias", e.Alias)
		b = appendPosition(b, "from", e.From)
		b = appendPosition(b, "to", e.To)
	}
	b = appendPresent(b, "reason", e.Reason)
	b = appendField(b, "event", e.ID)
	return append(b, '\n')
}

func appendProcess(b []byte, e *dtc.Event, zone *time.Location) []byte {
	if e.PID != 0 {
		b = appendNumber(b, "pid", int64(e.PID))
		b = appendField(b, "name", e.Name)
	}
	b = appendPresent(b, "process", e.Rule)
	b = appendField(b, "state", string(e.State))
	if isEnd(e.State) {
		b = appendEnd(b, e, zone)
	}
	if e.NewPID != 0 && hasSuccessor(e.State) {
		b = appendNumber(b, "new_pid", int64(e.NewPID))
		b = appendField(b, "gap", dtc.FormatLived(e.Gap))
	}
	if hasCount(e) {
		b = appendNumber(b, "count", int64(e.Count))
		b = appendNumber(b, "min", int64(e.Min))
		if e.Max != 0 {
			b = appendNumber(b, "max", int64(e.Max))
		}
	}
	if e.PostMortem != nil && isEnd(e.State) {
		b = appendPostMortem(b, e.PostMortem)
	}
	return b
}

// isEnd says whether a state of a process is its end.
func isEnd(state dtc.State) bool { return state == dtc.StateDead || state == dtc.StateRestarted }

// hasSuccessor says whether a state of a process tells who came after it.
func hasSuccessor(state dtc.State) bool {
	return state == dtc.StateRestarted || state == dtc.StateReplaced
}

// isOfRule says whether a state is that of a rule and not of one process.
func isOfRule(state dtc.State) bool {
	return state == dtc.StateMissing || state == dtc.StateCount || state == dtc.StateNormal
}

// hasCount says whether an event tells how many processes a rule has.
func hasCount(e *dtc.Event) bool { return e.Rule != "" && isOfRule(e.State) }

func appendEnd(b []byte, e *dtc.Event, zone *time.Location) []byte {
	key, value := e.Exit.Field()
	b = appendField(b, key, value)
	if e.Exit != nil && e.Exit.Core {
		b = appendField(b, "core", "true")
	}
	if e.Exit != nil && e.Exit.OOM {
		b = appendField(b, "oom", "true")
	}
	b = appendField(b, "lived", dtc.FormatLived(e.Lived))
	if !e.DiedAt.IsZero() {
		return appendTime(b, "died_at", e.DiedAt.In(zone))
	}
	b = appendTime(b, "died_after", e.DiedAfter.In(zone))
	return appendTime(b, "died_before", e.DiedBefore.In(zone))
}

func appendPostMortem(b []byte, p *dtc.PostMortem) []byte {
	b = appendSeconds(b, "cpu_seconds", p.CPU)
	b = appendKnown(b, "rss_bytes", p.RSSBytes)
	b = appendKnown(b, "threads", int64(p.Threads))
	b = appendKnown(b, "descriptors", int64(p.Descriptors))
	b = appendSeconds(b, "sampled_seconds", p.Sampled)
	b = appendKnown(b, "ppid", int64(p.PPID))
	b = appendPresent(b, "parent", p.Parent)
	return appendPresent(b, "command", p.Command)
}

func appendTime(b []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendField(b, key, t.Format(timeLayout))
}

func appendNumber(b []byte, key string, n int64) []byte {
	return appendField(b, key, strconv.FormatInt(n, 10))
}

// appendKnown leaves out what is absent.
func appendKnown(b []byte, key string, n int64) []byte {
	if n < 0 {
		return b
	}
	return appendNumber(b, key, n)
}

// appendSeconds writes a time in seconds, to the millisecond; what is absent it
// leaves out.
func appendSeconds(b []byte, key string, d time.Duration) []byte {
	if d < 0 {
		return b
	}
	ms := d.Round(time.Millisecond).Milliseconds()
	text := strconv.FormatInt(ms/1000, 10)
	if rest := ms % 1000; rest != 0 {
		text += "." + strings.TrimRight(strconv.FormatInt(1000+rest, 10)[1:], "0")
	}
	return appendField(b, key, text)
}

func appendPresent(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendField(b, key, value)
}

func appendPosition(b []byte, key string, position *int64) []byte {
	if position == nil {
		return b
	}
	return appendNumber(b, key, *position)
}

func appendField(b []byte, key, value string) []byte {
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	if plain(value) {
		return append(b, value...)
	}
	return strconv.AppendQuote(b, value)
}

// plain says whether a value stands unquoted: it is not empty and all
// printable, without space, quote, = and backslash.
func plain(value string) bool {
	for i, r := range value {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(value[i:]); size == 1 {
				return false // no UTF-8
			}
		}
		if r == ' ' || r == '"' || r == '=' || r == '\\' || !strconv.IsPrint(r) {
			return false
		}
	}
	return value != ""
}
