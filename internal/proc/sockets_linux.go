package proc

import (
	"errors"
	"net/netip"
	"os"
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

// SocketTable finds the sockets of our network namespace by their inodes. A
// part of it is read when it is first needed, and not again. It is not safe for
// concurrent use.
type SocketTable struct {
	fs     FS
	inet   map[uint64]InetSocket
	unix   map[uint64]UnixSocket
	other  map[uint64]OtherSocket
	errors []error
}

// Sockets returns an empty table.
func (f FS) Sockets() *SocketTable { return &SocketTable{fs: f} }

// Err says what could not be read, nil if all could.
func (t *SocketTable) Err() error { return errors.Join(t.errors...) }

// Inet finds a socket of TCP or UDP.
func (t *SocketTable) Inet(inode uint64) (InetSocket, bool) {
	if t.inet == nil {
		t.inet = make(map[uint64]InetSocket)
		t.loadInet()
	}
	s, ok := t.inet[inode]
	return s, ok
}

// Unix finds a socket of unix(7).
func (t *SocketTable) Unix(inode uint64) (UnixSocket, bool) {
	if t.unix == nil {
		t.unix = make(map[uint64]UnixSocket)
		t.loadUnix()
	}
	s, ok := t.unix[inode]
	return s, ok
}

// Other finds a socket of one of the rarer kinds.
func (t *SocketTable) Other(inode uint64) (OtherSocket, bool) {
	if t.other == nil {
		t.other = make(map[uint64]OtherSocket)
		t.loadOther()
	}
	s, ok := t.other[inode]
	return s, ok
}

// loadInet asks the kernel for all sockets at once, which is several times
// faster than its text files; where it refuses, those are read.
func (t *SocketTable) loadInet() {
	for _, p := range []Protocol{TCP, UDP} {
		err := t.fs.ask(unix.NETLINK_SOCK_DIAG, func(n *netlink) error {
			return n.inet(p, openStates, func(s *NetSocket) error {
				if s.Inode != 0 {
					t.inet[s.Inode] = s.InetSocket
				}
				return nil
			})
		})
		if err != nil {
			t.loadInetFiles(p)
		}
	}
	t.loadInetFiles(UDPLite)
}

func (t *SocketTable) loadInetFiles(p Protocol) {
	for _, name := range p.files() {
		parseInetSockets(t.read(name), func(inode uint64, s InetSocket) {
			s.Protocol = p
			t.inet[inode] = s
		})
	}
}

// loadUnix takes the names from where a hostile one can do no harm, if the
// kernel lets us: in the text file a name may hold a newline, and forge the
// line of another socket.
func (t *SocketTable) loadUnix() {
	data := t.read("unix")
	err := t.fs.ask(unix.NETLINK_SOCK_DIAG, func(n *netlink) error {
		return n.unix(func(inode uint64, s UnixSocket) { t.unix[inode] = s })
	})
	if err != nil {
		clear(t.unix)
	}
	parseUnixSockets(data, func(inode uint64, s UnixSocket) {
		trusted, ok := t.unix[inode]
		switch {
		case !ok && err == nil:
			return // forged, or closed between the two readings
		case !ok:
			t.unix[inode] = s
		case trusted.Address == nil:
			trusted.Address = s.Address
			t.unix[inode] = trusted
		}
	})
}

func (t *SocketTable) loadOther() {
	put := func(inode uint64, s OtherSocket) { t.other[inode] = s }
	parseRawSockets(t.read("raw"), "raw", put)
	parseRawSockets(t.read("raw6"), "raw6", put)
	parseRawSockets(t.read("icmp"), "icmp", put)
	parseNetlinkSockets(t.read("netlink"), put)
	parsePacketSockets(t.read("packet"), put)
}

// read returns a file of the namespace; a kernel without such sockets has none.
func (t *SocketTable) read(name string) []byte {
	data, err := os.ReadFile(t.fs.path("net", name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.errors = append(t.errors, err)
	}
	return data
}
