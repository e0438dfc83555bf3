package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"dtc"
	"dtc/internal/agent"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newJoinCommand(a *app) *cobra.Command {
	var token, listen string
	c := &cobra.Command{
		Use:   "join IP:PORT",
		Short: "Join the fleet of the monitor at IP:PORT with a token of 'dtc invite'",
		Long: `Make this host's key, have the monitor at IP:PORT certify it, and write
conf/agent.xml if there is none. The monitor is proven by the token before it
is told anything. It may be repeated: the key is kept.

--listen says where this agent answers questions; ":7701" is short for this
host's own address on the way to the monitor. Without it the agent only ships
logs.

Exit status: 0 joined, 1 the monitor refused or cannot be reached, 2 wrong
arguments.`,
		Example: "  dtc-agent join 10.0.0.5:7700 --token dtc1_… --listen 10.0.0.7:7701",
		Args:    oneArgument("IP:PORT of the monitor"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.join(c.Context(), args[0], token, listen)
		},
	}
	c.Flags().StringVar(&token, "token", "", "the one-time token (required)")
	c.Flags().StringVar(&listen, "listen", "", "IP:PORT on which this agent answers the monitor")
	return c
}

func (a *app) join(ctx context.Context, monitor, token, listen string) error {
	to, err := parseAddress("join", monitor)
	if err != nil {
		return err
	}
	if token == "" {
		return usagef("join: --token is missing: 'dtc invite' on the monitor prints one")
	}
	proof, err := ca.ParseToken(token)
	if err != nil {
		return usageError(fmt.Errorf("join: --token: %w", err))
	}
	at, err := listenAddress(ctx, listen, to)
	if err != nil {
		return err
	}
	dir := filepath.Join(a.homeDir(), "conf", "tls")
	for _, d := range []string{dir, filepath.Join(a.homeDir(), "state")} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return fmt.Errorf("join: %w", err)
		}
	}
	key, csr, err := ca.AgentKey(dir)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	reply, err := wire.Join(ctx, to, proof.TLS(), wire.JoinRequest{Token: proof.Secret, CSR: csr, Listen: at})
	if err != nil {
		return fmt.Errorf("join the fleet of %s: %w%s", to, err, joinHint(err))
	}
	if err := proof.Check(reply.CA); err != nil {
		return fmt.Errorf("join the fleet of %s: %w", to, err)
	}
	if err := ca.StoreAgent(dir, key, reply.Certificate, reply.CA); err != nil {
		return fmt.Errorf("join the fleet of %s: the monitor agreed, but its answer cannot be kept: %w", to, err)
	}
	fmt.Fprintf(a.stdout, "joined the fleet of %s as %s\n", to, printable(reply.Name))
	if err := a.writeConfig(at, to); err != nil {
		return err
	}
	if wire.Control(ctx, agent.SocketPath(a.homeDir()), "", nil, nil) == nil {
		fmt.Fprintln(a.stdout, "Next: start the running agent anew, so that it uses its new certificate")
		return nil
	}
	fmt.Fprintln(a.stdout, "Next: 'dtc-agent run' here; name the log files to follow in "+a.configPath())
	return nil
}

// writeConfig makes agent.xml if there is none.
func (a *app) writeConfig(listen, monitor netip.AddrPort) error {
	path := a.configPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, os.ErrExist) {
		a.tellKept(listen, monitor)
		return nil
	}
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	if _, err = f.Write(config.NewAgentFile(listen, monitor)); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path) // half a file would be taken for the operator's
		return fmt.Errorf("write %s: %w", path, err)
	}
	fmt.Fprintf(a.stdout, "made %s\n", path)
	return nil
}

// tellKept says that there was an agent.xml, and what in it is not as the join
// says.
func (a *app) tellKept(listen, monitor netip.AddrPort) {
	fmt.Fprintf(a.stdout, "kept %s as it was\n", a.configPath())
	cfg, err := config.LoadAgent(a.configPath())
	if err != nil {
		fmt.Fprintln(a.stdout, "but it has mistakes: see 'dtc-agent config check'")
		return
	}
	if listen.IsValid() && cfg.LocalHost != listen {
		fmt.Fprintf(a.stdout, "but the monitor will ask at %s: set local_host to that\n", listen)
	}
	if cfg.MonitorHost != monitor {
		fmt.Fprintf(a.stdout, "but logs go to the monitor_host that it names: set it to %s\n", monitor)
	}
}

// listenAddress reads --listen. A port alone stands for this host's own
// address on the way to the monitor.
func listenAddress(ctx context.Context, listen string, monitor netip.AddrPort) (netip.AddrPort, error) {
	if !strings.HasPrefix(listen, ":") {
		if listen == "" {
			return netip.AddrPort{}, nil
		}
		at, err := parseAddress("--listen", listen)
		if err == nil && at.Addr().IsUnspecified() {
			err = usagef("--listen %s: name the address at which the monitor reaches this host, or \":%d\" for that on the way to it", at, at.Port())
		}
		return at, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", monitor.String()) // sends nothing
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("join %s: there is no way to it from here: %w", monitor, err)
	}
	own, err := netip.ParseAddrPort(conn.LocalAddr().String())
	_ = conn.Close() // nothing was sent over it
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("join %s: %w", monitor, err)
	}
	port, err := strconv.ParseUint(listen[1:], 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, usagef("--listen %q: expected a port from 1, like :7701", listen)
	}
	return netip.AddrPortFrom(own.Addr().Unmap().WithZone(""), uint16(port)), nil
}

// parseAddress reads an ip:port of an option or argument.
func parseAddress(what, value string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(value)
	if err != nil || at.Port() == 0 || at.Addr().Zone() != "" {
		return at, usagef("%s %q: expected IP:PORT with a port from 1, like 10.0.0.5:7700 or [fd00::5]:7700", what, value)
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
}

// joinHint says what to do about an error of joining.
func joinHint(err error) string {
	switch dtc.KindOf(err) {
	case dtc.KindRefused, dtc.KindTimeout, dtc.KindNoRoute:
		return "; is 'dtc serve' running there, and the port open?"
	case dtc.KindCertificate, dtc.KindIdentity:
		return "; it was told nothing"
	default:
		return ""
	}
}

// printable shortens and cleans what the monitor sent.
func printable(s string) string {
	if len(s) > 253 {
		s = s[:253]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
