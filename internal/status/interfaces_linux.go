package status

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// interfaces answers what ip -s link prints. Of the cards that share themselves
// out to virtual machines (SR-IOV) the shares are not told.
func (c *Collector) interfaces(context.Context) ([]dtc.Interface, []string, error) {
	links, err := c.host.proc.Links()
	var notes []string
	if errors.Is(err, proc.ErrChanged) {
		notes, err = append(notes, "interfaces: "+err.Error()), nil
	}
	if err != nil {
		return nil, nil, err
	}
	l := linkNames{host: c.host, links: make(map[int]*proc.Link, len(links)), groups: c.host.idNames("group")}
	foreign := false
	for i := range links {
		l.links[links[i].Index] = &links[i]
		foreign = foreign || links[i].Foreign
	}
	if foreign {
		if l.namespaces, err = c.host.proc.NetworkNames(c.host.path("run/netns")); err != nil {
			notes = append(notes, "names of network namespaces: "+err.Error())
		}
	}
	items := make([]dtc.Interface, len(links))
	for i := range links {
		items[i] = l.item(&links[i])
	}
	return items, notes, nil
}

// linkNames knows the names that an interface refers to by numbers.
type linkNames struct {
	host       *host
	links      map[int]*proc.Link
	groups     map[uint32]string
	namespaces map[int]string
}

func (n *linkNames) item(l *proc.Link) dtc.Interface {
	lower, lowerDown := n.lower(l)
	i := dtc.Interface{
		Index: l.Index, Name: l.Name, Lower: lower, Flags: linkFlags(l.Flags),
		MTUBytes: int64(l.MTU), Qdisc: l.Qdisc, QueueLen: int64(l.QueueLen),
		State: linkState(l.State), Mode: linkMode(l.Mode), Group: n.group(l.Group),
		LinkType: linkType(l.Type), Address: linkAddress(l.Type, l.Address), Broadcast: linkAddress(l.Type, l.Broadcast),
		Rest: n.rest(l), AltNames: strings.Join(l.AltNames, " "), Alias: l.Alias,
		XDP: xdpMode(l.XDP.Attached), XDPPrograms: n.programs(&l.XDP),
	}
	if lowerDown {
		i.Flags += ",M-DOWN"
	}
	if l.Master > 0 {
		i.Master = n.name(l.Master)
	}
	s := &l.Stats
	i.RX = dtc.Traffic{
		Bytes: count(s.RXBytes), Packets: count(s.RXPackets), Errors: count(s.RXErrors), Dropped: count(s.RXDropped),
		Missed: count(s.RXMissed), Multicast: count(s.Multicast), Carrier: dtc.Absent, Collisions: dtc.Absent,
		Compressed: count(s.RXCompressed),
	}
	i.TX = dtc.Traffic{
		Bytes: count(s.TXBytes), Packets: count(s.TXPackets), Errors: count(s.TXErrors), Dropped: count(s.TXDropped),
		Missed: dtc.Absent, Multicast: dtc.Absent, Carrier: count(s.TXCarrier), Collisions: count(s.Collisions),
		Compressed: count(s.TXCompressed),
	}
	return i
}

func count(v uint64) int64 { return int64(min(v, math.MaxInt64)) }

// lower names what stands behind the @ of an interface, and tells whether that
// is down.
func (n *linkNames) lower(l *proc.Link) (name string, down bool) {
	switch {
	case l.Lower == 0:
		return "", false
	case l.Lower < 0:
		return "NONE", false
	case l.Foreign:
		return "if" + strconv.Itoa(l.Lower), false
	}
	other, ok := n.links[l.Lower]
	return n.name(l.Lower), ok && other.Flags&unix.IFF_UP == 0
}

func (n *linkNames) name(index int) string {
	if l, ok := n.links[index]; ok {
		return l.Name
	}
	return "if" + strconv.Itoa(index)
}

func (n *linkNames) group(id uint32) string {
	if name, ok := n.groups[id]; ok {
		return name
	}
	if id == 0 {
		return "default"
	}
	return strconv.Itoa(int(int32(id)))
}

// rest is what ip prints behind the hardware addresses.
func (n *linkNames) rest(l *proc.Link) string {
	var parts []string
	if l.Permanent != nil && string(l.Permanent) != string(l.Address) {
		parts = append(parts, "permaddr "+linkAddress(l.Type, l.Permanent))
	}
	if l.Foreign {
		switch name, ok := n.namespaces[l.Namespace]; {
		case ok:
			parts = append(parts, "link-netns "+name)
		case l.Namespace < 0:
			parts = append(parts, "link-netnsid unknown")
		default:
			parts = append(parts, "link-netnsid "+strconv.Itoa(l.Namespace))
		}
	}
	if l.Down {
		parts = append(parts, "protodown on")
	}
	if l.DownReasons != 0 {
		parts = append(parts, "protodown_reason <"+bitNumbers(l.DownReasons)+">")
	}
	return strings.Join(parts, " ")
}

// bitNumbers are the numbers of the bits that are set.
func bitNumbers(v uint32) string {
	var set []string
	for i := range 32 {
		if v>>i&1 != 0 {
			set = append(set, strconv.Itoa(i))
		}
	}
	return strings.Join(set, ",")
}

// programs are the programs that see packets first, as ip prints them.
func (n *linkNames) programs(x *proc.LinkXDP) string {
	if x.Attached == proc.XDPNone {
		return ""
	}
	ids := []uint32{x.Program}
	if x.Attached == proc.XDPSeveral {
		ids = append(ids, x.Generic, x.Driver, x.Hardware)
	}
	var list []string
	for i, id := range ids {
		if id == 0 {
			continue
		}
		line := fmt.Sprintf("prog/xdp%s id %d", [...]string{"", "generic", "drv", "offload"}[i], id)
		if p, err := n.host.proc.Program(id); err == nil {
			line += " name " + p.Name + " tag " + hex.EncodeToString(p.Tag[:])
			if p.Compiled {
				line += " jited"
			}
		}
		list = append(list, line)
	}
	return strings.Join(list, ", ")
}

func xdpMode(attached uint8) string {
	names := [...]string{"", "xdp", "xdpgeneric", "xdpoffload", "xdpmulti"}
	if int(attached) < len(names) {
		return names[attached]
	}
	return "xdp[" + strconv.Itoa(int(attached)) + "]"
}

// linkState names an IF_OPER_ state: RFC 2863, ifOperStatus.
func linkState(state uint8) string {
	names := [...]string{"UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"}
	if int(state) < len(names) {
		return names[state]
	}
	return "0x" + strconv.FormatUint(uint64(state), 16)
}

func linkMode(mode uint8) string {
	names := [...]string{"DEFAULT", "DORMANT"}
	if int(mode) < len(names) {
		return names[mode]
	}
	return strconv.Itoa(int(mode))
}

// linkFlags names the flags of an interface in the order of ip, see
// netdevice(7). That it runs is not named, but that it does not though it is up.
func linkFlags(flags uint32) string {
	var list []string
	if flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING == 0 {
		list = append(list, "NO-CARRIER")
	}
	flags &^= unix.IFF_RUNNING
	for _, f := range []struct {
		flag uint32
		name string
	}{
		{unix.IFF_LOOPBACK, "LOOPBACK"},
		{unix.IFF_BROADCAST, "BROADCAST"},
		{unix.IFF_POINTOPOINT, "POINTOPOINT"},
		{unix.IFF_MULTICAST, "MULTICAST"},
		{unix.IFF_NOARP, "NOARP"},
		{unix.IFF_ALLMULTI, "ALLMULTI"},
		{unix.IFF_PROMISC, "PROMISC"},
		{unix.IFF_MASTER, "MASTER"},
		{unix.IFF_SLAVE, "SLAVE"},
		{unix.IFF_DEBUG, "DEBUG"},
		{unix.IFF_DYNAMIC, "DYNAMIC"},
		{unix.IFF_AUTOMEDIA, "AUTOMEDIA"},
		{unix.IFF_PORTSEL, "PORTSEL"},
		{unix.IFF_NOTRAILERS, "NOTRAILERS"},
		{unix.IFF_UP, "UP"},
		{unix.IFF_LOWER_UP, "LOWER_UP"},
		{unix.IFF_DORMANT, "DORMANT"},
		{unix.IFF_ECHO, "ECHO"},
	} {
		if flags&f.flag != 0 {
			flags &^= f.flag
			list = append(list, f.name)
		}
	}
	if flags != 0 {
		list = append(list, strconv.FormatUint(uint64(flags), 16))
	}
	return strings.Join(list, ",")
}

// linkAddress is a hardware address as ip prints it: a tunnel's is that of its
// end.
func linkAddress(kind uint16, address []byte) string {
	switch kind {
	case unix.ARPHRD_TUNNEL, unix.ARPHRD_SIT, unix.ARPHRD_IPGRE:
		if len(address) == 4 {
			return netip.AddrFrom4([4]byte(address)).String()
		}
	case unix.ARPHRD_TUNNEL6, unix.ARPHRD_IP6GRE:
		if len(address) == 16 {
			return inetText(netip.AddrFrom16([16]byte(address)))
		}
	}
	var b strings.Builder
	for i, c := range address {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(hex.EncodeToString([]byte{c}))
	}
	return b.String()
}
