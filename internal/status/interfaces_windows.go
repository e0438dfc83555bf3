package status

import (
	"context"
	"errors"

	psnet "github.com/shirou/gopsutil/v4/net"
	"golang.org/x/sys/windows"

	"dtc"
)

// fillLinks adds what Windows knows more: the state, the description and the
// counters. Where the newest call for that is missing, an older one is made,
// which counts only the packets to one receiver.
func (*host) fillLinks(ctx context.Context, items []dtc.Interface) error {
	var failed error
	for i := range items {
		row := windows.MibIfRow2{InterfaceIndex: uint32(items[i].Index)}
		_, err := try("counters", func() (struct{}, error) {
			return struct{}{}, windows.GetIfEntry2Ex(windows.MibIfTableNormal, &row)
		})
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		fillLink(&items[i], &row)
	}
	if failed == nil {
		return nil
	}
	counters, err := psnet.IOCountersWithContext(ctx, true)
	if err != nil {
		return errors.Join(failed, err)
	}
	byName := make(map[string]psnet.IOCountersStat, len(counters))
	for _, c := range counters {
		byName[c.Name] = c
	}
	for i := range items {
		item := &items[i]
		if c, ok := byName[item.Name]; ok && item.RX.Bytes < 0 {
			item.RX.Bytes, item.RX.Packets, item.RX.Errors, item.RX.Dropped = count(c.BytesRecv), count(c.PacketsRecv), count(c.Errin), count(c.Dropin)
			item.TX.Bytes, item.TX.Packets, item.TX.Errors, item.TX.Dropped = count(c.BytesSent), count(c.PacketsSent), count(c.Errout), count(c.Dropout)
		}
	}
	return nil
}

func fillLink(i *dtc.Interface, row *windows.MibIfRow2) {
	i.Alias = windows.UTF16ToString(row.Description[:])
	if kind := linkType(row.Type); kind != "" {
		i.LinkType = kind
	}
	// RFC 2863, ifOperStatus.
	states := [...]string{1: "UP", 2: "DOWN", 3: "TESTING", 4: "UNKNOWN", 5: "DORMANT", 6: "NOTPRESENT", 7: "LOWERLAYERDOWN"}
	if n := row.OperStatus; n > 0 && int(n) < len(states) {
		i.State = states[n]
	}
	i.RX.Bytes, i.RX.Packets = count(row.InOctets), count(row.InUcastPkts+row.InNUcastPkts)
	i.RX.Errors, i.RX.Dropped = count(row.InErrors), count(row.InDiscards)
	i.TX.Bytes, i.TX.Packets = count(row.OutOctets), count(row.OutUcastPkts+row.OutNUcastPkts)
	i.TX.Errors, i.TX.Dropped = count(row.OutErrors), count(row.OutDiscards)
}

// linkType names a type of interface (IANA's ifType) as ip names the like.
func linkType(kind uint32) string {
	switch kind {
	case windows.IF_TYPE_ETHERNET_CSMACD:
		return "ether"
	case windows.IF_TYPE_ISO88025_TOKENRING:
		return "tr"
	case windows.IF_TYPE_PPP:
		return "ppp"
	case windows.IF_TYPE_SOFTWARE_LOOPBACK:
		return "loopback"
	case windows.IF_TYPE_ATM:
		return "atm"
	case windows.IF_TYPE_IEEE80211:
		return "ieee802.11"
	case windows.IF_TYPE_TUNNEL:
		return "tunnel"
	case windows.IF_TYPE_IEEE1394:
		return "ieee1394"
	default:
		return ""
	}
}
