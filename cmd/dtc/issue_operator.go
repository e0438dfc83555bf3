package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/monitor"
)

// issueOperator makes the home of another machine's operator.
func (a *app) issueOperator(ctx context.Context, name string, opts issueOptions) error {
	role := dtc.Role(opts.role)
	switch {
	case len(opts.ips) > 0 || opts.listen != "":
		return usagef("issue: --ip and --listen are for agents: an operator's certificate has no address")
	case opts.out == "":
		return usagef("issue: --out is missing: the folder to write to")
	case role != dtc.RoleOperator && role != dtc.RoleViewer:
		return usagef("issue: --role %q: expected operator (may do all) or viewer (may read)", opts.role)
	}
	ttl, err := operatorTTL(opts.ttl)
	if err != nil {
		return err
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	at, err := opts.monitorAddress(ctx, cfg)
	if err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(opts.out, "conf", "tls", "operator.key"), filepath.Join(opts.out, "conf", "monitor.xml")} {
		if exists(path) {
			return fmt.Errorf("issue: there is %s already, and it is never overwritten: name another --out", path)
		}
	}
	ends, err := a.certifyOperator(name, role, ttl, opts.out)
	if err != nil {
		return err
	}
	if err := writeNew(filepath.Join(opts.out, "conf", "monitor.xml"), config.NewOperatorFile(at, cfg.Hosts)); err != nil {
		return fmt.Errorf("issue: the certificate is made, but not its monitor.xml: %w; write it by hand", err)
	}
	fmt.Fprintf(a.stdout, "made %s: the home of the %s %s for another machine, good until %s\nCopy it there, delete it here, and run dtc with --home.\n",
		opts.out, role, name, ends.Format("2006-01-02 15:04"))
	return a.applyNow(ctx, monitor.VerbTrust)
}

// certifyOperator writes what an operator proves itself with. What could not be
// written is revoked, so that the name is free for the next try.
func (a *app) certifyOperator(name string, role dtc.Role, ttl time.Duration, out string) (ends time.Time, err error) {
	authority, err := a.openAuthority()
	if err != nil {
		return ends, err
	}
	dir := filepath.Join(out, "conf", "tls")
	if err := os.MkdirAll(dir, 0o700); err != nil { // before the certificate: most likely to fail
		return ends, fmt.Errorf("issue: %w", err)
	}
	ends = time.Now().Add(ttl)
	key, cert, roots, err := authority.IssueOperator(name, role, ttl)
	if err != nil {
		return ends, err
	}
	if err := ca.StoreOperator(dir, key, cert, roots); err != nil {
		_, revokeErr := authority.Revoke(name)
		return ends, fmt.Errorf("issue: %w", errors.Join(err, revokeErr))
	}
	return ends, nil
}

// operatorTTL reads --ttl.
func operatorTTL(text string) (time.Duration, error) {
	if text == "" {
		return ca.OperatorTTL, nil
	}
	ttl, err := parseLength(text)
	if err != nil || ttl <= 0 || ttl > ca.MaxOperatorTTL {
		return 0, usagef("issue: --ttl %q: expected a time like 12h or 7d, at most %dd", text, int(ca.MaxOperatorTTL.Hours()/24))
	}
	return ttl, nil
}

// monitorAddress returns where an operator's machine finds the monitor.
func (o issueOptions) monitorAddress(ctx context.Context, cfg config.Monitor) (netip.AddrPort, error) {
	if o.monitor != "" {
		at, err := parseAddress("--monitor", o.monitor)
		if err == nil && at.Addr().IsUnspecified() {
			err = usagef("--monitor %s: name the address at which the operator's machine reaches this monitor", at)
		}
		return at, err
	}
	if !cfg.LocalHost.IsValid() {
		return netip.AddrPort{}, usagef("issue: the service listens nowhere: set local_host in the monitor.xml here, or name another address with --monitor")
	}
	return monitor.Reachable(ctx, cfg.LocalHost, netip.Addr{}), nil
}
