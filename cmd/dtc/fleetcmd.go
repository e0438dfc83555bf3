package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/monitor"
	"dtc/internal/wire"
)

// What the commands that change the fleet share: where its files are, and how
// a running service takes the change up at once.

// tlsDir returns the folder of certificates and keys.
func (a *app) tlsDir() string { return filepath.Join(a.homeDir(), "conf", "tls") }

// socket returns the path of the service's control socket.
func (a *app) socket() string { return monitor.SocketPath(a.homeDir()) }

// loadConfig reads monitor.xml. Its faults are the user's: exit status 2.
func (a *app) loadConfig() (config.Monitor, error) {
	cfg, err := config.LoadMonitor(a.configPath())
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, a.noHome(a.configPath())
	}
	if err != nil {
		return cfg, usageError(err)
	}
	return cfg, nil
}

// noHome is the error of a command that found no home where it looked.
func (a *app) noHome(missing string) error {
	if a.config != "" && missing == a.config {
		return usagef("read %s: no such file; --config names another monitor.xml than that of the home, and 'dtc init' makes a home", missing)
	}
	home, err := filepath.Abs(a.homeDir())
	if err != nil {
		home = a.homeDir()
	}
	return usagef("%s is no DTC home: there is no %s; make one with 'dtc init', or name it with --home or $DTC_HOME", home, missing)
}

// openAuthority opens the fleet's CA.
func (a *app) openAuthority() (*ca.Authority, error) {
	authority, err := ca.Open(a.tlsDir())
	for _, name := range []string{"ca.crt", "ca.key"} {
		if path := filepath.Join(a.tlsDir(), name); err != nil && !exists(path) {
			return nil, a.noHome(path)
		}
	}
	return authority, err
}

// applyNow has a running service take up what has been changed: all of it, or
// with [monitor.VerbTrust] the register of certificates alone. None running is
// no error: it reads the files when it starts.
func (a *app) applyNow(ctx context.Context, verb string) error {
	err := wire.Control(ctx, a.socket(), verb, nil, nil)
	if errors.Is(err, wire.ErrNoService) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w\nthe change is made, but the running service did not take it up: then 'dtc reload'", err)
	}
	return nil
}

// serviceTimeout is how long the service may take for an answer that it has in
// its memory.
const serviceTimeout = 10 * time.Second

// askService has the running service do a command that needs it.
func (a *app) askService(ctx context.Context, command, verb string, request any, each func(json.RawMessage) error) error {
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	err := a.control(ctx, verb, request, each)
	switch {
	case errors.Is(err, wire.ErrNoService) && !exists(a.configPath()):
		return a.noHome(a.configPath())
	case errors.Is(err, wire.ErrNoService):
		return fmt.Errorf("%s: no service runs in the home %s: start it with 'dtc serve', or name its home with --home", command, a.homeDir())
	case err != nil:
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// parseIPs reads the values of --ip, each one or several separated by commas.
func parseIPs(values []string) ([]netip.Addr, error) {
	var ips []netip.Addr
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			ip, err := netip.ParseAddr(strings.TrimSpace(item))
			if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
				return nil, usagef("--ip %q: not the ip address of a host, expected one like 10.0.0.7 or fd00::7", item)
			}
			ips = append(ips, ip.Unmap())
		}
	}
	return ips, nil
}

// parseAddress reads an ip:port of an option or argument.
func parseAddress(what, value string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(value)
	if err != nil || at.Port() == 0 || at.Addr().Zone() != "" {
		return at, usagef("%s %q: expected IP:PORT with a port from 1, like 10.0.0.5:7700 or [fd00::5]:7700", what, value)
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
}

// exists reports whether there is a file at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
