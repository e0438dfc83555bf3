package watch

import (
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"dtc"
	"dtc/internal/proc"
)

// journalVersion is that of the format. A file of another one is not read.
const journalVersion = 1

// record is one line of the journal. Head stands alone and first; Done ends
// what belongs together; Forget drops a session; every other is of the session
// of Asker.
type record struct {
	Head   *headRecord `json:"head,omitempty"`
	Done   bool        `json:"done,omitempty"`
	Forget text        `json:"forget,omitempty"`

	Asker    text          `json:"asker,omitempty"`
	Session  *leftRecord   `json:"session,omitempty"`
	Target   *targetRecord `json:"target,omitempty"`
	Untarget []int         `json:"untarget,omitempty"` // pids that are watched no longer, or not yet there
	Rule     *ruleRecord   `json:"rule,omitempty"`
	Unrule   text          `json:"unrule,omitempty"` // name of a rule that there is no longer
	Kept     *keptRecord   `json:"kept,omitempty"`
	Dropped  *markRecord   `json:"dropped,omitempty"`
}

// headRecord says in which boot a run of the agent began, and when, before it
// looked at any process: whatever is held in its files lived then or later.
type headRecord struct {
	Version   int   `json:"version"`
	Boot      text  `json:"boot"`
	SinceBoot int64 `json:"since_boot_ns"`
	Wall      int64 `json:"wall_ns"` // since 1970
}

// leftRecord says when the last call of a session ended.
type leftRecord struct {
	Left int64 `json:"left_ns"` // since 1970; 0: there is one
}

// targetRecord is a pid that is watched, or whose end was told.
type targetRecord struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Boot  text   `json:"boot,omitempty"` // "": the head's
	Name  text   `json:"name,omitempty"`
	Ended bool   `json:"ended,omitempty"`
}

// ruleRecord is a rule and what it remembers.
type ruleRecord struct {
	Name          text       `json:"name"`
	Match         text       `json:"match,omitempty"`
	Exe           text       `json:"exe,omitempty"`
	PIDFile       text       `json:"pidfile,omitempty"`
	Unit          text       `json:"unit,omitempty"`
	Port          int        `json:"port,omitempty"`
	User          text       `json:"user,omitempty"`
	Min           int        `json:"min,omitempty"`
	Max           int        `json:"max,omitempty"`
	RestartWithin int64      `json:"restart_within_ns,omitempty"`
	Memory        ruleMemory `json:"memory"`
}

// markRecord names a kept sighting: all up to it are dropped.
type markRecord struct {
	Run    text   `json:"run"`
	Number uint64 `json:"number"`
}

// keptRecord is a sighting that is kept until it is acknowledged.
type keptRecord struct {
	Run    text   `json:"run"`
	Number uint64 `json:"number"`
	State  text   `json:"state"`
	PID    int    `json:"pid,omitempty"`
	Start  uint64 `json:"start,omitempty"`
	Boot   text   `json:"boot,omitempty"` // "": the head's
	Name   text   `json:"name,omitempty"`

	Code   *int `json:"exit_code,omitempty"`
	Signal *int `json:"signal,omitempty"`
	Core   bool `json:"core,omitempty"`
	OOM    bool `json:"oom,omitempty"`

	Rule   text  `json:"rule,omitempty"`
	Count  int   `json:"count,omitempty"`
	NewPID int   `json:"new_pid,omitempty"`
	Gap    int64 `json:"gap_ns,omitempty"`
	Reason text  `json:"reason,omitempty"`
	Lived  int64 `json:"lived_ns,omitempty"`

	At    int64       `json:"at_ns"`              // since the boot of the head, when it happened
	Width int64       `json:"width_ns,omitempty"` // where nobody saw it: at most so long before
	Wall  int64       `json:"wall_ns"`            // the same as At, since 1970
	Post  *postRecord `json:"post_mortem,omitempty"`
}

// postRecord is a [dtc.PostMortem].
type postRecord struct {
	CPU         int64 `json:"cpu_ns"`
	RSS         int64 `json:"rss_bytes"`
	Threads     int   `json:"threads"`
	Descriptors int   `json:"descriptors"`
	PPID        int   `json:"ppid"`
	Parent      text  `json:"parent,omitempty"`
	Command     text  `json:"command,omitempty"`
	Sampled     int64 `json:"sampled_ns"`
}

// text is text of a host: any bytes. What is not UTF-8 stands in the journal as
// a list of one item, its base64.
type text string

// MarshalJSON implements [json.Marshaler].
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal([][]byte{[]byte(t)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var list [][]byte
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		if len(list) != 1 {
			return errors.New("a text of bytes is a list of one item")
		}
		*t = text(list[0])
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// newKeptRecord is how an entry stands in a file of this boot.
func newKeptRecord(e *entry, boot string, clock clock) *keptRecord {
	s := &e.sighting
	r := &keptRecord{
		Run: text(s.Run), Number: s.Number, State: text(s.State), PID: s.Process.PID, Start: s.Process.Start,
		Boot: otherThan(boot, s.Boot), Name: text(s.Name), Core: s.Exit.Core, OOM: s.Exit.OOM,
		Rule: text(s.Rule), Count: s.Count, NewPID: s.NewPID, Gap: int64(s.Gap), Reason: text(s.Reason), Lived: int64(s.Lived),
		At: int64(e.at), Wall: clock.wall(e.at).UnixNano(), Post: newPostRecord(s.PostMortem),
	}
	if e.since != 0 {
		r.Width = max(1, int64(e.at-e.since))
	}
	switch s.Exit.Kind {
	case dtc.ExitCode:
		r.Code = &s.Exit.Number
	case dtc.ExitSignal:
		r.Signal = &s.Exit.Number
	case dtc.ExitUnknown:
	}
	return r
}

// otherThan returns a boot's id, "" if it is the one that goes without saying.
func otherThan(usual, boot string) text {
	if boot == usual {
		return ""
	}
	return text(boot)
}

// or returns the boot's id that t stands for.
func (t text) or(usual text) string {
	if t == "" {
		return string(usual)
	}
	return string(t)
}

// entry is newKeptRecord's reverse, from a file of the boot head. Where that is
// not this boot, the clock on the wall says how long ago it happened: before
// this boot, in any case.
func (r *keptRecord) entry(head *headRecord, boot string, clock clock) entry {
	e := entry{at: time.Duration(r.At), sighting: dtc.Sighting{
		Run: string(r.Run), Number: r.Number, State: dtc.State(r.State),
		Process: dtc.ProcessID{PID: r.PID, Start: r.Start}, Boot: r.Boot.or(head.Boot), Name: string(r.Name),
		Exit: dtc.Exit{Core: r.Core, OOM: r.OOM},
		Rule: string(r.Rule), Count: r.Count, NewPID: r.NewPID, Gap: time.Duration(r.Gap), Reason: string(r.Reason),
		Lived: time.Duration(r.Lived), PostMortem: r.Post.postMortem(),
	}}
	switch {
	case r.Code != nil:
		e.sighting.Exit.Kind, e.sighting.Exit.Number = dtc.ExitCode, *r.Code
	case r.Signal != nil:
		e.sighting.Exit.Kind, e.sighting.Exit.Number = dtc.ExitSignal, *r.Signal
	}
	if string(head.Boot) != boot {
		e.at = min(0, clock.at(time.Unix(0, r.Wall)))
	}
	e.at = max(-noBound, min(e.at, clock.now))
	if r.Width > 0 {
		e.since = notZero(max(e.at-time.Duration(r.Width), -noBound))
	}
	return e
}

func newPostRecord(p *dtc.PostMortem) *postRecord {
	if p == nil {
		return nil
	}
	return &postRecord{
		CPU: int64(p.CPU), RSS: p.RSSBytes, Threads: p.Threads, Descriptors: p.Descriptors, PPID: p.PPID,
		Parent: text(p.Parent), Command: text(p.Command), Sampled: int64(p.Sampled),
	}
}

func (r *postRecord) postMortem() *dtc.PostMortem {
	if r == nil {
		return nil
	}
	return &dtc.PostMortem{
		CPU: time.Duration(r.CPU), RSSBytes: r.RSS, Threads: r.Threads, Descriptors: r.Descriptors, PPID: r.PPID,
		Parent: string(r.Parent), Command: string(r.Command), Sampled: time.Duration(r.Sampled),
	}
}

func newRuleRecord(r *rule) *ruleRecord {
	s := &r.spec
	return &ruleRecord{
		Name: text(s.Name), Match: text(s.Match), Exe: text(s.Exe), PIDFile: text(s.PIDFile), Unit: text(s.Unit), Port: s.Port,
		User: text(s.User), Min: s.Min, Max: s.Max, RestartWithin: int64(s.RestartWithin), Memory: r.memory(),
	}
}

func (r *ruleRecord) spec() dtc.ProcessRule {
	return dtc.ProcessRule{
		Name: string(r.Name), Match: string(r.Match), Exe: string(r.Exe), PIDFile: string(r.PIDFile), Unit: string(r.Unit), Port: r.Port,
		User: string(r.User), Min: r.Min, Max: r.Max, RestartWithin: time.Duration(r.RestartWithin),
	}
}

// clock is one moment on both clocks.
type clock struct {
	now   time.Duration // since boot
	today time.Time
}

func readClock() clock { return clock{now: proc.SinceBoot(), today: time.Now()} }

// before is the moment so long before.
func (c clock) before(d time.Duration) clock {
	return clock{now: c.now - d, today: c.today.Add(-d)}
}

// wall is when something was, on the clock on the wall.
func (c clock) wall(at time.Duration) time.Time { return c.today.Add(at - c.now) }

// at is wall's reverse, since boot.
func (c clock) at(wall time.Time) time.Duration { return c.now - c.today.Sub(wall) }
