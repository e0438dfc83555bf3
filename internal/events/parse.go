package events

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"dtc"
)

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
	default:
		return setProcessField(e, key, value)
	}
	return err
}

// setProcessField is setField for what only a process has.
func setProcessField(e *dtc.Event, key, value string) (err error) {
	switch key {
	case "pid":
		e.PID, err = parseNumber[int](value, 1)
	case "name":
		e.Name = value
	case "process":
		if e.Rule = value; value == "" {
			return errLine
		}
	case "new_pid":
		e.NewPID, err = parseNumber[int](value, 1)
	case "gap":
		e.Gap, err = parseLived(value)
	case "count":
		e.Count, err = parseNumber[int](value, 0)
	case "min":
		e.Min, err = parseNumber[int](value, 0)
	case "max":
		e.Max, err = parseNumber[int](value, 0)
	case "exit_code", "signal", "exit", "core", "oom", "lived", "died_at", "died_after", "died_before":
		return setEndField(e, key, value)
	default:
		return setPostMortemField(e, key, value)
	}
	return err
}

func setEndField(e *dtc.Event, key, value string) (err error) {
	switch key {
	case "exit_code":
		return setExit(e, dtc.ExitCode, value)
	case "signal":
		return setExit(e, dtc.ExitSignal, value)
	case "exit":
		e.Exit = &dtc.Exit{}
	case "core", "oom":
		if e.Exit == nil || value != "true" {
			return errLine
		}
		e.Exit.Core, e.Exit.OOM = e.Exit.Core || key == "core", e.Exit.OOM || key == "oom"
	case "lived":
		e.Lived, err = parseLived(value)
	case "died_at":
		e.DiedAt, err = parseTime(value)
	case "died_after":
		e.DiedAfter, err = parseTime(value)
	case "died_before":
		e.DiedBefore, err = parseTime(value)
	}
	return err
}

// setPostMortemField is the last to be asked for a field: one that it does not
// know is of a later version.
func setPostMortemField(e *dtc.Event, key, value string) (err error) {
	p := dtc.NoPostMortem()
	if e.PostMortem != nil {
		p = *e.PostMortem
	}
	switch key {
	case "cpu_seconds":
		p.CPU, err = parseSeconds(value)
	case "rss_bytes":
		p.RSSBytes, err = parseNumber[int64](value, 0)
	case "threads":
		p.Threads, err = parseNumber[int](value, 0)
	case "descriptors":
		p.Descriptors, err = parseNumber[int](value, 0)
	case "sampled_seconds":
		p.Sampled, err = parseSeconds(value)
	case "ppid":
		p.PPID, err = parseNumber[int](value, 0)
	case "parent":
		p.Parent = value
	case "command":
		p.Command = value
	default:
		return nil
	}
	e.PostMortem = &p
	return err
}

// parseNumber reads a number that is at least so large.
func parseNumber[N int | int64](value string, least N) (N, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || N(n) < least || int64(N(n)) != n {
		return 0, errLine
	}
	return N(n), nil
}

// parseSeconds is the reverse of appendSeconds: digits, and perhaps a point and
// more.
func parseSeconds(value string) (time.Duration, error) {
	if value == "" || strings.Trim(value, "0123456789.") != "" {
		return 0, errLine
	}
	return time.ParseDuration(value + "s")
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
	case e.Kind == "" && (e.PID != 0 || e.Rule != ""):
		e.Kind = dtc.EventProcess
	case e.Kind == "":
		e.Kind = dtc.EventHost
	}
	if e.Kind == dtc.EventProcess && (!hasSubject(e) || isEnd(e.State) && e.Exit == nil) {
		return errLine
	}
	return nil
}

// hasSubject says whether an event of a process is of one, or of a rule as a
// whole.
func hasSubject(e *dtc.Event) bool { return e.PID > 0 || e.PID == 0 && hasCount(e) }

// lastLineEnd returns the index after the last newline, 0 if there is none.
func lastLineEnd(data []byte) int { return bytes.LastIndexByte(data, '\n') + 1 }
