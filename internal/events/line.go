package events

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dtc"
)

// timeLayout is RFC 3339 with microseconds and offset.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// Bounds on what a line holds. Texts come from other machines; what is longer
// is cut.
const (
	maxText = 4096
	maxID   = 256
	maxLine = 256 << 10 // of what is read: a longer line is none of ours
)

// formatLine returns an event as its line, newline included: logfmt, the time
// first, event= last, and between them in this order what belongs to the event.
//
//	TIME host= address= pid= name= state= [exit_code=|signal=|exit= lived= [died_at=]] event=
//	TIME host= address= state= [reason=] event=
//	TIME host= address= kind= state= [alias= from= to= reason=] event=
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
		b = appendPresent(b, "reason", e.Reason)
	default:
		b = appendField(b, "kind", string(e.Kind))
		b = appendField(b, "state", string(e.State))
		b = appendPresent(b, "alias", e.Alias)
		b = appendPosition(b, "from", e.From)
		b = appendPosition(b, "to", e.To)
		b = appendPresent(b, "reason", e.Reason)
	}
	b = appendField(b, "event", e.ID)
	return append(b, '\n')
}

func appendProcess(b []byte, e *dtc.Event, zone *time.Location) []byte {
	b = appendField(b, "pid", strconv.Itoa(e.PID))
	b = appendField(b, "name", e.Name)
	b = appendField(b, "state", string(e.State))
	if e.State != dtc.StateDead {
		return b
	}
	key, value := e.Exit.Field()
	b = appendField(b, key, value)
	b = appendField(b, "lived", dtc.FormatLived(e.Lived))
	if !e.DiedAt.IsZero() {
		b = appendField(b, "died_at", e.DiedAt.In(zone).Format(timeLayout))
	}
	return b
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
	return appendField(b, key, strconv.FormatInt(*position, 10))
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

var errLine = errors.New("not a line of this program's")

// parseLine is the reverse of formatLine, without the newline. A field that it
// does not know is passed over, so that later versions may add some.
func parseLine(line []byte) (dtc.Event, error) {
	stamp, rest, _ := strings.Cut(string(line), " ")
	when, err := parseTime(stamp)
	if err != nil {
		return dtc.Event{}, err
	}
	e := dtc.Event{Time: when}
	seen := map[string]bool{}
	for rest != "" {
		if e.ID != "" {
			return dtc.Event{}, errLine // event= stands last
		}
		var key, value string
		if key, value, rest, err = cutField(rest); err != nil || seen[key] {
			return dtc.Event{}, errLine
		}
		seen[key] = true
		if err := setField(&e, key, value); err != nil {
			return dtc.Event{}, fmt.Errorf("%s=: %w", key, errLine)
		}
	}
	return e, complete(&e)
}

// parseTime reads a time exactly as it is written; time.Parse takes more.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(timeLayout, text)
	if year := t.UTC().Year(); err != nil || t.Format(timeLayout) != text || year < 1 || year > 9999 {
		return time.Time{}, errLine
	}
	return t, nil
}

// cutField takes the first field off a line; after it stands a space and
// another, or nothing.
func cutField(s string) (key, value, rest string, err error) {
	key, s, ok := strings.Cut(s, "=")
	if !ok || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "", "", "", errLine
	}
	if strings.HasPrefix(s, `"`) {
		value, rest, ok, err = cutQuoted(s)
	} else {
		value, rest, ok = strings.Cut(s, " ")
		if !plain(value) {
			err = errLine
		}
	}
	if ok && rest == "" {
		err = errLine // a space at the end
	}
	return key, value, rest, err
}

// cutQuoted takes a quoted value off a line, and says whether a space stood
// behind it.
func cutQuoted(s string) (value, rest string, space bool, err error) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", false, errLine
	}
	if value, err = strconv.Unquote(quoted); err != nil {
		return "", "", false, errLine
	}
	s = s[len(quoted):]
	rest, space = strings.CutPrefix(s, " ")
	if s != "" && !space {
		return "", "", false, errLine
	}
	return value, rest, space, nil
}

func setField(e *dtc.Event, key, value string) (err error) {
	switch key {
	case "host":
		e.Host = value
	case "address":
		e.Address = value
	case "kind":
		e.Kind = dtc.EventKind(value)
	case "state":
		e.State = dtc.State(value)
	case "pid":
		e.PID, err = strconv.Atoi(value)
		if e.PID < 1 {
			return errLine
		}
	case "name":
		e.Name = value
	case "exit_code":
		return setExit(e, dtc.ExitCode, value)
	case "signal":
		return setExit(e, dtc.ExitSignal, value)
	case "exit":
		e.Exit = &dtc.Exit{}
	case "lived":
		e.Lived, err = parseLived(value)
	case "died_at":
		e.DiedAt, err = parseTime(value)
	case "alias":
		e.Alias = value
	case "from":
		e.From, err = parsePosition(value)
	case "to":
		e.To, err = parsePosition(value)
	case "reason":
		e.Reason = value
	case "event":
		if e.ID = value; value == "" {
			return errLine
		}
	}
	return err
}

func setExit(e *dtc.Event, kind dtc.ExitKind, value string) error {
	n, err := strconv.Atoi(value)
	e.Exit = &dtc.Exit{Kind: kind, Number: n}
	return err
}

func parseLived(value string) (time.Duration, error) {
	if value == "unknown" {
		return dtc.Absent, nil
	}
	d, err := time.ParseDuration(value)
	if err == nil && d < 0 {
		err = errLine
	}
	return d, err
}

func parsePosition(value string) (*int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	return &n, err
}

// complete checks that a line had all that every line has, and gives the event
// the kind that a process log does not say.
func complete(e *dtc.Event) error {
	switch {
	case e.ID == "" || e.State == "":
		return errLine
	case e.Kind == "" && e.PID != 0:
		e.Kind = dtc.EventProcess
	case e.Kind == "":
		e.Kind = dtc.EventHost
	}
	if e.Kind == dtc.EventProcess && (e.PID == 0 || e.State == dtc.StateDead && e.Exit == nil) {
		return errLine
	}
	return nil
}

// lastLineEnd returns the index after the last newline, 0 if there is none.
func lastLineEnd(data []byte) int { return bytes.LastIndexByte(data, '\n') + 1 }
