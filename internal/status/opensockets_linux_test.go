package status

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// openSockets opens sockets of all kinds that this kernel has.
func (o *opener) openSockets() {
	o.otherFamilies()
	o.packets()
	o.netlinks()
	o.datagrams()
	o.streams()
	o.unixNames()
	o.multipath()
}

// trySocket keeps a socket of a kind that not every kernel has.
func (o *opener) trySocket(family, kind, protocol int) int {
	fd, err := unix.Socket(family, kind, protocol)
	if err != nil {
		return -1
	}
	o.keep(fd)
	return fd
}

func (o *opener) otherFamilies() {
	for family := range unix.AF_MAX {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_RAW} {
			switch family {
			case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET:
			default:
				o.trySocket(family, kind, 0)
			}
		}
	}
	if fd := o.trySocket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); fd >= 0 {
		if unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: unix.VMADDR_PORT_ANY}) == nil {
			_ = unix.Listen(fd, 1)
		}
	}
	o.trySocket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	o.trySocket(unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP)
	// The raw ones, bound and connected too.
	for _, protocol := range []int{unix.IPPROTO_ICMP, unix.IPPROTO_RAW, unix.IPPROTO_TCP, 253} {
		o.trySocket(unix.AF_INET, unix.SOCK_RAW, protocol)
		o.trySocket(unix.AF_INET6, unix.SOCK_RAW, protocol)
	}
	bound := must(unix.Socket(unix.AF_INET, unix.SOCK_RAW, 99))
	must(0, unix.Bind(bound, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(0, unix.Connect(bound, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 2}}))
	bound6 := must(unix.Socket(unix.AF_INET6, unix.SOCK_RAW, 99))
	must(0, unix.Bind(bound6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}))
	o.keep(bound, bound6)
	// Those of ping, for which the group must be permitted.
	for family, protocol := range map[int]int{unix.AF_INET: unix.IPPROTO_ICMP, unix.AF_INET6: unix.IPPROTO_ICMPV6} {
		ping := o.trySocket(family, unix.SOCK_DGRAM, protocol)
		if ping >= 0 && family == unix.AF_INET {
			must(0, unix.Bind(ping, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 4711}))
		}
		o.trySocket(family, unix.SOCK_DGRAM, protocol)
	}
}

// packets are of every protocol that has a name, and of some without.
func (o *opener) packets() {
	for _, protocol := range []uint16{
		1, 2, 3, 4, 5, 6, 7, 8, 9, 0x10, 0x11, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x60, 0x200, 0x201, 0x800, 0x805, 0x806, 0x8ff, 0xa00, 0xa01,
		0x6000, 0x6001, 0x6002, 0x6003, 0x6004, 0x6005, 0x6006, 0x6007, 0x8035, 0x809b, 0x80f3, 0x8100, 0x8137, 0x86dd, 0x8809, 0x883e,
		0x8847, 0x8848, 0x884c, 0x8863, 0x8864, 0x8884, 0x88a2, 0x88ca, 0x88cc, 0xffff, 0x0a,
	} {
		o.keep(must(unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, networkOrder(protocol))))
	}
	const obsolete = 10 // SOCK_PACKET
	o.trySocket(unix.AF_PACKET, obsolete, networkOrder(3))
	o.trySocket(unix.AF_INET, obsolete, networkOrder(3))
}

func (o *opener) netlinks() {
	for protocol := range 32 {
		fd := o.trySocket(unix.AF_NETLINK, unix.SOCK_RAW, protocol)
		if fd >= 0 && protocol%2 == 0 {
			_ = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		}
		o.trySocket(unix.AF_NETLINK, unix.SOCK_DGRAM, protocol)
	}
}

func (o *opener) datagrams() {
	const lite = unix.IPPROTO_UDPLITE
	for _, protocol := range []int{0, lite} {
		for family, address := range map[int]unix.Sockaddr{
			unix.AF_INET:  &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}},
			unix.AF_INET6: &unix.SockaddrInet6{Addr: [16]byte{15: 1}},
		} {
			o.trySocket(family, unix.SOCK_DGRAM, protocol)
			if bound := o.trySocket(family, unix.SOCK_DGRAM, protocol); bound >= 0 {
				must(0, unix.Bind(bound, address))
			}
			if connected := o.trySocket(family, unix.SOCK_DGRAM, protocol); connected >= 0 {
				peer := address
				switch a := address.(type) {
				case *unix.SockaddrInet4:
					peer = &unix.SockaddrInet4{Addr: a.Addr, Port: 9}
				case *unix.SockaddrInet6:
					peer = &unix.SockaddrInet6{Addr: a.Addr, Port: 9}
				}
				must(0, unix.Connect(connected, peer))
			}
		}
	}
	mapped := must(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0))
	must(0, unix.Connect(mapped, &unix.SockaddrInet6{Addr: [16]byte{10: 255, 11: 255, 12: 127, 15: 1}, Port: 53}))
	compatible := must(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0))
	// Not assigned to any interface, and shown in the old form all the same.
	must(0, unix.SetsockoptInt(compatible, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1))
	must(0, unix.Bind(compatible, &unix.SockaddrInet6{Addr: [16]byte{12: 1, 13: 2, 14: 3, 15: 4}}))
	o.keep(mapped, compatible)
	for i, addr := range [][16]byte{
		{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 1},
		{0: 0x20, 1: 1, 5: 1, 15: 1},
		{1: 1, 3: 1, 5: 1, 7: 1, 9: 1, 11: 1, 13: 1, 15: 1},
		{14: 1},
		{13: 1},
		{0: 0x20, 1: 1, 7: 1, 9: 1, 15: 1},
		{8: 0xff, 9: 0xff, 12: 1, 15: 1},
		{0: 1},
	} {
		fd := must(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0))
		must(0, unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1))
		if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: addr}); err != nil {
			fmt.Fprintln(os.Stderr, "helper: address", i, err)
		}
		o.keep(fd)
	}
}

// streams are connections in every state that a descriptor can have.
func (o *opener) streams() {
	listener := must(net.Listen("tcp4", "127.0.0.1:0"))
	o.keep(listener)
	pair := func() (client, server int) {
		client = must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
		must(0, unix.Connect(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: listener.Addr().(*net.TCPAddr).Port}))
		conn := must(listener.Accept()).(*net.TCPConn)
		file := must(conn.File())
		must(0, conn.Close())
		o.keep(client, file)
		return client, int(file.Fd())
	}
	pair() // established
	finWait2, _ := pair()
	must(0, unix.Shutdown(finWait2, unix.SHUT_WR))
	closed, other := pair()
	must(0, unix.Shutdown(closed, unix.SHUT_WR))
	must(0, unix.Shutdown(other, unix.SHUT_WR)) // TIME_WAIT has no descriptor any more
	reset, peer := pair()
	must(0, unix.SetsockoptLinger(peer, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	must(0, unix.Shutdown(reset, unix.SHUT_RDWR))
	bound := must(unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0))
	must(0, unix.Bind(bound, &unix.SockaddrInet6{}))
	o.keep(bound)
}

// cutOff are connections whose packets get nowhere, in a network of our own:
// the loopback device is off in the end.
func (o *opener) cutOff() {
	listener := must(net.Listen("tcp4", "127.0.0.1:0"))
	port := listener.Addr().(*net.TCPAddr).Port
	connect := func() (client, server int) {
		client = must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
		must(0, unix.Connect(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}))
		file := must(must(listener.Accept()).(*net.TCPConn).File())
		o.keep(client, file)
		return client, int(file.Fd())
	}
	finWait1, _ := connect()
	half, lastAck := connect()
	must(0, unix.Shutdown(half, unix.SHUT_WR))
	const finWait2 = 5
	for must(unix.GetsockoptTCPInfo(half, unix.SOL_TCP, unix.TCP_INFO)).State != finWait2 {
		time.Sleep(time.Millisecond) // until the other side has acknowledged it
	}
	setLoopback(0)
	must(0, unix.Shutdown(finWait1, unix.SHUT_WR))
	must(0, unix.Shutdown(lastAck, unix.SHUT_WR))
	setLoopback(unix.IFF_UP | unix.IFF_RUNNING)
	// Nobody answers on an address of a device that goes nowhere.
	name := "dtc-nowhere"
	tun := must(unix.Open("/dev/net/tun", unix.O_RDWR, 0))
	request := must(unix.NewIfreq(name))
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	must(0, unix.IoctlIfreq(tun, unix.TUNSETIFF, request))
	control := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
	for end, request := range []uint{unix.SIOCSIFADDR, unix.SIOCSIFDSTADDR} {
		address := must(unix.NewIfreq(name))
		must(0, address.SetInet4Addr([]byte{10, 99, 0, byte(1 + end)}))
		must(0, unix.IoctlIfreq(control, request, address))
	}
	up := must(unix.NewIfreq(name))
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	must(0, unix.IoctlIfreq(control, unix.SIOCSIFFLAGS, up))
	synSent := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0))
	if err := unix.Connect(synSent, &unix.SockaddrInet4{Addr: [4]byte{10, 99, 0, 2}, Port: 80}); err != unix.EINPROGRESS {
		must(0, fmt.Errorf("connect: %w", err))
	}
	setLoopback(0)
	o.keep(listener, tun, control, synSent)
}

func (o *opener) unixNames() {
	long := "@" + strings.Repeat("l", 90)
	// Without spaces and colons, at which lsof cuts a name.
	for i, name := range []string{"@", "@abstract", "@\xff\x01", "@\x00\x00x", long, "stream", "d\\\xff\x02"} {
		if name[0] == '@' {
			name = fmt.Sprintf("%s%d", name, os.Getpid())
		}
		kind := []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET}[i%2]
		fd, client := must(unix.Socket(unix.AF_UNIX, kind, 0)), must(unix.Socket(unix.AF_UNIX, kind, 0))
		must(0, unix.Bind(fd, &unix.SockaddrUnix{Name: name}))
		must(0, unix.Listen(fd, 5))
		must(0, unix.Connect(client, &unix.SockaddrUnix{Name: name}))
		o.keep(fd, client)
		if i%3 == 0 {
			server, _, err := unix.Accept(fd)
			must(0, err)
			o.keep(server)
		}
	}
	autobound := must(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
	must(0, unix.Bind(autobound, &unix.SockaddrUnix{}))
	to := must(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
	must(0, unix.Connect(to, must(unix.Getsockname(autobound))))
	o.keep(autobound, to)
	shut := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	must(0, unix.Shutdown(shut[0], unix.SHUT_RDWR))
	half := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0))
	must(0, unix.Close(half[1]))
	o.keep(shut, half[0])
}

// multipath are connections of MPTCP, which the kernel tells as of TCP.
func (o *opener) multipath() {
	const mptcp = 262
	listener := o.trySocket(unix.AF_INET, unix.SOCK_STREAM, mptcp)
	if listener < 0 {
		return
	}
	must(0, unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(0, unix.Listen(listener, 5))
	client := o.trySocket(unix.AF_INET, unix.SOCK_STREAM, mptcp)
	must(0, unix.Connect(client, must(unix.Getsockname(listener))))
	server, _, err := unix.Accept(listener)
	must(0, err)
	o.keep(server)
}
