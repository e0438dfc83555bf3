package main

import (
	"github.com/spf13/cobra"
)

func newCompletionCommand(a *app) *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(a.stdout, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(a.stdout) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(a.stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(a.stdout) },
	}
	names := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print what completes the commands in a shell: bash, zsh, fish or powershell",
		Long: `Print the script that completes dtc's commands and flags in a shell: bash, zsh,
fish or powershell.

Exit status: 0 printed, 2 no such shell.`,
		Example: `  source <(dtc completion bash)
  dtc completion bash > /etc/bash_completion.d/dtc
  dtc completion zsh > "${fpath[1]}/_dtc"
  dtc completion fish > ~/.config/fish/completions/dtc.fish
  dtc completion powershell | Out-String | Invoke-Expression`,
		Args:      oneArgument("SHELL"),
		ValidArgs: names,
		RunE: func(c *cobra.Command, args []string) error {
			generate := shells[args[0]]
			if generate == nil {
				return usagef("completion: unknown shell %q%s; expected bash, zsh, fish or powershell", args[0], didYouMean(args[0], names))
			}
			return generate(c.Root())
		},
	}
}
