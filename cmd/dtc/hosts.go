package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"dtc"
	"dtc/internal/fleet"
	"dtc/internal/render"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newHostsCommand(a *app) *cobra.Command {
	var sel []string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "hosts",
		Short: "List the fleet: name, address, groups, state, version of the agent",
		Long: `List the hosts of monitor.xml, each with whether its agent answers now and the
version of the agent.

Exit status: 0 all answered, 1 some or none did, 2 wrong arguments or
configuration.`,
		Example: "  dtc hosts\n  dtc hosts --host web",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.hosts(c.Context(), sel, timeout) },
	}
	c.Flags().StringArrayVar(&sel, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "for each host")
	return c
}

func (a *app) hosts(ctx context.Context, sel []string, timeout time.Duration) error {
	if timeout <= 0 {
		return usagef("hosts: --timeout %s: expected a time above 0, like 5s", timeout)
	}
	hosts, fl, err := a.openFleet(ctx, sel)
	if err != nil {
		return err
	}
	defer fl.Close()
	state := make([]string, len(hosts))
	info := make([]dtc.Info, len(hosts))
	fl.Each(ctx, hosts, timeout, func(ctx context.Context, i int, c *wire.Client) {
		var err error
		if info[i], err = c.Info(ctx); err != nil {
			state[i] = dtc.KindOf(err).String()
			return
		}
		state[i] = string(dtc.StateReachable)
	})
	a.printHosts(hosts, state, info)
	for _, s := range state {
		if s != string(dtc.StateReachable) {
			return &statusError{exitSome, nil}
		}
	}
	return nil
}

func (a *app) printHosts(hosts []fleet.Host, state []string, info []dtc.Info) {
	rows := [][]string{{"NAME", "ADDRESS", "GROUPS", "STATE", "VERSION"}}
	for i, h := range hosts {
		groups, version := strings.Join(h.Groups, ","), info[i].Version
		if groups == "" {
			groups = "-"
		}
		if version == "" {
			version = "-"
		}
		rows = append(rows, []string{render.Escape(h.Name), h.Address.String(), render.Escape(groups), state[i], render.Escape(version)})
	}
	a.printTable(rows)
}

// errNoHosts is what a command says that has nobody to ask.
var errNoHosts = errors.New("no host is configured")
