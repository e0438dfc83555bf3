//go:build !linux

package status

import (
	"context"
	"math"
	"net"
	"strings"

	"dtc"
)

// interfaces answers what ip -s link prints, as far as the system knows it.
func (c *Collector) interfaces(ctx context.Context) ([]dtc.Interface, []string, error) {
	list, err := try("interfaces", net.Interfaces)
	if err != nil {
		return nil, nil, err
	}
	items := make([]dtc.Interface, len(list))
	for i := range list {
		items[i] = commonLink(&list[i])
	}
	var notes []string
	if _, err := try("counters", func() (struct{}, error) { return struct{}{}, c.host.fillLinks(ctx, items) }); err != nil {
		notes = append(notes, "counters of interfaces: "+err.Error())
	}
	return items, notes, nil
}

// commonLink is what every system tells of an interface.
func commonLink(l *net.Interface) dtc.Interface {
	unknown := dtc.Traffic{
		Bytes: dtc.Absent, Packets: dtc.Absent, Errors: dtc.Absent, Dropped: dtc.Absent, Missed: dtc.Absent,
		Multicast: dtc.Absent, Carrier: dtc.Absent, Collisions: dtc.Absent, Compressed: dtc.Absent,
	}
	i := dtc.Interface{
		Index: l.Index, Name: l.Name, Flags: linkFlags(l.Flags), MTUBytes: int64(l.MTU), QueueLen: dtc.Absent,
		Address: l.HardwareAddr.String(), RX: unknown, TX: unknown,
	}
	if l.MTU <= 0 {
		i.MTUBytes = dtc.Absent // Windows' loopback has none
	}
	const etherAddress = 6
	switch {
	case l.Flags&net.FlagLoopback != 0:
		i.LinkType = "loopback"
	case len(l.HardwareAddr) == etherAddress:
		i.LinkType = "ether"
	}
	switch up, running := l.Flags&net.FlagUp != 0, l.Flags&net.FlagRunning != 0; {
	case up && running:
		i.State = "UP"
	default:
		i.State = "DOWN"
	}
	return i
}

// linkFlags names the flags of an interface as ip does, as far as every system
// has them.
func linkFlags(flags net.Flags) string {
	var list []string
	if flags&net.FlagUp != 0 && flags&net.FlagRunning == 0 {
		list = append(list, "NO-CARRIER")
	}
	for _, f := range []struct {
		flag net.Flags
		name string
	}{
		{net.FlagLoopback, "LOOPBACK"},
		{net.FlagBroadcast, "BROADCAST"},
		{net.FlagPointToPoint, "POINTOPOINT"},
		{net.FlagMulticast, "MULTICAST"},
		{net.FlagUp, "UP"},
		{net.FlagRunning, "LOWER_UP"},
	} {
		if flags&f.flag != 0 {
			list = append(list, f.name)
		}
	}
	return strings.Join(list, ",")
}

func count(v uint64) int64 { return int64(min(v, math.MaxInt64)) }
