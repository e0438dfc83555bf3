package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dtc"
	"dtc/internal/render"
)

// situation is the STATUS that lists the others.
const situation = "situation"

func newGetCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "get STATUS",
		Short: "Ask the hosts: process, openfiles, sockets, memory, cpu, disk, ...",
		Long: `Ask the hosts for a status, all at the same time, and print their answers in the
order of the configuration. STATUS is one of

` + statusList("  ") + `
Text looks like the output of the tool that is named with the status. Control
characters in what hosts say are shown as escapes. After the hosts, standard
error gets one line on how many answered, and one for each that did not.
'dtc get_STATUS' means the same as 'dtc get STATUS'.

--pid, --user, --name, --path, --port, --sort and --limit select on each host,
before anything crosses the network. An item is there if each of these flags
that is given has a value that fits it. In a GLOB * and ? stand for any
characters and any one, [a-z] for one of these; in one of a path * stays within
a folder and ** does not. A regular expression stands between slashes (RE2).

With --columns or --flat text is a table, with the titles and the units of the
tool where it has the column; only the last column is cut, to the width of the
terminal. The names of --columns and --sort are those of -o json and of the
tool's titles, in any case.

Exit status: 0 all hosts answered, 1 some or none did, 2 wrong arguments or
configuration.`,
		Example: `  dtc get situation
  dtc get process --host web1
  dtc get process --sort %cpu --limit 5 --flat
  dtc get process --name 'nginx*' --user www-data,root --columns pid,rss,command
  dtc get process --name '/^(sshd|cron)$/' --pid 812,1044
  dtc get openfiles --path '/srv/data/**' --flat
  dtc get sockets --port 443 --flat --no-header
  dtc get services --name '*.timer' --sort -since
  dtc get memory --human --host 'web*' --host db
  dtc get disk --flat --sort use% -o csv
  dtc get cpu -w=5s
  dtc get openfiles -o jsonl | jq .host`,
		ValidArgs: statusNames(),
	}
	run := a.getFlags(c, "")
	c.Args = oneStatus
	c.RunE = func(c *cobra.Command, args []string) error { return run(c, args[0]) }
	return c
}

// newGetAliasCommands returns the hidden commands get_process and so on.
func newGetAliasCommands(a *app) []*cobra.Command {
	var all []*cobra.Command
	for _, status := range statusNames() {
		c := &cobra.Command{
			Use:     "get_" + status,
			Short:   "The same as 'dtc get " + status + "'",
			Long:    "The same as 'dtc get " + status + "': see 'dtc get --help'.",
			Example: "  dtc get_" + status,
			Hidden:  true,
			Args:    noArguments,
		}
		run := a.getFlags(c, status)
		c.RunE = func(c *cobra.Command, _ []string) error { return run(c, status) }
		all = append(all, c)
	}
	return all
}

// getFlags adds the flags of get to c, and returns what to do with a status.
// own is the status of a command that has no argument for it.
func (a *app) getFlags(c *cobra.Command, own string) func(c *cobra.Command, status string) error {
	var o getOptions
	o.add(c.Flags())
	c.SetFlagErrorFunc(flagError)
	a.completeGet(c, own)
	return func(c *cobra.Command, status string) error {
		o.watching, o.sorting = c.Flags().Changed("watch"), c.Flags().Changed("sort")
		o.given = flagsOf(c.Flags())
		if err := o.check(); err != nil {
			return err
		}
		if status == situation {
			return a.situation(o)
		}
		return a.get(c.Context(), dtc.Status(status), o)
	}
}

// oneStatus wants the name of a status as the only argument.
func oneStatus(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usagef("dtc get: which STATUS? expected one of %s; see 'dtc get situation'", strings.Join(statusNames(), ", "))
	case !slices.Contains(statusNames(), args[0]):
		return usagef("dtc get: unknown STATUS %q%s; see 'dtc get situation'", args[0], didYouMean(args[0], statusNames()))
	}
	return noArguments(c, args[1:])
}

// noArguments wants none. A time may have been meant for --watch, which takes
// one only after an equals sign.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if _, err := time.ParseDuration(args[0]); err == nil && c.Flags().Changed("watch") {
		return usagef("%s: %q is one argument too many: did you mean --watch=%s?", c.CommandPath(), args[0], args[0])
	}
	return usagef("%s: %q is one argument too many; several hosts are --host A --host B", c.CommandPath(), args[0])
}

// statusNames returns what STATUS can be.
func statusNames() []string {
	names := []string{situation}
	for _, s := range dtc.Statuses() {
		names = append(names, string(s.Status))
	}
	return names
}

// statusList returns a line on each status.
func statusList(indent string) string {
	width := 0
	for _, s := range summaries() {
		width = max(width, len(s.Status))
	}
	var b strings.Builder
	for _, s := range summaries() {
		fmt.Fprintf(&b, "%s%-*s  %s\n", indent, width, s.Status, s.Summary)
	}
	return b.String()
}

// summaries returns a line on each status, situation among them.
func summaries() []dtc.StatusSummary {
	return append([]dtc.StatusSummary{{Status: situation, Summary: "every status with a line on each"}}, dtc.Statuses()...)
}

// formatList returns the forms of output.
func formatList() string {
	var names []string
	for _, f := range render.Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, " ")
}
