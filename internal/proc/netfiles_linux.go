package proc

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// The text files in /proc/net: proc_pid_net(5). Their first lines are headers.

// parseEndpoint reads ADDRESS:PORT in hexadecimal. The address is in words of 32
// bits in the machine's byte order, each of which holds network order.
func parseEndpoint(b []byte) (a netip.AddrPort, is6, ok bool) {
	address, port, _ := bytes.Cut(b, []byte(":"))
	number, ok := parseHex(port)
	const word, v4, v6 = 8, 8, 32
	if !ok || number > 1<<16-1 || len(address) != v4 && len(address) != v6 {
		return a, false, false
	}
	var raw [16]byte
	for i := 0; i*word < len(address); i++ {
		v, ok := parseHex(address[i*word : (i+1)*word])
		if !ok {
			return a, false, false
		}
		binary.NativeEndian.PutUint32(raw[i*4:], uint32(v))
	}
	if len(address) == v4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[:4])), uint16(number)), false, true
	}
	return netip.AddrPortFrom(netip.AddrFrom16(raw), uint16(number)), true, true
}

// parseUnixSockets reads the file unix.
func parseUnixSockets(data []byte, put func(inode uint64, s UnixSocket)) {
	const listens, connected, tcpEstablished, tcpListen, tcpClose = 0x10000, 3, 1, 10, 7
	for line := range bytes.Lines(data) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		address, rest, _ := bytes.Cut(line, []byte(": "))
		var fields [6][]byte // references, protocol, flags, type, state, inode
		for i := range fields {
			fields[i], rest = word(rest)
		}
		_, ok1 := parseHex(address)
		flags, ok2 := parseHex(fields[2])
		kind, ok3 := parseHex(fields[3])
		state, ok4 := parseHex(fields[4])
		inode, ok5 := parseDecimal(fields[5])
		if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
			continue
		}
		s := UnixSocket{Type: uint8(kind), State: tcpClose, Address: address, Path: bytes.TrimPrefix(rest, []byte(" "))}
		switch {
		case flags == listens:
			s.State = tcpListen
		case state == connected:
			s.State = tcpEstablished
		}
		put(inode, s)
	}
}

// parseRawSockets reads the files raw, raw6 and icmp, whose addresses lsof
// shows as they stand there.
func parseRawSockets(data []byte, kind string, put func(inode uint64, s OtherSocket)) {
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) < 10 {
			continue
		}
		inode, ok := parseDecimal(fields[9])
		if !ok {
			continue // the header
		}
		name := string(fields[1]) + "->" + string(fields[2])
		if kind != "icmp" {
			name += " st=" + string(fields[3])
		}
		put(inode, OtherSocket{Type: kind, Name: name})
	}
}

// parseNetlinkSockets reads the file netlink.
func parseNetlinkSockets(data []byte, put func(inode uint64, s OtherSocket)) {
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) < 10 {
			continue
		}
		protocol, ok1 := parseDecimal(fields[1])
		inode, ok2 := parseDecimal(fields[9])
		if ok1 && ok2 {
			put(inode, OtherSocket{Type: "netlink", Name: netlinkName(protocol)})
		}
	}
}

// netlinkName names the protocols of netlink(7).
func netlinkName(protocol uint64) string {
	names := [...]string{
		0: "ROUTE", 1: "UNUSED", 2: "USERSOCK", 3: "FIREWALL", 4: "INET_DIAG", 5: "NFLOG", 6: "XFRM", 7: "SELINUX",
		8: "ISCSI", 9: "AUDIT", 10: "FIB_LOOKUP", 11: "CONNECTOR", 12: "NETFILTER", 13: "IP6_FW", 14: "DNRTMSG",
		15: "KOBJECT_UEVENT", 16: "GENERIC", 18: "SCSITRANSPORT", 19: "ECRYPTFS", 20: "RDMA", 21: "CRYPTO", 22: "SMC",
	}
	if protocol < uint64(len(names)) && names[protocol] != "" {
		return names[protocol]
	}
	return "unknown protocol: " + strconv.FormatUint(protocol, 10)
}

// parsePacketSockets reads the file packet.
func parsePacketSockets(data []byte, put func(inode uint64, s OtherSocket)) {
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) < 9 {
			continue
		}
		kind, ok1 := parseDecimal(fields[2])
		protocol, ok2 := parseHex(fields[3])
		inode, ok3 := parseDecimal(fields[8])
		if !ok1 || !ok2 || !ok3 {
			continue
		}
		name := SocketType(uint8(kind))
		if name != unknownType {
			name = "SOCK_" + name
		}
		put(inode, OtherSocket{Type: "pack", Protocol: etherName(protocol), Name: "type=" + name})
	}
}

const unknownType = "unknown"

// SocketType names the types of socket(2).
func SocketType(kind uint8) string {
	names := [...]string{
		1: "STREAM", 2: "DGRAM", 3: "RAW", 4: "RDM", 5: "SEQPACKET", 6: "DCCP", 10: "PACKET",
	}
	if int(kind) < len(names) && names[kind] != "" {
		return names[kind]
	}
	return unknownType
}

// etherName names the protocols of linux/if_ether.h as lsof does, in seven
// letters at most.
func etherName(protocol uint64) string {
	names := [...]struct {
		protocol uint64
		name     string
	}{
		{0x0001, "802.3"},
		{0x0002, "AX25"},
		{0x0003, "ALL"},
		{0x0004, "802.2"},
		{0x0005, "SNAP"},
		{0x0006, "DDCMP"},
		{0x0007, "WAN_PPP"},
		{0x0008, "PPP MP"},
		{0x0009, "LCLTALK"},
		{0x0010, "PPPTALK"},
		{0x0011, "802.2"},
		{0x0015, "MOBITEX"},
		{0x0016, "CONTROL"},
		{0x0017, "IRDA"},
		{0x0018, "ECONET"},
		{0x0019, "HDLC"},
		{0x001a, "ARCNET"},
		{0x0060, "LOOP"},
		{0x0200, "PUP"},
		{0x0201, "PUPAT"},
		{0x0800, "IP"},
		{0x0805, "X25"},
		{0x0806, "ARP"},
		{0x08ff, "BPQ"},
		{0x0a00, "I3EPUP"},
		{0x0a01, "I3EPUPA"},
		{0x6000, "DEC"},
		{0x6001, "DNA_DL"},
		{0x6002, "DNA_RC"},
		{0x6003, "DNA_RT"},
		{0x6004, "LAT"},
		{0x6005, "DIAG"},
		{0x6006, "CUST"},
		{0x6007, "SCA"},
		{0x8035, "RARP"},
		{0x809b, "ATALK"},
		{0x80f3, "AARP"},
		{0x8100, "8021Q"},
		{0x8137, "IPX"},
		{0x86dd, "IPV6"},
		{0x8809, "SLOW"},
		{0x883e, "WCCP"},
		{0x8847, "MPLS_UC"},
		{0x8848, "MPLS_MC"},
		{0x884c, "ATMMPOA"},
		{0x8863, "PPP_DIS"},
		{0x8864, "PPP_SES"},
		{0x8884, "ATMFATE"},
		{0x88a2, "AOE"},
		{0x88ca, "TIPC"},
	}
	for _, n := range names {
		if n.protocol == protocol {
			return n.name
		}
	}
	return strconv.FormatUint(protocol, 10)
}
