package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"dtc"
)

// EventText returns an event as a line to read, newline included, escaped.
func EventText(e *dtc.Event) []byte {
	line := e.Time.Local().Format(eventClock) + "  " + e.Host
	if e.Address != "" && e.Address != e.Host {
		line += " (" + e.Address + ")"
	}
	return append(AppendEscaped(nil, line+"  "+EventWhat(e)), '\n')
}

// EventWhat says in words what an event is, without when and where. It is not
// escaped.
func EventWhat(e *dtc.Event) string {
	switch e.Kind {
	case dtc.EventProcess:
		return processWhat(e)
	case dtc.EventLog:
		return logWhat(e)
	case dtc.EventNotify:
		return withReason("notice "+string(e.State), e.Reason)
	case dtc.EventHost:
		if e.State == dtc.StatePaused || e.State == dtc.StateResumed { // the monitor's own
			return withReason("recording "+string(e.State), e.Reason)
		}
	}
	return withReason("host "+string(e.State), e.Reason)
}

// eventClock is a time on this machine, to read.
const eventClock = "2006-01-02 15:04:05.000"

func processWhat(e *dtc.Event) string {
	what := processCalled(e) + " " + string(e.State)
	switch e.State {
	case dtc.StateDead:
		what += endWhat(e)
	case dtc.StateRestarted:
		what += fmt.Sprintf(" as [%d] after %s%s", e.NewPID, dtc.FormatLived(e.Gap), endWhat(e))
	case dtc.StateReplaced:
		what += fmt.Sprintf(" by [%d] after %s", e.NewPID, dtc.FormatLived(e.Gap))
	case dtc.StateCount, dtc.StateNormal:
		what += ": " + countWhat(e)
	case dtc.StateMissing:
		if e.Rule != "" {
			what += ": " + countWhat(e)
		}
	default:
	}
	return withReason(what, e.Reason)
}

// processCalled names the process or the rule that an event is of.
func processCalled(e *dtc.Event) string {
	switch {
	case e.PID == 0:
		return e.Rule
	case e.Name == "":
		return fmt.Sprintf("%sprocess[%d]", rulePrefix(e), e.PID)
	default:
		return fmt.Sprintf("%s%s[%d]", rulePrefix(e), e.Name, e.PID)
	}
}

func rulePrefix(e *dtc.Event) string {
	if e.Rule == "" {
		return ""
	}
	return e.Rule + ": "
}

func countWhat(e *dtc.Event) string {
	what := fmt.Sprintf("%d there, wanted %d", e.Count, e.Min)
	switch {
	case e.Max == 0:
		what += " or more"
	case e.Max > e.Min:
		what += fmt.Sprintf(" to %d", e.Max)
	}
	return what
}

func endWhat(e *dtc.Event) string {
	key, value := e.Exit.Field()
	what := fmt.Sprintf(": %s %s", strings.ReplaceAll(key, "_", " "), value)
	if e.Exit != nil && e.Exit.OOM {
		what += " (out of memory)"
	}
	if e.Exit != nil && e.Exit.Core {
		what += " (core dumped)"
	}
	what += ", lived " + dtc.FormatLived(e.Lived)
	switch {
	case !e.DiedAt.IsZero():
		what += ", died at " + e.DiedAt.Local().Format(eventClock)
	case !e.DiedBefore.IsZero() && e.DiedAfter.IsZero():
		what += ", died before " + e.DiedBefore.Local().Format(eventClock)
	case !e.DiedBefore.IsZero():
		what += fmt.Sprintf(", died between %s and %s", e.DiedAfter.Local().Format(eventClock), e.DiedBefore.Local().Format(eventClock))
	}
	return what
}

func logWhat(e *dtc.Event) string {
	what := "log"
	if e.Alias != "" {
		what += " " + e.Alias
	}
	what += " " + string(e.State)
	if e.From != nil {
		what += " from byte " + strconv.FormatInt(*e.From, 10)
		if e.To != nil {
			what += " to " + strconv.FormatInt(*e.To, 10)
		}
	}
	return withReason(what, e.Reason)
}

func withReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// eventRecord is an event in JSON: what it has depends on its kind.
type eventRecord struct {
	Time           string   `json:"time"`
	Host           string   `json:"host"`
	Address        string   `json:"address"`
	Kind           string   `json:"kind"`
	State          string   `json:"state"`
	PID            int      `json:"pid,omitempty"`
	Name           *string  `json:"name,omitempty"`
	Process        string   `json:"process,omitempty"`
	ExitCode       *int     `json:"exit_code,omitempty"`
	Signal         *int     `json:"signal,omitempty"`
	Exit           string   `json:"exit,omitempty"`
	OOM            bool     `json:"oom,omitempty"`
	Core           bool     `json:"core,omitempty"`
	Lived          string   `json:"lived,omitempty"`
	DiedAt         string   `json:"died_at,omitempty"`
	DiedAfter      string   `json:"died_after,omitempty"`
	DiedBefore     string   `json:"died_before,omitempty"`
	NewPID         int      `json:"new_pid,omitempty"`
	Gap            string   `json:"gap,omitempty"`
	Count          *int     `json:"count,omitempty"`
	Min            int      `json:"min,omitempty"`
	Max            int      `json:"max,omitempty"`
	CPUSeconds     *float64 `json:"cpu_seconds,omitempty"`
	RSSBytes       *int64   `json:"rss_bytes,omitempty"`
	Threads        *int64   `json:"threads,omitempty"`
	Descriptors    *int64   `json:"descriptors,omitempty"`
	SampledSeconds *float64 `json:"sampled_seconds,omitempty"`
	PPID           *int64   `json:"ppid,omitempty"`
	Parent         string   `json:"parent,omitempty"`
	Command        string   `json:"command,omitempty"`
	Alias          string   `json:"alias,omitempty"`
	From           *int64   `json:"from,omitempty"`
	To             *int64   `json:"to,omitempty"`
	Reason         string   `json:"reason,omitempty"`
	Changed        string   `json:"changed,omitempty"`
	Event          string   `json:"event"`
}

// eventTime is RFC 3339 with microseconds.
const eventTime = "2006-01-02T15:04:05.000000Z07:00"

// EventJSON returns an event as one object on a line.
func EventJSON(e *dtc.Event) []byte {
	r := eventRecord{
		Time: e.Time.UTC().Format(eventTime), Host: e.Host, Address: e.Address,
		Kind: string(e.Kind), State: string(e.State), PID: e.PID, Process: e.Rule,
		Alias: e.Alias, From: e.From, To: e.To, Reason: e.Reason, Event: e.ID,
	}
	switch {
	case e.Kind == dtc.EventProcess:
		r.setProcess(e)
	case e.State == dtc.StateChanged:
		r.Reason, r.Changed = "", e.Reason
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil // no field of it can fail
	}
	return EscapeJSON(buf.Bytes())
}

func (r *eventRecord) setProcess(e *dtc.Event) {
	if e.PID != 0 {
		r.Name = &e.Name
	}
	if e.NewPID != 0 {
		r.NewPID, r.Gap = e.NewPID, dtc.FormatLived(e.Gap)
	}
	switch e.State {
	case dtc.StateDead, dtc.StateRestarted:
		r.setEnd(e)
	case dtc.StateCount, dtc.StateNormal, dtc.StateMissing:
		if e.Rule != "" {
			r.Count, r.Min, r.Max = &e.Count, e.Min, e.Max
		}
	default:
	}
}

func (r *eventRecord) setEnd(e *dtc.Event) {
	switch {
	case e.Exit != nil && e.Exit.Kind == dtc.ExitCode:
		r.ExitCode = &e.Exit.Number
	case e.Exit != nil && e.Exit.Kind == dtc.ExitSignal:
		r.Signal = &e.Exit.Number
	default:
		r.Exit = "unknown"
	}
	if e.Exit != nil {
		r.OOM, r.Core = e.Exit.OOM, e.Exit.Core
	}
	r.Lived = dtc.FormatLived(e.Lived)
	r.DiedAt, r.DiedAfter, r.DiedBefore = utcTime(e.DiedAt), utcTime(e.DiedAfter), utcTime(e.DiedBefore)
	if p := e.PostMortem; p != nil {
		r.CPUSeconds, r.SampledSeconds = presentSeconds(p.CPU), presentSeconds(p.Sampled)
		r.RSSBytes, r.Threads = presentInt(p.RSSBytes), presentInt(int64(p.Threads))
		r.Descriptors, r.PPID = presentInt(int64(p.Descriptors)), presentInt(int64(p.PPID))
		r.Parent, r.Command = p.Parent, p.Command
	}
}

func utcTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(eventTime)
}

func presentInt(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func presentSeconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	// To the millisecond, as lines have it; Seconds would make 1.832 a sum that
	// is not quite that.
	seconds := float64(d.Round(time.Millisecond).Milliseconds()) / 1000
	return &seconds
}
