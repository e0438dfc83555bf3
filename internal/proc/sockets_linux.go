package proc

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Protocol is that of an internet socket.
type Protocol uint8

// The protocols whose sockets have addresses.
const (
	TCP Protocol = iota
	UDP
	UDPLite
)

// String returns the name that lsof(8) shows.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	default:
		return "UDPLITE"
	}
}

// number is the protocol's in the internet's headers (IPPROTO_).
func (p Protocol) number() uint8 {
	switch p {
	case TCP:
		return unix.IPPROTO_TCP
	case UDP:
		return unix.IPPROTO_UDP
	default:
		return unix.IPPROTO_UDPLITE
	}
}

// files are the protocol's in /proc/net, of IPv4 and IPv6.
func (p Protocol) files() [2]string {
	switch p {
	case TCP:
		return [2]string{"tcp", "tcp6"}
	case UDP:
		return [2]string{"udp", "udp6"}
	default:
		return [2]string{"udplite", "udplite6"}
	}
}

// InetSocket is a socket with addresses.
type InetSocket struct {
	Protocol Protocol
	IPv6     bool // of the socket; one of IPv6 can have addresses of IPv4
	State    uint8
	Local    netip.AddrPort
	Remote   netip.AddrPort
}

// StateName is the state of a TCP socket as lsof(8) shows it, "" of others.
func (s *InetSocket) StateName() string {
	if s.Protocol != TCP {
		return ""
	}
	names := [...]string{
		"CLOSED", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
		"CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING",
	}
	if int(s.State) < len(names) {
		return names[s.State]
	}
	return "UNKNOWN_TCP_STATE_" + strconv.Itoa(int(s.State))
}

// UnixSocket is a socket of unix(7). Its texts are valid as long as the table.
type UnixSocket struct {
	Type    uint8  // SOCK_STREAM, …
	State   uint8  // as of TCP: established, listening, closed
	Address []byte // of the kernel's structure, in hexadecimal
	Path    []byte // '@' stands for each NUL of an abstract name
}

// OtherSocket is a socket of another kind, in the words of lsof(8).
type OtherSocket struct {
	Type     string // "raw", "netlink", …
	Protocol string // that stands in the place of the inode, "" for none
	Name     string
}
