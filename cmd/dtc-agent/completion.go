package main

import (
	"slices"
	"time"

	"dtc/internal/manual"

	"github.com/spf13/cobra"
)

func newCompletionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print what completes the commands in a shell: bash, zsh, fish or powershell",
		Long: `Print the script that completes dtc-agent's commands and flags in a shell: bash,
zsh, fish or powershell. The packages for Linux have installed it.

Exit status: 0 printed, 2 no such shell.`,
		Example: `  source <(dtc-agent completion bash)
  dtc-agent completion zsh > "${fpath[1]}/_dtc-agent"`,
		Args:      oneArgument("SHELL"),
		ValidArgs: manual.Shells(),
		RunE: func(c *cobra.Command, args []string) error {
			if shells := manual.Shells(); !slices.Contains(shells, args[0]) {
				return usagef("completion: unknown shell %q%s; expected bash, zsh, fish or powershell", args[0], didYouMean(args[0], shells))
			}
			return manual.WriteCompletion(a.stdout, c.Root(), args[0])
		},
	}
}

// newManCommand makes the command that writes the manual pages. It is for who
// makes packages, and hidden.
func newManCommand() *cobra.Command {
	var day string
	c := &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages of all commands into a folder",
		Hidden: true,
		Long: `Write a manual page for each command, from the same text as its --help, into
the folder DIR: dtc-agent.1, dtc-agent-run.1 and so on.

Exit status: 0 written, 1 it could not, 2 wrong arguments.`,
		Example: "  dtc-agent man --date 2026-11-22 /usr/local/share/man/man1",
		Args:    oneArgument("DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			date, err := time.Parse(time.DateOnly, day)
			if err != nil {
				return usagef("man: --date %q: expected a day like 2026-11-22", day)
			}
			return manual.WritePages(args[0], c.Root(), date)
		},
	}
	c.Flags().StringVar(&day, "date", time.Now().UTC().Format(time.DateOnly), "the `DAY` that stands on the pages")
	return c
}

// completeFlags adds what the shell completes of the values of c's flags.
func completeFlags(c *cobra.Command, flags map[string]cobra.CompletionFunc) {
	for name, complete := range flags {
		if err := c.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err) // the flag is not there: a mistake in this program
		}
	}
}

// completeWords completes one of some words, and no files.
func completeWords(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// completePaths adds what the shell completes of the values of the flags that
// all commands have: the one folder and the one file.
func completePaths(root *cobra.Command) {
	completeFlags(root, map[string]cobra.CompletionFunc{
		"home":   cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"config": cobra.FixedCompletions([]cobra.Completion{"xml"}, cobra.ShellCompDirectiveFilterFileExt),
	})
}
