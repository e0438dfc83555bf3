package main

import (
	"slices"

	"dtc"

	"github.com/spf13/cobra"
)

// What the shell can complete of flags and arguments.

// completeFlags adds what the shell completes of the values of c's flags.
func completeFlags(c *cobra.Command, flags map[string]cobra.CompletionFunc) {
	for name, complete := range flags {
		if err := c.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err) // the flag is not there: a mistake in this program
		}
	}
}

// completePaths adds what the shell completes of the values of the flags that
// all commands have: the one folder and the one file.
func completePaths(root *cobra.Command) {
	completeFlags(root, map[string]cobra.CompletionFunc{
		"home":   cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"config": cobra.FixedCompletions([]cobra.Completion{"xml"}, cobra.ShellCompDirectiveFilterFileExt),
	})
}

// completeFiles completes the name of any file.
func completeFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// completeWords completes one of some words, and no files.
func completeWords(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeHosts completes a name or group of a host.
func (a *app) completeHosts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.hostNames()
}

// completeCertified completes the name of a host that has a certificate, or
// stands in monitor.xml: only one.
func (a *app) completeCertified(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	authority, err := a.openAuthority()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := certified(authority)
	if cfg, err := a.loadConfig(); err == nil { // with a mistake in it the certificates are names enough
		for _, h := range cfg.Hosts {
			names = append(names, h.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// completeRules completes the name of a monitor_process.
func (a *app) completeRules(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return ruleNames(cfg.Hosts), cobra.ShellCompDirectiveNoFileComp
}

// completeReceivers completes the name of a notify.
func (a *app) completeReceivers(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return receiverNames(cfg.Receivers), cobra.ShellCompDirectiveNoFileComp
}

// stateNames returns the words of all states.
func stateNames() []string {
	var names []string
	for _, s := range dtc.States() {
		names = append(names, string(s))
	}
	slices.Sort(names)
	return names
}

// completeAliases completes the alias of a copy, or NAME/ALIAS.
func (a *app) completeAliases(c *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := a.copies()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	hosts, _ := c.Flags().GetStringArray("host") // none is fine
	folders, err := all.selectFolders(hosts)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := all.known(folders, word)
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
