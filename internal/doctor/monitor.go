package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

// Reach says what an error of a connection means, and what to do. who is
// "the monitor" or a host's name.
func Reach(who string, at netip.AddrPort, program string, err error) Finding {
	text := fmt.Sprintf("%s at %s: %v", who, at, err)
	switch dtc.KindOf(err) {
	case dtc.KindRefused:
		return badf("nothing listens there: is '"+program+"' running, and local_host that address?", "%s", text)
	case dtc.KindTimeout:
		return badf("nothing comes back: is the machine up, and does a firewall on the way drop it?", "%s", text)
	case dtc.KindNoRoute:
		return badf("the network has no way there: see the address, the route, and a firewall on this machine", "%s", text)
	case dtc.KindCertificate:
		return badf("was it revoked, or is a clock wrong? 'dtc invite' prints the line that joins a host again", "%s", text)
	case dtc.KindIdentity:
		return badf("somebody else has that address: see ip_port and the ips of the certificate", "%s", text)
	default:
		return badf("see the log of '"+program+"' there", "%s", text)
	}
}

// ToMonitor asks the monitor, as this agent, for nothing.
func ToMonitor(dir string, to netip.AddrPort) Check {
	return Check{"monitor", func(ctx context.Context) []Finding {
		if !to.IsValid() {
			return []Finding{okf("no monitor_host is set: no logs are shipped")}
		}
		credentials, err := ca.Load(dir, dtc.RoleAgent)
		if err != nil {
			return nil // the certificate's own line tells
		}
		dialer := wire.Dialer{TLS: credentials.ToMonitor()}
		client := wire.NewClient(func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, to, wire.ProtoRPC) })
		defer client.Close()
		_, err = client.Renew(ctx, dtc.TrustState{})
		switch dtc.KindOf(err) {
		case dtc.KindRefused, dtc.KindTimeout, dtc.KindNoRoute, dtc.KindCertificate, dtc.KindIdentity, dtc.KindUnavailable:
			return []Finding{Reach("the monitor", to, "dtc serve", err)}
		default: // whatever it said, it let this agent in
			return []Finding{okf("%s lets this agent in", to)}
		}
	}}
}

// Clocks that differ by more make times in events wrong, and then certificates
// invalid.
const (
	skewWarn = 5 * time.Second
	skewBad  = time.Minute
)

// Clock judges a host's clock: it said at when asked between two times of this
// machine's clock.
func Clock(who string, at, before, after time.Time) Finding {
	const advice = "set the clock that is wrong, and let it be kept: chrony, systemd-timesyncd, w32time"
	off := time.Duration(0)
	switch {
	case at.Before(before):
		off = at.Sub(before)
	case at.After(after):
		off = at.Sub(after)
	}
	text := fmt.Sprintf("the clock of %s is %s %s", who, off.Abs().Round(time.Millisecond), map[bool]string{true: "behind", false: "ahead"}[off < 0])
	switch {
	case off.Abs() > skewBad:
		return Finding{Bad, "clock", text, advice}
	case off.Abs() > skewWarn:
		return Finding{Warn, "clock", text, advice}
	default:
		return Finding{Level: OK, Check: "clock", Finding: fmt.Sprintf("that of %s is right to %s", who, max(off.Abs(), after.Sub(before)).Round(time.Millisecond))}
	}
}
