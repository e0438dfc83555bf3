package wire

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"dtc"
)

// fields copies single values into a message or out of it. As with columns,
// one function that names the fields serves both directions.
type fields struct {
	decode bool // from the message, else into it
}

func (f fields) int(m **int64, v *int) {
	n := int64(*v)
	f.size(m, &n)
	*v = int(n)
}

func (f fields) size(m **int64, v *int64) {
	switch {
	case f.decode && *m != nil:
		*v = max(**m, dtc.Absent)
	case f.decode:
		*v = dtc.Absent
	case *v != dtc.Absent:
		*m = new(*v)
	}
}

func (f fields) float(m **float64, v *float64) {
	switch {
	case f.decode && *m != nil:
		*v = finite(**m)
	case f.decode:
		*v = dtc.AbsentFloat()
	case !math.IsNaN(*v):
		*m = new(*v)
	}
}

func (f fields) text(m *[]byte, v *string) {
	if f.decode {
		*v = cut(*m, maxNote)
		return
	}
	*m = []byte((*v)[:min(len(*v), maxNote)])
}

func (f fields) time(m **TimeMessage, v *time.Time) {
	if f.decode {
		*v = (*m).time()
		return
	}
	*m = newTime(*v)
}

// cut returns b as a string of at most n bytes.
func cut(b []byte, n int) string { return string(b[:min(len(b), n)]) }

// The times that can be written as RFC 3339 in any zone.
const (
	minSeconds = -62135510400 // 0001-01-02
	maxSeconds = 253402214400 // 9999-12-31
	maxOffset  = 24 * 60 * 60 // seconds east or west of UTC
)

func newTime(t time.Time) *TimeMessage {
	if t.IsZero() {
		return nil
	}
	name, offset := t.Zone()
	return &TimeMessage{
		Seconds: t.Unix(), Nanos: uint32(t.Nanosecond()),
		Zone: &ZoneMessage{OffsetSeconds: int32(offset), Abbreviation: []byte(name)},
	}
}

// time returns the zero time for one that is not there or cannot be.
func (m *TimeMessage) time() time.Time {
	if m == nil || m.Seconds < minSeconds || m.Seconds > maxSeconds || m.Nanos >= 1e9 {
		return time.Time{}
	}
	return time.Unix(m.Seconds, int64(m.Nanos)).In(m.Zone.location())
}

func (m *ZoneMessage) location() *time.Location {
	if m == nil || m.OffsetSeconds <= -maxOffset || m.OffsetSeconds >= maxOffset {
		return time.UTC
	}
	return time.FixedZone(cut(m.Abbreviation, 32), int(m.OffsetSeconds))
}

func newInfo(info dtc.Info) *InfoMessage {
	return &InfoMessage{Version: []byte(info.Version), Boot: []byte(info.Boot), Run: []byte(info.Run)}
}

func (m *InfoMessage) info() dtc.Info {
	return dtc.Info{Version: cut(m.Version, maxShort), Boot: cut(m.Boot, maxShort), Run: cut(m.Run, maxShort)}
}

func newTargets(targets []dtc.WatchTarget) *WatchRequest {
	m := &WatchRequest{Targets: make([]*TargetMessage, len(targets))}
	for i, t := range targets {
		m.Targets[i] = &TargetMessage{Pid: int64(t.PID), KnownBoot: []byte(t.KnownBoot)}
		if t.Known != (dtc.ProcessID{}) {
			m.Targets[i].Known = newProcess(t.Known)
		}
	}
	return m
}

func (m *WatchRequest) targets() ([]dtc.WatchTarget, error) {
	if len(m.Targets) > maxTargets {
		return nil, invalid("%d processes to watch, at most %d are possible", len(m.Targets), maxTargets)
	}
	targets := make([]dtc.WatchTarget, len(m.Targets))
	for i, t := range m.Targets {
		if t.Pid <= 0 {
			return nil, invalid("watch pid %d: not a pid", t.Pid)
		}
		targets[i] = dtc.WatchTarget{PID: int(t.Pid), Known: t.Known.id(), KnownBoot: cut(t.KnownBoot, maxShort)}
	}
	return targets, nil
}

func (m *CheckRequest) pids() ([]int, error) {
	if len(m.Pids) > maxTargets {
		return nil, invalid("%d processes to check, at most %d are possible", len(m.Pids), maxTargets)
	}
	pids := make([]int, len(m.Pids))
	for i, pid := range m.Pids {
		if pid <= 0 {
			return nil, invalid("check pid %d: not a pid", pid)
		}
		pids[i] = int(pid)
	}
	return pids, nil
}

func invalid(format string, args ...any) error {
	return &dtc.Error{Kind: dtc.KindInvalid, Err: fmt.Errorf(format, args...)}
}

func newProcess(id dtc.ProcessID) *ProcessMessage {
	return &ProcessMessage{Pid: int64(id.PID), Start: id.Start}
}

func (m *ProcessMessage) id() dtc.ProcessID {
	return dtc.ProcessID{PID: int(max(m.GetPid(), 0)), Start: m.GetStart()}
}

func newSighting(s *dtc.Sighting) *SightingMessage {
	m := &SightingMessage{
		Run: []byte(s.Run), Number: s.Number, State: []byte(s.State), Process: newProcess(s.Process),
		Boot: []byte(s.Boot), Name: []byte(s.Name), LivedNanos: int64(s.Lived), AgeNanos: int64(s.Age),
	}
	switch s.Exit.Kind {
	case dtc.ExitCode:
		m.Exit = &ExitMessage{How: &ExitMessage_Code{Code: int64(s.Exit.Number)}}
	case dtc.ExitSignal:
		m.Exit = &ExitMessage{How: &ExitMessage_Signal{Signal: int64(s.Exit.Number)}}
	case dtc.ExitUnknown:
	}
	return m
}

func (m *SightingMessage) sighting() (dtc.Sighting, error) {
	s := dtc.Sighting{
		Run: cut(m.Run, maxShort), Number: m.Number, State: dtc.State(cut(m.State, maxShort)), Process: m.Process.id(),
		Boot: cut(m.Boot, maxShort), Name: cut(m.Name, maxShort),
		Lived: time.Duration(max(m.LivedNanos, dtc.Absent)), Age: span(m.AgeNanos),
	}
	switch how := m.Exit.GetHow().(type) {
	case *ExitMessage_Code:
		s.Exit = dtc.Exit{Kind: dtc.ExitCode, Number: int(how.Code)}
	case *ExitMessage_Signal:
		s.Exit = dtc.Exit{Kind: dtc.ExitSignal, Number: int(how.Signal)}
	}
	switch s.State {
	case dtc.StateAlive, dtc.StateDead, dtc.StateMissing:
		return s, nil
	default:
		return s, fmt.Errorf("%w: a process in the state %q", errMalformed, s.State)
	}
}

// span returns a time that a peer has measured, within limits that a sum of two
// stays clear of the type's.
func span(nanos int64) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	return min(max(time.Duration(nanos), 0), century)
}

// clean makes one bounded line of what a peer said, without anything that a
// terminal would obey.
func clean(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxNote)], "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
