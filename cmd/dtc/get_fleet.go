package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"sync"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/wire"
)

// openFleet returns the hosts of monitor.xml that the selectors choose, all
// without one, and what asks them. A certificate that is soon over is told.
func (a *app) openFleet(ctx context.Context, selectors []string) ([]fleet.Host, *fleet.Fleet, error) {
	hosts, fl, _, err := a.openConfigured(ctx, selectors)
	return hosts, fl, err
}

// openConfigured returns the configuration too.
func (a *app) openConfigured(ctx context.Context, selectors []string) ([]fleet.Host, *fleet.Fleet, config.Monitor, error) {
	register := ahead(a.revoked)
	defer func() { _, _ = register() }() // it ends before we do
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, nil, cfg, err
	}
	if len(cfg.Hosts) == 0 {
		return nil, nil, cfg, usagef("%s: %w; add one with 'dtc invite', or with 'dtc issue' where there is no network", a.configPath(), errNoHosts)
	}
	all := make([]fleet.Host, len(cfg.Hosts))
	for i, h := range cfg.Hosts {
		all[i] = fleet.Host{Name: h.Name, Address: h.Address, Groups: h.Groups}
	}
	hosts, err := fleet.Select(all, selectors)
	if err != nil {
		return nil, nil, cfg, usagef("--host: %w", err)
	}
	credentials, err := a.credentials()
	if err != nil {
		return nil, nil, cfg, err
	}
	revoked, err := register()
	if err != nil {
		return nil, nil, cfg, err
	}
	if a.away() {
		if err := a.learnNow(ctx, credentials); err != nil {
			return nil, nil, cfg, err
		}
	}
	dialer := wire.Dialer{TLS: credentials.ToAgents(revoked)}
	connect := func(h fleet.Host) *wire.Client {
		return wire.NewClient(func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, h.Address, wire.ProtoRPC) })
	}
	return hosts, fleet.New(connect), cfg, nil
}

// ahead begins to load what is needed a little later, and returns what waits for
// it.
func ahead[T any](load func() (T, error)) func() (T, error) {
	var value T
	var err error
	var loading sync.WaitGroup
	loading.Go(func() { value, err = load() })
	return func() (T, error) {
		loading.Wait()
		return value, err
	}
}

// credentials returns what the monitor, or the operator of the home, proves
// itself with.
func (a *app) credentials() (*ca.Credentials, error) {
	credentials, err := ca.Load(a.tlsDir(), a.role())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, a.noHome(filepath.Join(a.tlsDir(), "monitor.crt"))
	}
	if err != nil {
		return nil, usageError(err)
	}
	for _, warning := range credentials.Warnings(time.Now()) {
		fmt.Fprintln(a.stderr, "dtc: "+warning)
	}
	return credentials, nil
}

// revoked returns what tells whether an agent's certificate is not good any
// more. Where there is no CA, nothing is known of that; a CA without its register
// trusts nobody.
func (a *app) revoked() (func(dtc.Peer) bool, error) {
	authority, err := ca.Open(a.tlsDir())
	switch {
	case errors.Is(err, fs.ErrNotExist) && !exists(filepath.Join(a.tlsDir(), "ca.key")):
		return nil, nil
	case err != nil:
		return nil, usageError(err)
	}
	return func(p dtc.Peer) bool { return !authority.Valid(p) }, nil
}
