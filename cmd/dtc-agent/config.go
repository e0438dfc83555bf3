package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newConfigCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Check the configuration",
		Example: "  dtc-agent config check",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("config: expected 'dtc-agent config check'")
		},
	}
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

Exit status: 0 applied, 1 no agent runs or the file has a mistake.`,
		Example: "  dtc-agent reload --home /opt/dtc",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.reload(c.Context()) },
	}
}

func (a *app) reload(ctx context.Context) error {
	path := filepath.Join(a.homeDir(), "state", "agent.sock")
	err := wire.Control(ctx, path, "reload", nil, nil)
	if errors.Is(err, wire.ErrNoService) {
		return fmt.Errorf("reload: no agent runs in the home %s: start it with 'dtc-agent run', or name its home with --home", a.homeDir())
	}
	if err != nil {
		return fmt.Errorf("%w\nreload: the running configuration stays", err)
	}
	fmt.Fprintln(a.stdout, "configuration applied")
	return nil
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  dtc-agent version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(a.stdout, "dtc-agent", version)
			return nil
		},
	}
}
