package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	wantDays     = `days separated by commas, as in days="sat,sun"`
	wantClock    = `a time of day as in from="22:00"`
	wantMoment   = `a local time as in start="2026-11-22T22:00"`
	wantWhenever = `from="22:00" to="06:00", or start="2026-11-22T22:00" end="2026-11-23T02:00"`
)

func maintenanceAttributes() []attribute {
	return []attribute{
		{name: "days", want: wantDays},
		{name: "from", want: wantClock, check: checkClock},
		{name: "to", want: `a time of day as in to="06:00"`, check: checkEndClock},
		{name: "start", want: wantMoment, check: checkMoment},
		{name: "end", want: `a local time as in end="2026-11-23T02:00"`, check: checkMoment},
		{name: "for", want: wantFor},
	}
}

// maintenance reads the element of that name.
func (c *checker) maintenance(n *node) Maintenance {
	v := c.values(n)
	m := Maintenance{For: c.items(n, "for", v["for"]), Days: c.days(n, v["days"]), Line: n.line}
	m.From, _ = parseClock(v["from"]) // what is wrong is told already
	m.To, _ = parseEndClock(v["to"])
	m.Start, _ = parseMoment(v["start"])
	m.End, _ = parseMoment(v["end"])
	c.oneForm(n)
	if v["start"] != "" && v["end"] != "" && !m.End.After(m.Start) {
		c.fault(n, "end", fmt.Sprintf("end=%q is not after start=%q, expected a later time", v["end"], v["start"]))
	}
	return m
}

// oneForm notes if a maintenance is neither a day's time nor one stretch of
// time, or both, or half of one.
func (c *checker) oneForm(n *node) {
	daily, once := n.has("from") || n.has("to") || n.has("days"), n.has("start") || n.has("end")
	switch {
	case daily && once:
		c.addf(n.line, "<%s> has both a time of day and one stretch of time, expected %s", n.rule.name, wantWhenever)
	case !daily && !once:
		if c.lacks(n, "from", "to", "days", "start", "end") {
			c.addf(n.line, "<%s> does not say when it is, expected %s", n.rule.name, wantWhenever)
		}
	case daily:
		c.both(n, "from", "to")
	default:
		c.both(n, "start", "end")
	}
}

// both notes which of two attributes are missing.
func (c *checker) both(n *node, names ...string) {
	for _, name := range names {
		if c.lacks(n, name) {
			c.addf(n.line, "<%s> has no %s, expected %s", n.rule.name, name, n.rule.attribute(name).want)
		}
	}
}

// days reads a list of weekdays, in their short or full form.
func (c *checker) days(n *node, value string) []time.Weekday {
	if value == "" {
		return nil
	}
	var days []time.Weekday
	for _, item := range c.items(n, "days", value) {
		day, ok := parseDay(item)
		if !ok {
			c.fault(n, "days", "days="+quote(item)+": it is no day, expected mon, tue, wed, thu, fri, sat or sun")
			continue
		}
		days = append(days, day)
	}
	slices.Sort(days)
	return unique(days)
}

func parseDay(word string) (time.Weekday, bool) {
	for day := time.Sunday; day <= time.Saturday; day++ {
		if name := day.String(); strings.EqualFold(word, name) || strings.EqualFold(word, name[:3]) {
			return day, true
		}
	}
	return 0, false
}

// parseClock reads HH:MM as the time since midnight.
func parseClock(value string) (time.Duration, error) {
	t, err := time.Parse("15:04", value)
	if err != nil || len(value) != len("15:04") {
		return 0, errors.New("it is no time of day, expected one from 00:00 to 23:59")
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// parseEndClock takes 24:00 too.
func parseEndClock(value string) (time.Duration, error) {
	if value == "24:00" {
		return 24 * time.Hour, nil
	}
	d, err := parseClock(value)
	if err != nil {
		return 0, errors.New("it is no time of day, expected one from 00:00 to 24:00")
	}
	return d, nil
}

// parseMoment reads a time on this machine's clock.
func parseMoment(value string) (time.Time, error) {
	for _, form := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(form, value, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("it is no local time, expected one as in 2026-11-22T22:00")
}

func checkClock(value string) error {
	_, err := parseClock(value)
	return err
}

func checkEndClock(value string) error {
	_, err := parseEndClock(value)
	return err
}

func checkMoment(value string) error {
	_, err := parseMoment(value)
	return err
}
