package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"dtc/internal/logs"

	"github.com/spf13/cobra"
)

// logsOptions are the flags of dtc logs.
type logsOptions struct {
	hosts   []string
	aliases []string
	lines   int
	given   bool // -n was
	follow  bool
	since   string
	grep    string
	raw     bool
}

func newLogsCommand(a *app) *cobra.Command {
	var opt logsOptions
	c := &cobra.Command{
		Use:   "logs [ALIAS…]",
		Short: "Print, follow, list and verify the copies of followed log files",
		Long: `Print the last lines of the copies of followed log files, those of all hosts
and aliases unless some are named. It reads the files under logs/, whether the
service runs or not. With several copies each line begins with "NAME/ALIAS | ".

Control characters in lines are shown escaped, as \x1b, on a terminal and in a
pipe alike, and a line of more than 1 MiB is cut; --raw prints the bytes as they
are. With -f a last line that is not complete is printed when it is; with --raw
and one copy at once.

Exit status: 0, 1 if a copy could not be read or there is none, 2 wrong
arguments or configuration.`,
		Example: `  dtc logs app.log -n 100
  dtc logs -f --host web --grep 'ERROR|panic'
  dtc logs --since 2h --host web1
  dtc logs --raw app.log -n 1000 > tail.log`,
		RunE: func(c *cobra.Command, args []string) error {
			opt.aliases, opt.given = args, c.Flags().Changed("lines")
			return a.logs(c.Context(), opt)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&opt.hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	f.IntVarP(&opt.lines, "lines", "n", 10, "the last N lines of each copy; with --since all, unless it is given")
	f.BoolVarP(&opt.follow, "follow", "f", false, "go on with the lines that come")
	f.StringVar(&opt.since, "since", "", "only what arrived from then on: a duration back from now (90m, 7d), a day, or a time (RFC 3339, or local)")
	f.StringVar(&opt.grep, "grep", "", "only lines that match this regular expression (RE2)")
	f.BoolVar(&opt.raw, "raw", false, "print just the bytes: no prefix, nothing escaped, nothing cut")
	c.AddCommand(newLogsListCommand(a), newLogsVerifyCommand(a))
	return c
}

func (a *app) logs(ctx context.Context, opt logsOptions) error {
	q, err := opt.query()
	if err != nil {
		return err
	}
	all, err := a.copies()
	if err != nil {
		return err
	}
	chosen, err := all.choose(opt.hosts, opt.aliases)
	if err != nil {
		return err
	}
	q.Folders = chosen.folders
	q.Wants = chosen.wants
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	q.Idle = out.Flush
	p := &linePrinter{out: out, names: all.names, raw: opt.raw}
	p.prefix = len(chosen.targets) != 1 || len(opt.aliases) == 0 && opt.follow
	p.color = p.prefix && a.terminal && a.getenv("NO_COLOR") == ""
	err = logs.Read(ctx, all.dir, q, p.print)
	if err := errors.Join(err, out.Flush()); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// query returns what the flags ask for.
func (opt *logsOptions) query() (logs.Query, error) {
	q := logs.Query{Lines: opt.lines, Follow: opt.follow, Bytes: opt.raw}
	if opt.lines < 0 {
		return q, usagef("-n %d: a number of lines from 0 on was expected", opt.lines)
	}
	if opt.grep != "" {
		re, err := regexp.Compile(opt.grep)
		if err != nil {
			return q, usagef("--grep: %w", err)
		}
		q.Match = re
	}
	if opt.since != "" {
		since, err := eventsSince(opt.since, time.Now())
		if err != nil {
			return q, err
		}
		q.Since = since
		if !opt.given {
			q.Lines = -1
		}
	}
	return q, nil
}

// logsDir returns the folder of the copies.
func (a *app) logsDir() string { return filepath.Join(a.homeDir(), "logs") }

// chosen are the copies that a command is about.
type chosen struct {
	folders []string // in the order of the configuration
	aliases []string // globs; none: all
	targets []logs.Target
}

func (c *chosen) wants(t logs.Target) bool {
	return len(c.aliases) == 0 || slices.ContainsFunc(c.aliases, func(pattern string) bool {
		ok, _ := path.Match(pattern, t.Alias) // what is no pattern is a name
		return ok || pattern == t.Alias
	})
}

// choose returns the copies of some hosts and aliases.
func (c *copies) choose(selectors, aliases []string) (*chosen, error) {
	out := &chosen{aliases: aliases}
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
		one := chosen{aliases: []string{pattern}}
		if !slices.ContainsFunc(out.targets, one.wants) {
			return nil, fmt.Errorf("no followed log is called %q%s; 'dtc logs ls' lists them", pattern, didYouMean(pattern, c.aliases(out.folders)))
		}
	}
	if len(out.targets) == 0 {
		return nil, errors.New("no followed log has arrived yet from these hosts: see monitor_files in the agent's conf/agent.xml")
	}
	return out, nil
}

// aliases returns the aliases in some folders.
func (c *copies) aliases(folders []string) []string {
	var out []string
	for _, t := range c.targets {
		if slices.Contains(folders, t.Folder) {
			out = append(out, t.Alias)
		}
	}
	return out
}
