package ca

import (
	"crypto/tls"
	"net/netip"

	"dtc"
)

// ToAgents returns [Credentials.ClientTLS] for dialing agents: each must have
// the ip that is dialed.
func (c *Credentials) ToAgents(revoked func(dtc.Peer) bool) func(ip netip.Addr) *tls.Config {
	return func(ip netip.Addr) *tls.Config { return c.ClientTLS(ip, dtc.RoleAgent, revoked) }
}

// ToMonitor returns [Credentials.ClientTLS] for dialing the monitor, which is
// known by its role, so that it may move to another address.
func (c *Credentials) ToMonitor() func(ip netip.Addr) *tls.Config {
	return func(netip.Addr) *tls.Config { return c.ClientTLS(netip.Addr{}, dtc.RoleMonitor, nil) }
}
