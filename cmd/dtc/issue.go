package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"dtc/internal/ca"
	"dtc/internal/config"

	"github.com/spf13/cobra"
)

// issueOptions are the flags of dtc issue.
type issueOptions struct {
	ips     []string
	out     string
	listen  string
	monitor string
}

func newIssueCommand(a *app) *cobra.Command {
	var opts issueOptions
	c := &cobra.Command{
		Use:   "issue NAME",
		Short: "Make an agent's certificate for a host without a network to this one",
		Long: `Make the key and certificate of an agent in DIR/conf/tls/, to be copied to the
host as its home. With --listen or --monitor DIR/conf/agent.xml is written too;
with --listen the host is added to monitor.xml.

The folder holds a private key: carry it safely, and delete it here afterwards.

Exit status: 0 done, 1 it could not be issued, 2 wrong arguments.`,
		Example: "  dtc issue web1 --ip 10.0.0.7 --out /media/usb/web1 --listen 10.0.0.7:7701 --monitor 10.0.0.5:7700",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.issue(c.Context(), args[0], opts) },
	}
	f := c.Flags()
	f.StringArrayVar(&opts.ips, "ip", nil, "IP[,IP…] of the host (required)")
	f.StringVar(&opts.out, "out", "", "folder to write to (required)")
	f.StringVar(&opts.listen, "listen", "", "IP:PORT that the agent listens on")
	f.StringVar(&opts.monitor, "monitor", "", "IP:PORT of this monitor, for the logs that the agent ships")
	return c
}

func (a *app) issue(ctx context.Context, name string, opts issueOptions) error {
	ips, err := parseIPs(opts.ips)
	if err != nil {
		return err
	}
	if len(ips) == 0 {
		return usagef("issue: --ip is missing: the ips by which the host is known")
	}
	if opts.out == "" {
		return usagef("issue: --out is missing: the folder to write to")
	}
	listen, to, err := opts.addresses(ips)
	if err != nil {
		return err
	}
	if exists(filepath.Join(opts.out, "conf", "tls", "agent.key")) {
		return fmt.Errorf("issue: %s has an agent's key already, and a key is never overwritten: name another --out", opts.out)
	}
	if listen.IsValid() {
		cfg, err := a.loadConfig()
		if err != nil {
			return err
		}
		if err := freeHost(cfg, name, listen); err != nil {
			return err
		}
	}
	authority, err := a.openAuthority()
	if err != nil {
		return err
	}
	key, cert, caCert, _, err := authority.Issue(name, ips)
	if err != nil {
		return fmt.Errorf("issue: %w", err)
	}
	if err := ca.StoreAgent(filepath.Join(opts.out, "conf", "tls"), key, cert, caCert); err != nil {
		return fmt.Errorf("issue: %w", err)
	}
	if listen.IsValid() || to.IsValid() {
		path := filepath.Join(opts.out, "conf", "agent.xml")
		if err := writeNew(path, config.NewAgentFile(listen, to)); err != nil {
			return fmt.Errorf("issue: %w", err)
		}
	}
	if listen.IsValid() {
		if err := config.AddHost(a.configPath(), config.Host{Name: name, Address: listen}); err != nil {
			return fmt.Errorf("issue: the certificate is made, but the host could not be added: %w", err)
		}
	}
	fmt.Fprintf(a.stdout, "made %s: copy it to the host and run 'dtc-agent run --home …' there\n", opts.out)
	return a.applyNow(ctx)
}

// addresses reads --listen and --monitor.
func (o issueOptions) addresses(ips []netip.Addr) (listen, to netip.AddrPort, err error) {
	if o.listen != "" {
		if listen, err = parseAddress("--listen", o.listen); err != nil {
			return listen, to, err
		}
		granted := false
		for _, ip := range ips {
			granted = granted || ip == listen.Addr()
		}
		if !granted {
			return listen, to, usagef("--listen %s: its ip is none of --ip, so nobody could prove the agent there", listen)
		}
	}
	if o.monitor != "" {
		to, err = parseAddress("--monitor", o.monitor)
	}
	return listen, to, err
}

// freeHost fails if the configuration has a host of that name or address.
func freeHost(cfg config.Monitor, name string, at netip.AddrPort) error {
	for _, h := range cfg.Hosts {
		if h.Name == name || h.Address == at {
			return fmt.Errorf("issue: the configuration has the host %s (%s) already: 'dtc forget %s' first", h.Name, h.Address, h.Name)
		}
	}
	return nil
}

func newRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Refuse an agent from now on, its open connections included",
		Long: `Revoke the certificate of the host NAME: it is refused from now on, and a
running service closes its connections at once.

Exit status: 0 revoked, 1 no certificate has that name.`,
		Example: "  dtc revoke web1",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			authority, err := a.openAuthority()
			if err != nil {
				return err
			}
			if _, err := authority.Revoke(args[0]); err != nil {
				return fmt.Errorf("revoke %s: %w", args[0], err)
			}
			fmt.Fprintf(a.stdout, "%s is revoked\n", args[0])
			return a.applyNow(c.Context())
		},
	}
}

func newForgetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "forget NAME",
		Short: "Take a host out of monitor.xml and revoke it; its logs stay",
		Long: `Take the host NAME out of monitor.xml and revoke its certificate. What is
stored under logs/ stays.

Exit status: 0 forgotten, 1 no such host, 2 monitor.xml has a mistake.`,
		Example: "  dtc forget web1",
		Args:    cobra.ExactArgs(1),
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
	// Revoked first: if the second step fails the host is at least out.
	_, revokeErr := authority.Revoke(name)
	if revokeErr != nil && !errors.Is(revokeErr, ca.ErrNotIssued) {
		return fmt.Errorf("forget %s: %w", name, revokeErr)
	}
	configured := false
	for _, h := range cfg.Hosts {
		configured = configured || h.Name == name
	}
	if !configured && revokeErr != nil {
		return fmt.Errorf("forget %s: neither %s nor a certificate has that name", name, a.configPath())
	}
	if configured {
		if _, err := config.RemoveHost(a.configPath(), name); err != nil {
			return fmt.Errorf("forget %s: %w", name, err)
		}
	}
	fmt.Fprintf(a.stdout, "%s is forgotten; its logs stay\n", name)
	return a.applyNow(ctx)
}
