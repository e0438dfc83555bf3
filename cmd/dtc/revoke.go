package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/monitor"

	"github.com/spf13/cobra"
)

func newRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Refuse an agent from now on, its open connections included",
		Long: `Revoke the certificate of the host NAME: it is refused from now on, and a
running service closes its connections at once. The host stays in monitor.xml;
see 'dtc forget'.

Exit status: 0 revoked, 1 no certificate has that name, 2 wrong arguments or no
home.`,
		Example: "  dtc revoke web1",
		Args:    oneArgument("NAME"),
		RunE:    func(c *cobra.Command, args []string) error { return a.revoke(c.Context(), args[0]) },
	}
}

func (a *app) revoke(ctx context.Context, name string) error {
	authority, err := a.openAuthority()
	if err != nil {
		return err
	}
	var hosts []config.Host // with a mistake in the file it goes by the certificates' names alone
	if cfg, err := config.LoadMonitor(a.configPath()); err == nil {
		hosts = cfg.Hosts
	}
	names, err := revokeHost(authority, name, hosts)
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
	}
}

func (a *app) forget(ctx context.Context, name string) error {
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
	names, err := revokeHost(authority, name, cfg.Hosts)
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

// revokeHost revokes the certificates that have the host's name and, as the
// configuration may call it otherwise than its certificate does, the one with
// the ip of its agent. It returns the names of what it revoked. A certificate
// whose ip another configured host has too is not touched: it is that one's.
func revokeHost(authority *ca.Authority, name string, hosts []config.Host) (names []string, err error) {
	switch _, err := authority.Revoke(name); {
	case err == nil:
		names = append(names, name)
	case !errors.Is(err, ca.ErrNotIssued):
		return nil, err
	}
	i := slices.IndexFunc(hosts, func(h config.Host) bool { return h.Name == name })
	if i < 0 {
		return names, nil
	}
	other := certificateOf(authority, hosts[i].Address.Addr())
	if other == "" || slices.ContainsFunc(hosts, func(h config.Host) bool {
		return h.Name != name && h.Address.Addr() == hosts[i].Address.Addr()
	}) {
		return names, nil
	}
	if _, err := authority.Revoke(other); err != nil {
		return names, err
	}
	return append(names, other), nil
}

// certificateOf returns the name of the valid agent's certificate with an ip,
// "" if there is none.
func certificateOf(authority *ca.Authority, ip netip.Addr) string {
	now := time.Now()
	for _, r := range authority.Issued() {
		if r.Role == dtc.RoleAgent && r.Valid(now) && slices.Contains(r.IPs, ip) {
			return r.Name
		}
	}
	return ""
}

// certified returns the names of all agents' certificates.
func certified(authority *ca.Authority) []string {
	var names []string
	for _, r := range authority.Issued() {
		if r.Role == dtc.RoleAgent {
			names = append(names, r.Name)
		}
	}
	return names
}
