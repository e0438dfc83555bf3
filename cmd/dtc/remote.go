package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

// The home of an operator on another machine than the monitor's: it has an
// operator's certificate in place of the monitor's. What asks agents works there
// as it does here; what needs the service goes to the monitor over TLS.

// away reports whether the home is that of an operator.
func (a *app) away() bool {
	return !exists(filepath.Join(a.tlsDir(), "monitor.crt")) && exists(filepath.Join(a.tlsDir(), "operator.crt"))
}

// mustBeHere is the error of a command that reads or changes the monitor's own
// files, in an operator's home; nil on the monitor.
func (a *app) mustBeHere(command string) error {
	if !a.away() {
		return nil
	}
	return usagef("%s: this needs the monitor's machine, and %s is the home of an operator elsewhere", command, a.homeDir())
}

// control has the service carry out a verb, wherever it is.
func (a *app) control(ctx context.Context, verb string, request any, each func(json.RawMessage) error) error {
	if !a.away() {
		return wire.Control(ctx, a.socket(), verb, request, each)
	}
	client, creds, err := a.monitorClient()
	if err != nil {
		return err
	}
	defer client.Close()
	switch err := client.Control(ctx, verb, request, each); {
	case dtc.KindOf(err) == dtc.KindCertificate && !errors.Is(err, wire.ErrDates):
		return fmt.Errorf("%w; if this certificate was revoked, ask the monitor's admin for another: dtc issue --operator", err)
	case err != nil:
		return err
	}
	learn(ctx, client, creds)
	return nil
}

// monitorClient returns a client of the monitor with the operator's certificate.
func (a *app) monitorClient() (*wire.Client, *ca.Credentials, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	if !cfg.LocalHost.IsValid() {
		return nil, nil, usagef("%s: there is no local_host, which says where the monitor is", a.configPath())
	}
	creds, err := a.credentials()
	if err != nil {
		return nil, nil, err
	}
	dialer := wire.Dialer{TLS: creds.ToMonitor()}
	return wire.NewClient(func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, cfg.LocalHost, wire.ProtoRPC) }), creds, nil
}

const (
	learnTime  = 2 * time.Second  // for the monitor to say whom to trust
	learnEvery = 10 * time.Minute // between two times of asking it only for that
)

// learn takes what is new of whom to trust. Without it what is known goes on.
func learn(ctx context.Context, client *wire.Client, creds *ca.Credentials) {
	ctx, cancel := context.WithTimeout(ctx, learnTime)
	defer cancel()
	state, err := creds.State()
	if err != nil {
		return
	}
	state.Request = nil // people get another certificate from the monitor's admin
	grant, err := client.Renew(ctx, state)
	if err == nil && !grant.Empty() {
		_, _ = creds.Take(grant)
	}
}

// learnNow asks the monitor whom to trust, before agents are asked straight, if
// that was not done a while ago.
func (a *app) learnNow(ctx context.Context, creds *ca.Credentials) error {
	stamp := filepath.Join(a.homeDir(), "state", "asked-whom-to-trust")
	if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < learnEvery {
		return nil
	}
	client, _, err := a.monitorClient()
	if err != nil {
		return err
	}
	defer client.Close()
	learn(ctx, client, creds)
	if err := touch(stamp); err != nil {
		fmt.Fprintln(a.stderr, "dtc: note that the monitor was asked whom to trust:", err)
	}
	return nil
}

// touch makes a file of now.
func touch(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, nil, fs.FileMode(0o600))
}

// role is whose certificate the home has.
func (a *app) role() dtc.Role {
	if a.away() {
		return dtc.RoleOperator
	}
	return dtc.RoleMonitor
}
