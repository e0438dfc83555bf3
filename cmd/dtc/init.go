package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"dtc/internal/ca"
	"dtc/internal/config"

	"github.com/spf13/cobra"
)

// defaultListen is where a new monitor listens: on every interface.
const defaultListen = "0.0.0.0:7700"

func newInitCommand(a *app) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make this folder the home of a fleet: its CA, the monitor's certificate, monitor.xml",
		Long: `Make the home of a fleet: the CA and the monitor's certificate in conf/tls/,
and conf/monitor.xml if there is none. It is safe to repeat: it completes what is
missing and never overwrites a key or a configuration.

Exit status: 0 the home is complete, 1 it could not be made, 2 wrong arguments.`,
		Example: "  dtc init --home /opt/dtc\n  dtc init --listen 10.0.0.5:7700",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.initHome(listen) },
	}
	c.Flags().StringVar(&listen, "listen", "", "IP:PORT that the monitor listens on, for a new monitor.xml (default "+defaultListen+")")
	return c
}

func (a *app) initHome(listen string) error {
	if err := a.mustBeHere("init"); err != nil {
		return err
	}
	given := listen != ""
	if !given {
		listen = defaultListen
	}
	at, err := parseAddress("--listen", listen)
	if err != nil {
		return err
	}
	home, err := filepath.Abs(a.homeDir())
	if err != nil {
		return err
	}
	fresh := !exists(filepath.Join(a.tlsDir(), "ca.key"))
	var ips []netip.Addr
	if given || !exists(filepath.Join(a.tlsDir(), "monitor.crt")) {
		ips = monitorIPs(at.Addr())
	}
	if err := ca.Init(a.tlsDir(), ips); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	for _, dir := range []string{"logs", "state"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o750); err != nil {
			return fmt.Errorf("init: %w", err)
		}
	}
	path := a.configPath()
	switch {
	case !exists(path):
		if err := writeNew(path, config.NewMonitorFile(at)); err != nil {
			return fmt.Errorf("init: %w", err)
		}
		fmt.Fprintf(a.stdout, "made %s: the monitor listens on %s\n", path, at)
	case given:
		fmt.Fprintf(a.stdout, "kept %s as it was; --listen is for a new one, change local_host there\n", path)
	}
	if fresh {
		fmt.Fprintf(a.stdout, "made a CA and the monitor's certificate in %s\n", a.tlsDir())
	}
	fmt.Fprintf(a.stdout, "%s is ready. Next: 'dtc serve' here, and 'dtc invite' for the line to run on each host.\n", home)
	return nil
}

// writeNew makes a configuration file, and never overwrites one.
func writeNew(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path) // half a file would be taken for the operator's
	}
	return err
}

// monitorIPs lists the ips for the monitor's certificate: the one it listens
// on, or those of all interfaces.
func monitorIPs(listen netip.Addr) []netip.Addr {
	if !listen.IsUnspecified() {
		return []netip.Addr{listen}
	}
	addrs, _ := net.InterfaceAddrs() // none is fine: its peers go by the role
	var ips []netip.Addr
	for _, addr := range addrs {
		p, err := netip.ParsePrefix(addr.String())
		if err == nil && !p.Addr().IsLinkLocalUnicast() {
			ips = append(ips, p.Addr().Unmap())
		}
	}
	if len(ips) == 0 {
		ips = append(ips, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return ips
}
