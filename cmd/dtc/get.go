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

// getOptions are the flags of `dtc get`.
type getOptions struct {
	selectors []string
	format    string
	timeout   time.Duration
	watch     time.Duration
	watching  bool // --watch is given
	human     bool
	raw       bool
}

func newGetCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "get STATUS",
		Short: "Ask the hosts: process, platform, openfiles, memory, cpu",
		Long: `Ask the hosts for a status, all at the same time, and print their answers in the
order of the configuration. STATUS is one of

` + statusList("  ") + `
Text looks like the output of the tool that is named with the status. Control
characters in what hosts say are shown as escapes. After the hosts, standard
error gets one line on how many answered, and one for each that did not.
'dtc get_STATUS' means the same as 'dtc get STATUS'.

Exit status: 0 all hosts answered, 1 some or none did, 2 wrong arguments or
configuration.`,
		Example: `  dtc get situation
  dtc get process --host web1
  dtc get memory --human --host 'web*' --host db
  dtc get cpu -w=5s
  dtc get openfiles -o jsonl | jq .host`,
		ValidArgs: statusNames(),
	}
	run := a.getFlags(c)
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
		run := a.getFlags(c)
		c.RunE = func(c *cobra.Command, _ []string) error { return run(c, status) }
		all = append(all, c)
	}
	return all
}

// getFlags adds the flags of get to c, and returns what to do with a status.
func (a *app) getFlags(c *cobra.Command) func(c *cobra.Command, status string) error {
	var o getOptions
	f := c.Flags()
	f.StringArrayVar(&o.selectors, "host", nil, "only hosts that match `SEL`: a name, ip, ip:port, group, or a glob of one; may be repeated (default all)")
	f.StringVarP(&o.format, "output", "o", string(render.FormatText), "`FORM` of the output: "+formatList())
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "`D` for each host to answer")
	f.DurationVarP(&o.watch, "watch", "w", 2*time.Second, "again and again, every `D` (-w alone: 2s)")
	f.Lookup("watch").NoOptDefVal = "2s"
	f.BoolVar(&o.human, "human", false, "memory in the units of free -h")
	f.BoolVar(&o.raw, "raw", false, "text as the hosts send it: control characters reach the terminal")
	c.SetFlagErrorFunc(flagError)
	a.completeGet(c)
	return func(c *cobra.Command, status string) error {
		o.watching = c.Flags().Changed("watch")
		if err := o.check(); err != nil {
			return err
		}
		if status == situation {
			return a.printSituation(render.Format(o.format))
		}
		return a.get(c.Context(), dtc.Status(status), o)
	}
}

// completeGet adds what the shell can complete of the flags.
func (a *app) completeGet(c *cobra.Command) {
	formats := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		for _, f := range render.Formats() {
			names = append(names, string(f))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	hosts := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cfg, err := a.loadConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []cobra.Completion
		for _, h := range cfg.Hosts {
			names = append(append(names, h.Name), h.Groups...)
		}
		slices.Sort(names)
		return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
	}
	for name, complete := range map[string]cobra.CompletionFunc{"output": formats, "host": hosts} {
		if err := c.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err) // the flag is not there: a mistake in this file
		}
	}
}

// check refuses flags that make no sense.
func (o *getOptions) check() error {
	format := render.Format(o.format)
	switch {
	case !format.Valid():
		return usagef("-o %s: unknown form, expected one of %s%s", o.format, formatList(), didYouMean(o.format, strings.Fields(formatList())))
	case o.timeout <= 0:
		return usagef("--timeout %s: expected a time above 0, like 5s", o.timeout)
	case !o.watching:
		return nil
	case o.watch < 100*time.Millisecond:
		return usagef("--watch %s: expected a time of at least 100ms, like 2s", o.watch)
	case format == render.FormatJSON || format == render.FormatCSV:
		return usagef("-w with -o %s would never end the output: use -o jsonl", format)
	}
	return nil
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
	var b strings.Builder
	for _, s := range summaries() {
		fmt.Fprintf(&b, "%s%-10s  %s\n", indent, s.Status, s.Summary)
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
