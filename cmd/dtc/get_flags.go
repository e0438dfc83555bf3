package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dtc"
	"dtc/internal/render"
)

// getOptions are the flags of `dtc get`.
type getOptions struct {
	selectors []string
	format    string
	timeout   time.Duration
	watch     time.Duration
	watching  bool   // --watch is given
	sorting   bool   // --sort is given
	given     string // see flagsOf
	human     bool
	raw       bool
	flat      bool
	noHeader  bool
	columns   []string // as given, see fields

	// What is to be selected, as it was given.
	pids, users, names, paths, ports []string
	sort                             string
	limit                            int
}

// add defines the flags.
func (o *getOptions) add(f *pflag.FlagSet) {
	f.StringArrayVar(&o.selectors, "host", nil, "only hosts that match `SEL`: a name, ip, ip:port, group, or a glob of one; may be repeated (default all)")
	f.StringVarP(&o.format, "output", "o", string(render.FormatText), "`FORM` of the output: "+formatList())
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "`D` for each host to answer")
	f.DurationVarP(&o.watch, "watch", "w", 2*time.Second, "again and again, every `D` (-w alone: 2s)")
	f.Lookup("watch").NoOptDefVal = "2s"
	f.BoolVar(&o.human, "human", false, "memory in the units of free -h, disk in those of df -h")
	f.BoolVar(&o.raw, "raw", false, "text as the hosts send it: control characters reach the terminal")

	f.StringArrayVar(&o.pids, "pid", nil, "only of the processes `N[,N...]`; may be repeated, as all that select")
	f.StringArrayVar(&o.users, "user", nil, "only of the users `U[,U...]`: names or numbers")
	f.StringArrayVar(&o.names, "name", nil, "only what has a name (of the process, service, interface) that fits `GLOB` or /RE/: 'nginx*', '/^(sshd|cron)$/'")
	f.StringArrayVar(&o.paths, "path", nil, "only open files whose path fits `GLOB`, of disk what is mounted there: '/srv/*.log', '/srv/**'")
	f.StringArrayVar(&o.ports, "port", nil, "only sockets with one of the ports `N[,N...]` at either end")
	f.StringVar(&o.sort, "sort", "", "order each host's items by `FIELD`: the largest figure first, texts and times ascending; +FIELD ascends, -FIELD descends")
	f.IntVar(&o.limit, "limit", 0, "only the first `N` items of each host, after sorting (default all)")

	f.StringArrayVar(&o.columns, "columns", nil, "only the fields `A[,B...]`, in this order: names of -o json, or the tool's titles (%CPU, rss)")
	f.BoolVar(&o.flat, "flat", false, "text as one table of all hosts, with a column HOST in the place of parts")
	f.BoolVar(&o.noHeader, "no-header", false, "text and csv without the titles of the columns")
}

// check refuses flags that make no sense.
func (o *getOptions) check() error {
	format := render.Format(o.format)
	switch {
	case !format.Valid():
		return usagef("-o %s: unknown form, expected one of %s%s", o.format, formatList(), didYouMean(o.format, strings.Fields(formatList())))
	case o.timeout <= 0:
		return usagef("--timeout %s: expected a time above 0, like 5s", o.timeout)
	case o.sorting && o.sort == "":
		return usagef("--sort: expected a field, got an empty one")
	case o.flat && (format == render.FormatJSON || format == render.FormatJSONL):
		return usagef("--flat with -o %s: there each object names its host already; use -o jsonl for one a line, or -o csv for a row an item", format)
	case !o.watching:
		return nil
	case o.watch < 100*time.Millisecond:
		return usagef("--watch %s: expected a time of at least 100ms, like 2s", o.watch)
	case format == render.FormatJSON || format == render.FormatCSV:
		return usagef("-w with -o %s would never end the output: use -o jsonl", format)
	}
	return nil
}

// query returns the question that the flags ask.
func (o *getOptions) query(status dtc.Status) (dtc.Query, error) {
	q := dtc.Query{Status: status, Selection: dtc.Selection{Names: o.names, Paths: o.paths, Sort: o.sort, Limit: o.limit}}
	var err error
	if q.Selection.PIDs, err = numbers("pid", "process ids", o.pids); err != nil {
		return q, err
	}
	if q.Selection.Ports, err = numbers("port", "ports", o.ports); err != nil {
		return q, err
	}
	for _, list := range o.users {
		for user := range strings.SplitSeq(list, ",") {
			q.Selection.Users = append(q.Selection.Users, strings.TrimSpace(user))
		}
	}
	if err := q.Selection.Check(status); err != nil {
		return q, usageError(err)
	}
	return q, nil
}

// numbers returns what a flag lists.
func numbers(flag, what string, lists []string) ([]int, error) {
	var all []int
	for _, list := range lists {
		for text := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				return nil, usagef("--%s %s: %q is no number, expected %s like 812 or 812,1044", flag, list, text, what)
			}
			all = append(all, n)
		}
	}
	return all, nil
}

// fields returns the names of the fields that --columns asks for, nil for all.
func (o *getOptions) fields(status dtc.Status) ([]string, error) {
	var fields []string
	for _, list := range o.columns {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			field, err := dtc.FieldNamed(status, name)
			switch {
			case err != nil && strings.EqualFold(name, "host"):
				return nil, usagef("--columns %s: %w (--flat names the host before each row)", name, err)
			case err != nil:
				return nil, usagef("--columns %s: %w", name, err)
			case slices.Contains(fields, field):
				return nil, usagef("--columns %s: %s is there twice", name, field)
			}
			fields = append(fields, field)
		}
	}
	return fields, nil
}

// checkSituation refuses what has no meaning where no host is asked.
func (o *getOptions) checkSituation() error {
	switch _, err := o.query(situation); {
	case err != nil:
		return err
	case len(o.columns) > 0:
		return usagef("--columns: %s has no fields to choose from", situation)
	case o.flat:
		return usagef("--flat: %s asks no hosts", situation)
	}
	return nil
}

// completeGet adds what the shell can complete of the flags of c. A command
// without a STATUS argument has one of its own.
func (a *app) completeGet(c *cobra.Command, own string) {
	status := func(args []string) dtc.Status {
		if own == "" && len(args) > 0 {
			return dtc.Status(args[0])
		}
		return dtc.Status(own)
	}
	none := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for name, complete := range map[string]cobra.CompletionFunc{
		"output": func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return strings.Fields(formatList()), cobra.ShellCompDirectiveNoFileComp
		},
		"host": func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.hostNames()
		},
		"sort": func(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			sign := word[:len(word)-len(strings.TrimLeft(word, "+-"))]
			return withPrefix(sign[:min(len(sign), 1)], dtc.FieldNames(status(args))), cobra.ShellCompDirectiveNoFileComp
		},
		"columns": func(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			before := word[:strings.LastIndexByte(word, ',')+1]
			return withPrefix(before, dtc.FieldNames(status(args))), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		"timeout": none, "watch": none, "pid": none, "user": none, "name": none, "port": none, "limit": none,
	} {
		if err := c.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err) // the flag is not there: a mistake in this file
		}
	}
}

func withPrefix(prefix string, words []string) []cobra.Completion {
	for i := range words {
		words[i] = prefix + words[i]
	}
	return words
}

// hostNames completes a name or group of a host.
func (a *app) hostNames() ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, h := range cfg.Hosts {
		names = append(append(names, h.Name), h.Groups...)
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
