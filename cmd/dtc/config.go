package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newConfigCommand(a *app) *cobra.Command {
	c := asGroup(&cobra.Command{
		Use:   "config",
		Short: "Check the configuration",
		Long: `Check the configuration.

Exit status: 0 no mistake, 2 mistakes, no file or no such command.`,
		Example: "  dtc config check",
	})
	c.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Read monitor.xml and report every mistake in it",
		Long: `Read monitor.xml and report every mistake in it as FILE:LINE: what is wrong,
and what is expected. Nothing is started or changed.

Exit status: 0 no mistake, 2 mistakes or no file.`,
		Example: "  dtc config check --config new-monitor.xml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := a.loadConfig(); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: no mistake\n", a.configPath())
			return nil
		},
	})
	return c
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version.

Exit status: 0.`,
		Example: "  dtc version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(a.stdout, "dtc", version)
			return nil
		},
	}
}
