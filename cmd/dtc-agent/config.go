package main

import (
	"context"
	"errors"
	"fmt"

	"dtc/internal/agent"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newConfigCommand(a *app) *cobra.Command {
	c := asGroup(&cobra.Command{
		Use:   "config",
		Short: "Check the configuration",
		Long: `Check the configuration.

Exit status: 0 no mistake, 2 mistakes, no file or no such command.`,
		Example: "  dtc-agent config check",
	})
	c.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Read agent.xml and report every mistake in it",
		Long: `Read agent.xml and report every mistake in it as FILE:LINE: what is wrong,
and what is expected. Nothing is started or changed.

Exit status: 0 no mistake, 2 mistakes or no file.`,
		Example: "  dtc-agent config check --config new-agent.xml",
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

func newReloadCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running agent read its configuration again",
		Long: `Have the running agent read its configuration again and apply all of it. A
file with a mistake is reported and the running configuration stays.

Exit status: 0 applied, 1 no agent runs, the file has a mistake or the new
local_host cannot be listened on, 2 no home or wrong arguments.`,
		Example: "  dtc-agent reload --home /opt/dtc",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.reload(c.Context()) },
	}
}

func (a *app) reload(ctx context.Context) error {
	err := wire.Control(ctx, agent.SocketPath(a.homeDir()), agent.VerbReload, nil, nil)
	if errors.Is(err, wire.ErrNoService) {
		if _, err := a.loadConfig(); err != nil {
			return err
		}
		return fmt.Errorf("reload: no agent runs in the home %s: start it with 'dtc-agent run', or name its home with --home", a.homeDir())
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "configuration applied")
	return nil
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version.

Exit status: 0.`,
		Example: "  dtc-agent version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(a.stdout, "dtc-agent", version)
			return nil
		},
	}
}
