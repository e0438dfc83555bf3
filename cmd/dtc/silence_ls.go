package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dtc/internal/monitor"
	"dtc/internal/render"

	"github.com/spf13/cobra"
)

func newSilenceListCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the silences: id, until when, of what, why",
		Long: `List the silences that are not over: id, until when, hosts, processes, states and
reason.

With -o json it is one object a line: id, hosts, processes, states, start, end,
reason.

Exit status: 0 listed, 1 no service runs, 2 wrong arguments or no home.`,
		Example: "  dtc silence ls\n  dtc silence ls -o json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.silenceList(c.Context(), output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json (an object a line)")
	completeFlags(c, map[string]cobra.CompletionFunc{"output": completeWords("text", "json")})
	return c
}

func (a *app) silenceList(ctx context.Context, output string) error {
	if err := checkTextOrJSON(output, "silences"); err != nil {
		return err
	}
	rows := [][]string{{"ID", "UNTIL", "HOSTS", "PROCESSES", "STATES", "REASON"}}
	err := a.eachSilence(ctx, func(s *monitor.Silence) error {
		if output == "json" {
			return writeJSON(a.stdout, s)
		}
		list := func(names []string) string { return render.Escape(cmp.Or(strings.Join(names, ","), "-")) }
		rows = append(rows, []string{
			render.Escape(s.ID), localTime(s.End), list(s.Hosts), list(s.Processes), list(s.States), render.Escape(cmp.Or(s.Reason, "-")),
		})
		return nil
	})
	if err != nil || output == "json" {
		return err
	}
	a.printTable(rows)
	return nil
}

// eachSilence gives each the silences that the service has.
func (a *app) eachSilence(ctx context.Context, each func(*monitor.Silence) error) error {
	return a.askService(ctx, "silence ls", monitor.VerbSilences, nil, func(m json.RawMessage) error {
		var s monitor.Silence
		if err := json.Unmarshal(m, &s); err != nil {
			return err
		}
		return each(&s)
	})
}

func newSilenceEndCommand(a *app) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "end ID…",
		Short: "End silences before their time",
		Long: `End silences before their time: those with these ids, see 'dtc silence ls', or with
--all each. If one of the ids is not there, none is ended.

Exit status: 0 ended, 1 no service runs or there is no such silence, 2 wrong
arguments or no home.`,
		Example:           "  dtc silence end 3f9a\n  dtc silence end --all",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeSilences,
		RunE:              func(c *cobra.Command, args []string) error { return a.silenceEnd(c.Context(), args, all) },
	}
	c.Flags().BoolVar(&all, "all", false, "all of them")
	return c
}

func (a *app) silenceEnd(ctx context.Context, ids []string, all bool) error {
	switch {
	case all && len(ids) > 0:
		return usagef("silence end: --all and an ID: expected one of them")
	case !all && len(ids) == 0:
		return usagef("silence end: ID is missing, expected some of those that 'dtc silence ls' shows, or --all")
	}
	return a.askService(ctx, "silence end", monitor.VerbUnsilence, monitor.UnsilenceRequest{IDs: ids, All: all}, func(m json.RawMessage) error {
		var s monitor.Silence
		if err := json.Unmarshal(m, &s); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s is ended: %s\n", render.Escape(s.ID), render.Escape(silenceAbout(&s)))
		return nil
	})
}

// completeSilences completes the id of a silence.
func (a *app) completeSilences(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var ids []cobra.Completion
	err := a.eachSilence(c.Context(), func(s *monitor.Silence) error {
		if !slices.Contains(args, s.ID) {
			ids = append(ids, cobra.CompletionWithDesc(s.ID, silenceAbout(s)))
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
