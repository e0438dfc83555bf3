package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"dtc/internal/monitor"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

// defaultAgentPort is where an agent listens unless told otherwise.
const defaultAgentPort = 7701

func newInviteCommand(a *app) *cobra.Command {
	var req monitor.InviteRequest
	var ips []string
	c := &cobra.Command{
		Use:   "invite",
		Short: "Print a one-time token and the line that joins a host to the fleet",
		Long: `Print a one-time token and the whole "dtc-agent join" line to run on the host.
The token grants a name and ips: without --ip only the address that the join
comes from, without --name its first ip is the name. It needs the running
service ('dtc serve'), which the host will talk to.

Exit status: 0 done, 1 no service runs or it refused, 2 wrong arguments.`,
		Example: "  dtc invite\n  dtc invite --name web1 --ip 10.0.0.7 --ttl 15m",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if req.TTL <= 0 || req.TTL > 30*24*time.Hour {
				return usagef("invite: --ttl %s: expected a time above 0 and up to 720h, like 1h", req.TTL)
			}
			var err error
			if req.IPs, err = parseIPs(ips); err != nil {
				return err
			}
			return a.invite(c.Context(), req)
		},
	}
	c.Flags().DurationVar(&req.TTL, "ttl", time.Hour, "how long the token lives")
	c.Flags().StringVar(&req.Name, "name", "", "name of the host (default its first ip)")
	c.Flags().StringArrayVar(&ips, "ip", nil, "IP[,IP…] of the host (default the address that it joins from)")
	return c
}

func (a *app) invite(ctx context.Context, req monitor.InviteRequest) error {
	if _, err := a.loadConfig(); err != nil {
		return err
	}
	var reply monitor.InviteReply
	err := a.control(ctx, monitor.VerbInvite, req, func(m json.RawMessage) error {
		return json.Unmarshal(m, &reply)
	})
	if errors.Is(err, wire.ErrNoService) {
		return errors.New("invite: the service does not run in this home, and a host joins through it: start 'dtc serve' first")
	}
	if err != nil {
		return err
	}
	// Without an ip the host itself knows best: its end of the way here.
	listen := ":" + strconv.Itoa(defaultAgentPort)
	if len(req.IPs) > 0 {
		listen = netip.AddrPortFrom(req.IPs[0], defaultAgentPort).String()
	}
	fmt.Fprintf(a.stdout, "token: %s\n\nRun on the host, within %s:\n\n  dtc-agent join %s --token %s --listen %s\n\n",
		reply.Token, req.TTL, reply.Address, reply.Token, listen)
	fmt.Fprintln(a.stdout, "--listen is where the agent answers questions; leave it out for a host that only ships logs.")
	return nil
}
