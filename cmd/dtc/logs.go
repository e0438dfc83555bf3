package main

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"

	"dtc/internal/logs"
	"dtc/internal/render"

	"github.com/spf13/cobra"
)

// logsOptions are the flags of dtc logs.
type logsOptions struct {
	hosts     []string
	aliases   []string
	lines     int
	given     bool // -n was
	follow    bool
	since     string
	until     string
	grep      string
	highlight []string
	cursor    string
	from      int64
	fromGiven bool
	noMarks   bool
	raw       bool
}

func newLogsCommand(a *app) *cobra.Command {
	var opt logsOptions
	c := &cobra.Command{
		Use:   "logs [ALIAS…]",
		Short: "Print, follow, list and verify the copies of followed log files",
		Long: `Print the last lines of the copies of followed log files, those of all hosts
and aliases unless some are named. It reads the files under logs/, whether the
service runs or not. With several copies each line begins with "NAME/ALIAS | ";
ALIAS may be a glob, and may be given as NAME/ALIAS.

Control characters in lines are shown escaped, as \x1b, on a terminal and in a
pipe alike, and a line of more than 1 MiB is cut. What a copy alone does not show
stands on a line of its own, between two lines:

  --- web1/app.log: a new file follows (generation 3) ---

so do bytes that were lost, a source that went back, a change of the copy by
somebody, and 4096 NULs and more in a row, which are not printed. There are no such
marks with --grep, --no-marks and --raw; --raw prints the bytes as they are.

With -f a last line that is not complete is printed when it is; with --raw and one
copy at once. A copy that comes to be meanwhile is followed from its start.

--cursor FILE begins where the reading before ended, and writes down where this one
ends: at its end, at Ctrl-C and SIGTERM, and each second with -f. A last line that
is not complete waits for the next time. Then no line is missing and none is there
twice; after a kill -9 those of at most the last second come again, and none is
missing. While there is no such file yet -n and --since count. A copy that the file
does not name begins at its start.

--from POS begins one copy at that byte of all that it has ever had, and fails if
not every byte from there on is there. The length of what --raw wrote is the
position to go on at.

--since and --until go by the time at which lines arrived here, to the second; of
older ones they are coarser: 10 s after an hour, a minute after a day, 10 minutes
after a week, an hour after 90 days. Then neighbors are shown too.

Exit status: 0, 1 if a copy could not be read or there is none, 2 wrong
arguments or configuration.`,
		Example: `  dtc logs app.log -n 100
  dtc logs -f --host web --grep 'ERROR|panic' --highlight 'user=\w+'
  dtc logs --since 2h --until 90m web1/app.log
  dtc logs --cursor /var/lib/report.cursor 'web*/access.log' | report
  dtc logs --raw app.log -n 1000 > tail.log
  dtc logs --raw -f --from $(stat -c %s copy) web1/app.log >> copy`,
		ValidArgsFunction: a.completeAliases,
		RunE: func(c *cobra.Command, args []string) error {
			opt.aliases, opt.given, opt.fromGiven = args, c.Flags().Changed("lines"), c.Flags().Changed("from")
			return a.logs(c.Context(), opt)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&opt.hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	f.IntVarP(&opt.lines, "lines", "n", 10, "the last `N` lines of each copy; with --since all, unless it is given")
	f.BoolVarP(&opt.follow, "follow", "f", false, "go on with the lines that come")
	f.StringVar(&opt.since, "since", "", "only what arrived from then on: a `TIME` as a duration back from now (90m, 7d), a day, or a time (RFC 3339, or local)")
	f.StringVar(&opt.until, "until", "", "only what arrived before that `TIME`; not with -f")
	f.StringVar(&opt.grep, "grep", "", "only lines that match this regular expression `RE` (RE2)")
	f.StringArrayVar(&opt.highlight, "highlight", nil, "show what matches `RE` in reverse, on a terminal; may be repeated")
	f.StringVar(&opt.cursor, "cursor", "", "begin where this `FILE` says, and write there where it ends")
	f.Int64Var(&opt.from, "from", 0, "begin at byte `POS`; of one copy")
	f.BoolVar(&opt.noMarks, "no-marks", false, "leave out the marks between lines")
	f.BoolVar(&opt.raw, "raw", false, "print just the bytes: no prefix, no mark, nothing escaped, nothing cut")
	none := completeWords()
	completeFlags(c, map[string]cobra.CompletionFunc{
		"host": a.completeHosts, "since": completeWords("1h", "24h", "7d"), "until": completeWords("1h", "24h", "7d"),
		"lines": none, "grep": none, "highlight": none, "from": none, "cursor": completeFiles,
	})
	c.AddCommand(newLogsListCommand(a), newLogsVerifyCommand(a))
	return c
}

func (a *app) logs(ctx context.Context, opt logsOptions) error {
	if err := a.mustBeHere("logs"); err != nil {
		return err
	}
	q, err := opt.query()
	if err != nil {
		return err
	}
	p := &linePrinter{out: bufio.NewWriterSize(a.stdout, 64<<10), raw: opt.raw}
	if p.highlight, err = newHighlighter(opt.highlight); err != nil {
		return err
	}
	all, err := a.copies()
	if err != nil {
		return err
	}
	all.commands = []string{"ls", "verify"}
	chosen, err := all.choose(opt.hosts, opt.aliases)
	if err != nil {
		return err
	}
	q.Folders, q.Wants = chosen.folders, chosen.wants
	cursor, err := opt.begin(&q, chosen)
	if err != nil {
		return err
	}
	p.names = all.names
	p.prefix = len(chosen.targets) != 1 || len(opt.aliases) == 0 && opt.follow
	obeys, restore := a.cursorControl()
	defer restore()
	p.color = obeys
	failed := false
	q.Failed = func(err error) {
		failed = true
		fmt.Fprintln(a.stderr, "dtc: "+render.Escape(err.Error()))
	}
	q.Missed = func(t logs.Target, m logs.Mark) { fmt.Fprintln(a.stderr, "dtc: "+missedText(p.name(t), &m)) }
	if err := a.read(ctx, all.dir, q, p, cursor); err != nil || !failed {
		return err
	}
	return &statusError{exitSome, nil}
}

// logsDir returns the folder of the copies.
func (a *app) logsDir() string { return filepath.Join(a.homeDir(), "logs") }
