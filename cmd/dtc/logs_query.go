package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"dtc"
	"dtc/internal/logs"
)

// query returns what the flags ask for.
func (opt *logsOptions) query() (logs.Query, error) {
	q := logs.Query{Lines: opt.lines, Follow: opt.follow, Bytes: opt.raw, Marks: !opt.noMarks}
	if err := opt.check(); err != nil {
		return q, err
	}
	if opt.grep != "" {
		re, err := regexp.Compile(opt.grep)
		if err != nil {
			return q, usagef("--grep: %w", err)
		}
		q.Match = re
	}
	return q, opt.times(&q)
}

// check refuses flags that make no sense.
func (opt *logsOptions) check() error {
	switch {
	case opt.lines < 0:
		return usagef("-n %d: a number of lines from 0 on was expected", opt.lines)
	case opt.until != "" && opt.follow:
		return usagef("--until with -f: what comes arrives later than any time before now; leave one of them out")
	case opt.raw && len(opt.highlight) > 0:
		return usagef("--highlight with --raw: that prints just the bytes; leave one of them out")
	case !opt.fromGiven:
		return nil
	case opt.from < 0:
		return usagef("--from %d: a position from 0 on was expected", opt.from)
	case opt.given || opt.since != "" || opt.cursor != "":
		return usagef("--from says where to begin, and so do -n, --since and --cursor; leave them out")
	}
	return nil
}

// times sets what --since and --until say.
func (opt *logsOptions) times(q *logs.Query) error {
	now := time.Now()
	if opt.since != "" {
		since, err := timeFlag("since", opt.since, now)
		if err != nil {
			return err
		}
		q.Since = since
		if !opt.given {
			q.Lines = -1
		}
	}
	if opt.until == "" {
		return nil
	}
	until, err := timeFlag("until", opt.until, now)
	if err != nil {
		return err
	}
	q.Until = until
	if !q.Since.Before(until) {
		return usagef("--until %s is not after --since %s", opt.until, opt.since)
	}
	return nil
}

// timeFlag returns the time that a flag means.
func timeFlag(flag, value string, now time.Time) (time.Time, error) {
	t, err := eventsSince(value, now)
	if err != nil && flag != "since" {
		err = usagef("%s", strings.Replace(err.Error(), "--since", "--"+flag, 1))
	}
	return t, err
}

// begin sets where the reading of some copies begins, and returns the cursor
// that remembers where it ends, nil for none.
func (opt *logsOptions) begin(q *logs.Query, c *chosen) (*logs.Cursor, error) {
	if opt.fromGiven {
		if len(c.targets) != 1 {
			return nil, usagef("--from %d is a position in one copy, and %d are chosen: name one as NAME/ALIAS; 'dtc logs ls' lists them", opt.from, len(c.targets))
		}
		t := c.targets[0]
		q.Wants = func(other logs.Target) bool { return other == t } // no other joins it later
		q.Begin, q.Strict = map[logs.Target]logs.Place{t: {Target: t, Position: opt.from}}, true
		return nil, nil
	}
	if opt.cursor == "" {
		return nil, nil
	}
	cursor, err := logs.OpenCursor(opt.cursor)
	if err != nil {
		return nil, err
	}
	q.Begin, q.Hold = cursor.Begin(), true
	return cursor, nil
}

// chosen are the copies that a command is about.
type chosen struct {
	names   map[string]string // of folders: the host's
	folders []string          // in the order of the configuration
	aliases []string          // globs; none: all
	targets []logs.Target
}

func (c *chosen) wants(t logs.Target) bool {
	return len(c.aliases) == 0 || slices.ContainsFunc(c.aliases, func(pattern string) bool {
		host, alias := "*", pattern
		if i := strings.LastIndexByte(pattern, '/'); i >= 0 {
			host, alias = pattern[:i], pattern[i+1:]
		}
		return fits(alias, t.Alias) && (fits(host, c.names[t.Folder]) || fits(host, t.Folder))
	})
}

// fits tells whether a name is that of a glob; what is no glob is a name.
func fits(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok || pattern == name
}

// choose returns the copies of some hosts and aliases.
func (c *copies) choose(selectors, aliases []string) (*chosen, error) {
	out := &chosen{names: c.names, aliases: aliases}
	var err error
	if out.folders, err = c.selectFolders(selectors); err != nil {
		return nil, err
	}
	for _, t := range c.targets {
		if slices.Contains(out.folders, t.Folder) && out.wants(t) {
			out.targets = append(out.targets, t)
		}
	}
	for _, pattern := range aliases {
		one := chosen{names: c.names, aliases: []string{pattern}}
		if !slices.ContainsFunc(out.targets, one.wants) {
			return nil, c.unknown(out.folders, pattern)
		}
	}
	if len(out.targets) == 0 {
		return nil, errNoCopies
	}
	return out, nil
}

// unknown is the error of an alias that no copy has in some folders.
func (c *copies) unknown(folders []string, pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil {
		return usagef("%q is no pattern: a [ needs its ], and a \\ something behind it; 'dtc logs ls' lists what the logs are called", pattern)
	}
	known := c.known(folders, pattern)
	best := dtc.Nearest(pattern, slices.Concat(known, c.commands))
	if slices.Contains(c.commands, best) && !slices.Contains(known, best) {
		return usagef("no followed log is called %q: did you mean 'dtc logs %s'?", pattern, best)
	}
	return fmt.Errorf("no followed log is called %q%s; 'dtc logs ls' lists them", pattern, didYouMean(pattern, known))
}

const errNoCopies plainError = "no followed log has arrived yet from these hosts: see monitor_files in the agent's conf/agent.xml"

// known returns the aliases in some folders, with the hosts' names if a
// pattern has one.
func (c *copies) known(folders []string, pattern string) []string {
	var out []string
	for _, t := range c.targets {
		switch {
		case !slices.Contains(folders, t.Folder):
		case strings.Contains(pattern, "/"):
			out = append(out, c.names[t.Folder]+"/"+t.Alias)
		default:
			out = append(out, t.Alias)
		}
	}
	return out
}
