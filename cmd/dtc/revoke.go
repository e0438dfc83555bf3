package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/monitor"

	"github.com/spf13/cobra"
)

func newRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Refuse an agent or an operator from now on, its open connections included",
		Long: `Revoke the certificate of the host or the operator NAME: it is refused from now
on. A running service closes its connections at once and hands the new list of
revoked certificates to every agent, which does so too. A host stays in
monitor.xml; see 'dtc forget'.

Exit status: 0 revoked, 1 no certificate has that name, 2 wrong arguments or no
home.`,
		Example: "  dtc revoke web1\n  dtc revoke alice",
		Args:    oneArgument("NAME"),
		RunE:    func(c *cobra.Command, args []string) error { return a.revoke(c.Context(), args[0]) },

		ValidArgsFunction: a.completeCertified,
	}
}

func (a *app) revoke(ctx context.Context, name string) error {
	if a.away() {
		return a.revokeThere(ctx, monitor.VerbRevoke, name, "is revoked")
	}
	authority, err := a.openAuthority()
	if err != nil {
		return err
	}
	var hosts []config.Host // with a mistake in the file it goes by the certificates' names alone
	if cfg, err := config.LoadMonitor(a.configPath()); err == nil {
		hosts = cfg.Hosts
	}
	names, err := monitor.RevokeHost(authority, name, hosts)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", name, err)
	}
	if len(names) == 0 {
		return fmt.Errorf("revoke %s: no certificate has that name%s", name, didYouMean(name, certified(authority)))
	}
	fmt.Fprintf(a.stdout, "%s is revoked\n", name)
	return a.applyNow(ctx, monitor.VerbTrust)
}

func newForgetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "forget NAME",
		Short: "Take a host out of monitor.xml and revoke it; its logs stay",
		Long: `Take the host NAME out of monitor.xml and revoke its certificate. What is
stored under logs/ stays.

Exit status: 0 forgotten, 1 no such host, 2 wrong arguments, no home or a mistake
in monitor.xml.`,
		Example: "  dtc forget web1",
		Args:    oneArgument("NAME"),
		RunE:    func(c *cobra.Command, args []string) error { return a.forget(c.Context(), args[0]) },

		ValidArgsFunction: a.completeCertified,
	}
}

// revokeThere has the monitor do it.
func (a *app) revokeThere(ctx context.Context, verb, name, done string) error {
	if err := a.askService(ctx, verb, verb, monitor.RevokeRequest{Name: name}, nil); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s %s\n", name, done)
	return nil
}

func (a *app) forget(ctx context.Context, name string) error {
	if a.away() {
		return a.revokeThere(ctx, monitor.VerbForget, name, "is forgotten; its logs stay")
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	authority, err := a.openAuthority()
	if err != nil {
		return err
	}
	configured := slices.ContainsFunc(cfg.Hosts, func(h config.Host) bool { return h.Name == name })
	// Revoked first: if the second step fails the host is at least out.
	names, err := monitor.RevokeHost(authority, name, cfg.Hosts)
	switch {
	case err != nil:
		return fmt.Errorf("forget %s: %w", name, err)
	case !configured && len(names) == 0:
		known := certified(authority)
		for _, h := range cfg.Hosts {
			known = append(known, h.Name)
		}
		return fmt.Errorf("forget %s: neither %s nor a certificate has that name%s", name, a.configPath(), didYouMean(name, known))
	}
	if configured {
		if _, err := config.RemoveHost(a.configPath(), name); err != nil {
			return errors.Join(
				fmt.Errorf("forget %s: it is revoked, but still in the configuration: %w", name, err),
				a.applyNow(ctx, monitor.VerbTrust))
		}
	}
	fmt.Fprintf(a.stdout, "%s is forgotten; its logs stay\n", name)
	return a.applyNow(ctx, monitor.VerbReload)
}

// certified returns the names of all certificates but the monitor's.
func certified(authority *ca.Authority) []string {
	var names []string
	for _, r := range authority.Issued() {
		if r.Role != dtc.RoleMonitor {
			names = append(names, r.Name)
		}
	}
	return names
}
