package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"dtc"
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

	operator bool // it is for a person, not for a host
	role     string
	ttl      string
}

func newIssueCommand(a *app) *cobra.Command {
	var opts issueOptions
	c := &cobra.Command{
		Use:   "issue NAME",
		Short: "Make an agent's certificate for a host without a network to this one, or an operator's",
		Long: `Make the key and certificate of an agent in DIR/conf/tls/, to be copied to the
host as its home. With --listen or --monitor DIR/conf/agent.xml is written too;
with --listen the host is added to monitor.xml, unless it stands there already.

With --operator it makes the home of a person's second machine instead: a
certificate that needs no ip, and a conf/monitor.xml with the hosts, whose
local_host is where the monitor is. There dtc asks the agents straight, and what
needs the service goes to the monitor over TLS. --role operator may do what dtc
can; --role viewer may get, top, hosts, logs ls, logs verify, silence ls and notify
ls. It ends after --ttl, and sooner with 'dtc revoke NAME'.

The folder holds a private key: carry it safely, and delete it here afterwards.

Exit status: 0 done, 1 it could not be issued, 2 wrong arguments.`,
		Example: `  dtc issue web1 --ip 10.0.0.7 --out /media/usb/web1 --listen 10.0.0.7:7701 --monitor 10.0.0.5:7700
  dtc issue --operator alice --out /media/usb/alice
  dtc issue --operator --role viewer --ttl 30d desk --out desk`,
		Args: oneArgument("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.mustBeHere("issue"); err != nil {
				return err
			}
			if opts.operator {
				return a.issueOperator(c.Context(), args[0], opts)
			}
			if c.Flags().Changed("role") || c.Flags().Changed("ttl") {
				return usagef("issue: --role and --ttl are for people: with --operator")
			}
			return a.issue(c.Context(), args[0], opts)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&opts.ips, "ip", nil, "IP[,IP…] of the host (required)")
	f.StringVar(&opts.out, "out", "", "folder to write to (required)")
	f.StringVar(&opts.listen, "listen", "", "IP:PORT that the agent listens on")
	f.StringVar(&opts.monitor, "monitor", "", "IP:PORT of this monitor, for the logs that the agent ships")
	f.BoolVar(&opts.operator, "operator", false, "for a person's machine, not for a host")
	f.StringVar(&opts.role, "role", string(dtc.RoleOperator), "operator (may do all) or viewer (may read)")
	f.StringVar(&opts.ttl, "ttl", "", "how long an operator's certificate lives, like 12h or 30d (default 7d)")
	completeFlags(c, map[string]cobra.CompletionFunc{
		"out":  cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"role": completeWords(string(dtc.RoleOperator), string(dtc.RoleViewer)),
	})
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
