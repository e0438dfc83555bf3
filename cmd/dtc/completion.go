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
		Long: `Print the script that completes dtc's commands and flags in a shell: bash, zsh,
fish or powershell. Names of hosts, groups, rules and copies are completed too, from
the home. The packages for Linux have installed it.

Exit status: 0 printed, 2 no such shell.`,
		Example: `  source <(dtc completion bash)
  dtc completion bash > /etc/bash_completion.d/dtc
  dtc completion zsh > "${fpath[1]}/_dtc"
  dtc completion fish > ~/.config/fish/completions/dtc.fish
  dtc completion powershell | Out-String | Invoke-Expression`,
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
func newManCommand(a *app) *cobra.Command {
	var day string
	c := &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages of all commands into a folder",
		Hidden: true,
		Long: `Write a manual page for each command, from the same text as its --help, into
the folder DIR: dtc.1, dtc-get.1 and so on.

Exit status: 0 written, 1 it could not, 2 wrong arguments.`,
		Example: "  dtc man --date 2026-11-22 /usr/local/share/man/man1",
		Args:    oneArgument("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			date, err := time.Parse(time.DateOnly, day)
			if err != nil {
				return usagef("man: --date %q: expected a day like 2026-11-22", day)
			}
			// All commands, where c.Root() has but this one.
			return manual.WritePages(args[0], a.command(nil), date)
		},
	}
	c.Flags().StringVar(&day, "date", time.Now().UTC().Format(time.DateOnly), "the `DAY` that stands on the pages")
	return c
}
