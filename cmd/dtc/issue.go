package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/monitor"

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
with --listen the host is added to monitor.xml, unless it stands there already.

The folder holds a private key: carry it safely, and delete it here afterwards.

Exit status: 0 done, 1 it could not be issued, 2 wrong arguments.`,
		Example: "  dtc issue web1 --ip 10.0.0.7 --out /media/usb/web1 --listen 10.0.0.7:7701 --monitor 10.0.0.5:7700",
		Args:    oneArgument("NAME"),
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
	if err := opts.freeFolder(); err != nil {
		return err
	}
	there := false
	if listen.IsValid() {
		cfg, err := a.loadConfig()
		if err != nil {
			return err
		}
		if there, err = hasHost(cfg, name, listen); err != nil {
			return err
		}
	}
	if err := a.issueTo(name, ips, opts.out); err != nil {
		return err
	}
	if listen.IsValid() || to.IsValid() {
		if err := writeNew(filepath.Join(opts.out, "conf", "agent.xml"), config.NewAgentFile(listen, to)); err != nil {
			return fmt.Errorf("issue: the certificate is made, but not its agent.xml: %w; write it by hand", err)
		}
	}
	if listen.IsValid() && !there {
		if err := config.AddHost(a.configPath(), config.Host{Name: name, Address: listen}); err != nil {
			return fmt.Errorf("issue: the certificate is made, but the host is not in the configuration: %w", err)
		}
	}
	fmt.Fprintf(a.stdout, "made %s: copy it to the host as its home and run 'dtc-agent run --home …' there\n", opts.out)
	if !listen.IsValid() && !to.IsValid() {
		fmt.Fprintln(a.stdout, "It has no conf/agent.xml yet: --listen or --monitor would have made one.")
	}
	return a.applyNow(ctx, monitor.VerbReload)
}

// issueTo certifies an agent and writes what it proves itself with. What could
// not be written is revoked, so that the name and ips are free for the next try.
func (a *app) issueTo(name string, ips []netip.Addr, out string) error {
	authority, err := a.openAuthority()
	if err != nil {
		return err
	}
	dir := filepath.Join(out, "conf", "tls")
	if err := os.MkdirAll(dir, 0o700); err != nil { // before the certificate: most likely to fail
		return fmt.Errorf("issue: %w", err)
	}
	key, cert, caCert, _, err := authority.Issue(name, ips)
	if err != nil {
		return err
	}
	if err := ca.StoreAgent(dir, key, cert, caCert); err != nil {
		_, revokeErr := authority.Revoke(name)
		return fmt.Errorf("issue: %w", errors.Join(err, revokeErr))
	}
	return nil
}

// freeFolder fails if the folder has what would have to be overwritten.
func (o issueOptions) freeFolder() error {
	if exists(filepath.Join(o.out, "conf", "tls", "agent.key")) {
		return fmt.Errorf("issue: %s has an agent's key already, and a key is never overwritten: name another --out", o.out)
	}
	if path := filepath.Join(o.out, "conf", "agent.xml"); (o.listen != "" || o.monitor != "") && exists(path) {
		return fmt.Errorf("issue: there is %s already, and a configuration is never overwritten: name another --out, or leave out --listen and --monitor", path)
	}
	return nil
}

// addresses reads --listen and --monitor.
func (o issueOptions) addresses(ips []netip.Addr) (listen, to netip.AddrPort, err error) {
	if o.listen != "" {
		if listen, err = parseAddress("--listen", o.listen); err != nil {
			return listen, to, err
		}
		if !slices.Contains(ips, listen.Addr()) {
			return listen, to, usagef("--listen %s: its ip is none of --ip, so nobody could prove the agent there", listen)
		}
	}
	if o.monitor != "" {
		if to, err = parseAddress("--monitor", o.monitor); err == nil && to.Addr().IsUnspecified() {
			err = usagef("--monitor %s: name the address at which the host reaches this monitor", to)
		}
	}
	return listen, to, err
}

// hasHost reports whether the configuration has that host already. It fails if
// the name or the address is another's.
func hasHost(cfg config.Monitor, name string, at netip.AddrPort) (bool, error) {
	for _, h := range cfg.Hosts {
		switch {
		case h.Name == name && h.Address == at:
			return true, nil
		case h.Address == at:
			return false, fmt.Errorf("issue: %s is the host %s in the configuration: issue it under that name, or 'dtc forget %s' first", at, h.Name, h.Name)
		case h.Name == name:
			return false, fmt.Errorf("issue: the host %s has the address %s in the configuration: 'dtc forget %s' first, or choose another name", name, h.Address, name)
		}
	}
	return false, nil
}
