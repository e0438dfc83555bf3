package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The kernel's socket tables over netlink: sock_diag(7).

// Sizes of the structures of linux/inet_diag.h and linux/unix_diag.h, and
// offsets in them.
const (
	tcpDiag       = 18 // TCPDIAG_GETSOCK, the old question: struct inet_diag_req
	tcpRequest    = 60
	tcpStates     = 52
	inetRequest   = 56 // struct inet_diag_req_v2
	inetStates    = 4
	inetMessage   = 72
	inetSport     = 4
	inetDport     = 6
	inetSrc       = 8
	inetDst       = 24
	inetInterface = 40
	inetRqueue    = 56
	inetWqueue    = 60
	inetUID       = 64
	inetInode     = 68
	inetV6Only    = 11 // attribute
	unixRequest   = 24
	unixMessage   = 16
	unixAttrName  = 0
)

// States of struct inet_diag_req_v2, a bit each: see TCP_ in net/tcp_states.h.
const (
	allStates = 1<<12 - 1

	// Those of a half-open and a dead connection have no descriptor.
	openStates = allStates &^ (1 << 6)
)

// NetSocket is what ss(8) prints of a socket of TCP or UDP.
type NetSocket struct {
	InetSocket

	Inode        uint64 // 0 of one that belongs to no file (any more)
	UID          uint32
	ReceiveQueue uint32 // bytes; of a listener the connections that wait
	SendQueue    uint32 // bytes; of a listener how many may wait
	Interface    uint32 // number of the one that it is bound to, 0 for any
	V6Only       bool   // told only of sockets that listen or have no peer
}

// EachSocket passes the sockets of TCP or UDP of our network namespace to put,
// whatever their state. Those of one family come in the order in which ss(8)
// lists them. An error of put ends it. Where the kernel has no sock_diag(7) its
// text files are read, which do not tell the interface. Before the list begins,
// and begins anew because the kernel lost a part of it, start is called.
func (f FS) EachSocket(p Protocol, start func(), put func(*NetSocket) error) error {
	answered := false
	err := f.ask(unix.NETLINK_SOCK_DIAG, func(n *netlink) error {
		start()
		return n.inet(p, allStates, func(s *NetSocket) error {
			answered = true
			return put(s)
		})
	})
	if err == nil || answered {
		return err
	}
	start()
	if fileErr := f.eachSocketOfFiles(p, put); fileErr != nil {
		return fmt.Errorf("%w (and %w)", fileErr, err)
	}
	return nil
}

// inet passes the sockets of one protocol and both families to put that are in
// one of the states. About TCP the kernel can be asked for both at once, which
// costs half: most of it is the walk through a table that is nearly empty.
func (n *netlink) inet(p Protocol, states uint32, put func(*NetSocket) error) error {
	if p == TCP {
		var req [tcpRequest]byte
		binary.NativeEndian.PutUint32(req[tcpStates:], states)
		err := n.sockets(question{kind: tcpDiag, flags: unix.NLM_F_DUMP, body: req[:]}, p, put)
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var req [inetRequest]byte
		req[0], req[1] = family, p.number()
		binary.NativeEndian.PutUint32(req[inetStates:], states)
		err := n.sockets(question{kind: unix.SOCK_DIAG_BY_FAMILY, flags: unix.NLM_F_DUMP, body: req[:]}, p, put)
		if family == unix.AF_INET6 && errors.Is(err, unix.ENOENT) {
			return nil // a kernel without IPv6
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sockets passes the sockets of an answer to put.
func (n *netlink) sockets(q question, p Protocol, put func(*NetSocket) error) error {
	var s NetSocket
	return n.each(q, func(msg []byte) error {
		if !s.parse(msg) {
			return nil
		}
		s.Protocol = p
		return put(&s)
	})
}

// parse reads struct inet_diag_msg and its attributes.
func (s *NetSocket) parse(msg []byte) (ok bool) {
	if len(msg) < inetMessage {
		return false
	}
	*s = NetSocket{
		Inode:        uint64(binary.NativeEndian.Uint32(msg[inetInode:])),
		UID:          binary.NativeEndian.Uint32(msg[inetUID:]),
		ReceiveQueue: binary.NativeEndian.Uint32(msg[inetRqueue:]),
		SendQueue:    binary.NativeEndian.Uint32(msg[inetWqueue:]),
		Interface:    binary.NativeEndian.Uint32(msg[inetInterface:]),
	}
	sport, dport := binary.BigEndian.Uint16(msg[inetSport:]), binary.BigEndian.Uint16(msg[inetDport:])
	s.State = msg[1]
	switch msg[0] {
	case unix.AF_INET:
		s.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(msg[inetSrc:])), sport)
		s.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte(msg[inetDst:])), dport)
		return true
	case unix.AF_INET6:
		s.IPv6 = true
		s.Local = netip.AddrPortFrom(netip.AddrFrom16([16]byte(msg[inetSrc:])), sport)
		s.Remote = netip.AddrPortFrom(netip.AddrFrom16([16]byte(msg[inetDst:])), dport)
		for kind, value := range attributes(msg[inetMessage:]) {
			if kind == inetV6Only {
				s.V6Only = attrU8(value) != 0
			}
		}
		return true
	default:
		return false
	}
}

// unix passes the sockets of unix(7) to put, without their addresses in the
// kernel.
func (n *netlink) unix(put func(inode uint64, s UnixSocket)) error {
	var req [unixRequest]byte
	req[0] = unix.AF_UNIX
	const showName = 1
	binary.NativeEndian.PutUint32(req[4:], 1<<32-1)
	binary.NativeEndian.PutUint32(req[12:], showName)
	q := question{kind: unix.SOCK_DIAG_BY_FAMILY, flags: unix.NLM_F_DUMP, body: req[:]}
	return n.each(q, func(msg []byte) error {
		if inode, s, ok := parseUnixDiag(msg); ok {
			put(inode, s)
		}
		return nil
	})
}

// parseUnixDiag reads struct unix_diag_msg and its attributes.
func parseUnixDiag(msg []byte) (inode uint64, s UnixSocket, ok bool) {
	if len(msg) < unixMessage || msg[0] != unix.AF_UNIX {
		return 0, s, false
	}
	s.Type, s.State = msg[1], msg[2]
	inode = uint64(binary.NativeEndian.Uint32(msg[4:]))
	for kind, value := range attributes(msg[unixMessage:]) {
		if kind == unixAttrName {
			s.Path = socketName(value)
		}
	}
	return inode, s, true
}

// socketName copies the name of a socket: an abstract one begins with a NUL and
// may hold more of them, a path ends with one.
func socketName(raw []byte) []byte {
	if len(raw) > 0 && raw[0] != 0 {
		path, _, _ := bytes.Cut(raw, []byte{0})
		return bytes.Clone(path)
	}
	return bytes.ReplaceAll(raw, []byte{0}, []byte("@"))
}
