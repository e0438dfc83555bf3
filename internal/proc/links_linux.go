package proc

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Sizes of struct ifinfomsg in linux/rtnetlink.h and of a counter of struct
// rtnl_link_stats64 in linux/if_link.h.
const (
	linkMessage     = 16
	linkCounterSize = 8
)

// Link is a network interface as rtnetlink(7) tells it.
type Link struct {
	Index int
	Type  uint16 // ARPHRD_ of linux/if_arp.h
	Flags uint32 // IFF_

	Name     string
	AltNames []string
	Alias    string

	// Lower is the index of the interface that it stands on, or of its other
	// end: 0 for none, -1 if it is of a kind that has one. Namespace is the
	// number of the network namespace that Lower is in, -1 for its own or an
	// unknown one; then Foreign tells that it is in another.
	Lower     int
	Foreign   bool
	Namespace int

	Master   int // index of the bridge or bond that it belongs to, 0 for none
	MTU      uint32
	QueueLen uint32
	Qdisc    string
	State    uint8 // IF_OPER_
	Mode     uint8 // IF_LINK_MODE_
	Group    uint32

	Address, Broadcast, Permanent []byte // hardware addresses

	Down        bool   // held down by its protocol
	DownReasons uint32 // bits that the administrator gives a meaning

	XDP   LinkXDP
	Stats LinkStats
}

// How programs are attached: XDP_ATTACHED_ of linux/if_link.h.
const (
	XDPNone = iota
	XDPDriver
	XDPGeneric
	XDPHardware
	XDPSeveral
)

// LinkXDP are the programs of an interface that see packets first.
type LinkXDP struct {
	Attached uint8 // XDPNone, …
	Program  uint32
	Driver   uint32
	Generic  uint32
	Hardware uint32
}

// LinkStats are the counters that ip -s link prints: struct rtnl_link_stats64.
type LinkStats struct {
	RXPackets, TXPackets       uint64
	RXBytes, TXBytes           uint64
	RXErrors, TXErrors         uint64
	RXDropped, TXDropped       uint64
	Multicast, Collisions      uint64
	RXMissed, TXCarrier        uint64
	RXCompressed, TXCompressed uint64
}

// Links returns the interfaces of our network namespace in the kernel's order.
// With [ErrChanged] it returns them too: the kernel says that they changed while
// it told them, again and again.
func (f FS) Links() ([]Link, error) {
	var links []Link
	err := f.ask(unix.NETLINK_ROUTE, func(n *netlink) error {
		links = links[:0]
		q := question{kind: unix.RTM_GETLINK, flags: unix.NLM_F_DUMP, body: make([]byte, linkMessage)}
		return n.each(q, func(msg []byte) error {
			if l, ok := parseLink(msg); ok {
				links = append(links, l)
			}
			return nil
		})
	})
	return links, err
}

// LinkName returns the name of an interface of our network namespace.
func (f FS) LinkName(index uint32) (string, error) {
	var name string
	const withoutStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	body := make([]byte, linkMessage)
	binary.NativeEndian.PutUint32(body[4:], index)
	body = appendAttribute(body, unix.IFLA_EXT_MASK, withoutStats)
	err := f.ask(unix.NETLINK_ROUTE, func(n *netlink) error {
		q := question{kind: unix.RTM_GETLINK, flags: unix.NLM_F_ACK, body: body}
		return n.each(q, func(msg []byte) error {
			if l, ok := parseLink(msg); ok {
				name = l.Name
			}
			return nil
		})
	})
	return name, err
}

// parseLink reads struct ifinfomsg and its attributes.
func parseLink(msg []byte) (l Link, ok bool) {
	if len(msg) < linkMessage {
		return l, false
	}
	l.Type = binary.NativeEndian.Uint16(msg[2:])
	l.Index = int(int32(binary.NativeEndian.Uint32(msg[4:])))
	l.Flags = binary.NativeEndian.Uint32(msg[8:])
	l.Namespace = -1
	var wide bool
	for kind, value := range attributes(msg[linkMessage:]) {
		switch kind {
		case unix.IFLA_STATS64:
			wide = true
			l.Stats.parse(value, linkCounterSize)
		case unix.IFLA_STATS: // comes first
			if !wide {
				l.Stats.parse(value, linkCounterSize/2)
			}
		default:
			l.set(kind, value)
		}
	}
	return l, l.Index > 0 && l.Name != ""
}

func (l *Link) set(kind uint16, value []byte) {
	switch kind {
	case unix.IFLA_IFNAME:
		l.Name = attrText(value)
	case unix.IFLA_PROP_LIST:
		for kind, value := range attributes(value) {
			if kind == unix.IFLA_ALT_IFNAME {
				l.AltNames = append(l.AltNames, attrText(value))
			}
		}
	case unix.IFLA_IFALIAS:
		l.Alias = attrText(value)
	case unix.IFLA_ADDRESS:
		l.Address = bytes.Clone(value)
	case unix.IFLA_BROADCAST:
		l.Broadcast = bytes.Clone(value)
	case unix.IFLA_PERM_ADDRESS:
		l.Permanent = bytes.Clone(value)
	case unix.IFLA_QDISC:
		l.Qdisc = attrText(value)
	case unix.IFLA_OPERSTATE:
		l.State = attrU8(value)
	case unix.IFLA_LINKMODE:
		l.Mode = attrU8(value)
	case unix.IFLA_PROTO_DOWN:
		l.Down = attrU8(value) != 0
	case unix.IFLA_PROTO_DOWN_REASON:
		for kind, value := range attributes(value) {
			if kind == unix.IFLA_PROTO_DOWN_REASON_VALUE {
				l.DownReasons = attrU32(value)
			}
		}
	case unix.IFLA_XDP:
		l.XDP.parse(value)
	default:
		l.setNumber(kind, attrU32(value))
	}
}

func (l *Link) setNumber(kind uint16, value uint32) {
	switch kind {
	case unix.IFLA_LINK:
		if l.Lower = int(int32(value)); l.Lower <= 0 {
			l.Lower = -1
		}
	case unix.IFLA_LINK_NETNSID:
		l.Foreign, l.Namespace = true, int(int32(value))
	case unix.IFLA_MASTER:
		l.Master = int(int32(value))
	case unix.IFLA_MTU:
		l.MTU = value
	case unix.IFLA_TXQLEN:
		l.QueueLen = value
	case unix.IFLA_GROUP:
		l.Group = value
	}
}

func (x *LinkXDP) parse(data []byte) {
	for kind, value := range attributes(data) {
		switch kind {
		case unix.IFLA_XDP_ATTACHED:
			x.Attached = attrU8(value)
		case unix.IFLA_XDP_PROG_ID:
			x.Program = attrU32(value)
		case unix.IFLA_XDP_DRV_PROG_ID:
			x.Driver = attrU32(value)
		case unix.IFLA_XDP_SKB_PROG_ID:
			x.Generic = attrU32(value)
		case unix.IFLA_XDP_HW_PROG_ID:
			x.Hardware = attrU32(value)
		}
	}
}

// parse reads the table of counters, each of size bytes; what an old kernel does
// not have is 0.
func (s *LinkStats) parse(data []byte, size int) {
	for i, into := range []*uint64{
		0: &s.RXPackets, 1: &s.TXPackets, 2: &s.RXBytes, 3: &s.TXBytes, 4: &s.RXErrors, 5: &s.TXErrors,
		6: &s.RXDropped, 7: &s.TXDropped, 8: &s.Multicast, 9: &s.Collisions,
		15: &s.RXMissed, 17: &s.TXCarrier, 21: &s.RXCompressed, 22: &s.TXCompressed,
	} {
		switch at := i * size; {
		case into == nil || len(data) < at+size:
		case size == linkCounterSize:
			*into = binary.NativeEndian.Uint64(data[at:])
		default:
			*into = uint64(binary.NativeEndian.Uint32(data[at:]))
		}
	}
}
