package proc

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Any user may have as many sockets as he has room for, with long texts.
const (
	maxIndexed = 1 << 21  // sockets of each kind
	maxText    = 64 << 20 // bytes of the names of unix(7), and of the file of each rarer kind
)

// SocketIndex finds the sockets of our network namespace by their inodes. It is
// made once, changes no more and may be used side by side.
type SocketIndex struct {
	inet4 []inet4 // by inode
	inet6 []inet6 // by inode
	other map[uint64]OtherSocket

	unix   []unixSocket // by inode
	names  []byte       // of unix
	digits int          // of an address in the kernel

	mu     sync.Mutex // guards what follows while the index is made
	errors []error
	cut    []string // kinds of which there are more than are kept
}

// inet4 is a socket with addresses of IPv4. Inodes of sockets have 32 bits.
type inet4 struct {
	inode         uint32
	local, remote [4]byte
	ports         [2]uint16
	state         uint8
	protocol      Protocol
}

type inet6 struct {
	inode         uint32
	local, remote [16]byte
	ports         [2]uint16
	state         uint8
	protocol      Protocol
}

type unixSocket struct {
	address     uint64 // of the kernel's structure
	inode       uint32
	name        uint32 // where it begins
	length      uint16 // of the name
	kind, state uint8
	addressed   bool // address is known
}

// IndexSockets reads the sockets. What cannot be read is not in the index, and
// told by its Err.
func (f FS) IndexSockets() *SocketIndex {
	x := &SocketIndex{other: make(map[uint64]OtherSocket)}
	var wg sync.WaitGroup
	wg.Go(func() { x.loadInet(f) })
	x.loadUnix(f)
	x.loadOther(f)
	wg.Wait()
	return x
}

// Err says what could not be read, nil if all could.
func (x *SocketIndex) Err() error { return errors.Join(x.errors...) }

// Inet finds a socket of TCP or UDP.
func (x *SocketIndex) Inet(inode uint64) (InetSocket, bool) {
	if s := find(x.inet4, inode, inet4.id); s != nil {
		return InetSocket{
			Protocol: s.protocol, State: s.state,
			Local:  netip.AddrPortFrom(netip.AddrFrom4(s.local), s.ports[0]),
			Remote: netip.AddrPortFrom(netip.AddrFrom4(s.remote), s.ports[1]),
		}, true
	}
	if s := find(x.inet6, inode, inet6.id); s != nil {
		return InetSocket{
			Protocol: s.protocol, State: s.state, IPv6: true,
			Local:  netip.AddrPortFrom(netip.AddrFrom16(s.local), s.ports[0]),
			Remote: netip.AddrPortFrom(netip.AddrFrom16(s.remote), s.ports[1]),
		}, true
	}
	return InetSocket{}, false
}

// Unix finds a socket of unix(7), without the address of its structure.
func (x *SocketIndex) Unix(inode uint64) (UnixSocket, bool) {
	s := find(x.unix, inode, unixSocket.id)
	if s == nil {
		return UnixSocket{}, false
	}
	return UnixSocket{Type: s.kind, State: s.state, Path: x.names[s.name:][:s.length]}, true
}

// AppendUnixAddress appends the address of the kernel's structure of a socket as
// proc_pid_net(5) has it, nothing if it is not known.
func (x *SocketIndex) AppendUnixAddress(b []byte, inode uint64) []byte {
	s := find(x.unix, inode, unixSocket.id)
	if s == nil || !s.addressed {
		return b
	}
	for i := x.digits - 1; i > 0 && s.address>>(4*i) == 0; i-- {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, s.address, 16)
}

// Other finds a socket of one of the rarer kinds.
func (x *SocketIndex) Other(inode uint64) (OtherSocket, bool) {
	s, ok := x.other[inode]
	return s, ok
}

func (s inet4) id() uint32      { return s.inode }
func (s inet6) id() uint32      { return s.inode }
func (s unixSocket) id() uint32 { return s.inode }

// find looks an inode up in a list that is sorted by it.
func find[T any](list []T, inode uint64, id func(T) uint32) *T {
	from, to := 0, len(list)
	for from < to {
		middle := int(uint(from+to) / 2)
		if uint64(id(list[middle])) < inode {
			from = middle + 1
		} else {
			to = middle
		}
	}
	if from < len(list) && uint64(id(list[from])) == inode {
		return &list[from]
	}
	return nil
}

// arrange sorts a list by inode. Of several entries with one inode the first
// stays: the parts of a connection of MPTCP have that of the whole.
func arrange[T any](list []T, id func(T) uint32) []T {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	return slices.CompactFunc(list, func(a, b T) bool { return id(a) == id(b) })
}

// fail keeps an error. That a kernel has no such sockets is none.
func (x *SocketIndex) fail(err error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.errors = append(x.errors, err)
}

// full tells whether no more than n sockets of a kind are kept.
func (x *SocketIndex) full(n int, kind string) bool {
	if n < maxIndexed {
		return false
	}
	x.more(kind)
	return true
}

// more keeps that there are more sockets of a kind than are kept: once, however
// many there are.
func (x *SocketIndex) more(kind string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Contains(x.cut, kind) {
		x.cut = append(x.cut, kind)
		x.errors = append(x.errors, fmt.Errorf("more %s sockets than can be kept: of the rest no more is known", kind))
	}
}

// loadInet asks the kernel for all sockets at once, which is several times
// faster than its text files; where it refuses, those are read.
func (x *SocketIndex) loadInet(f FS) {
	for _, p := range []Protocol{TCP, UDP, UDPLite} {
		had4, had6 := len(x.inet4), len(x.inet6)
		err := errors.ErrUnsupported
		if p != UDPLite { // few kernels can be asked for those
			err = f.ask(unix.NETLINK_SOCK_DIAG, func(n *netlink) error {
				x.inet4, x.inet6 = x.inet4[:had4], x.inet6[:had6]
				return n.inet(p, openStates, x.addInet)
			})
		}
		if err == nil || errors.Is(err, ErrChanged) {
			continue // what changes while it is read may be missing
		}
		x.inet4, x.inet6 = x.inet4[:had4], x.inet6[:had6]
		x.fail(f.eachSocketOfFiles(p, x.addInet))
	}
	x.inet4, x.inet6 = arrange(x.inet4, inet4.id), arrange(x.inet6, inet6.id)
}

// addInet adds a socket, unless it belongs to no file. It has no error.
func (x *SocketIndex) addInet(s *NetSocket) error {
	if s.Inode == 0 || s.Inode > 1<<32-1 || x.full(len(x.inet4)+len(x.inet6), "internet") {
		return nil
	}
	inode, local, remote, ports := uint32(s.Inode), s.Local.Addr(), s.Remote.Addr(), [2]uint16{s.Local.Port(), s.Remote.Port()}
	if s.IPv6 {
		x.inet6 = append(x.inet6, inet6{inode, local.As16(), remote.As16(), ports, s.State, s.Protocol})
	} else {
		x.inet4 = append(x.inet4, inet4{inode, local.As4(), remote.As4(), ports, s.State, s.Protocol})
	}
	return nil
}

// loadUnix takes the names from where a hostile one can do no harm, if the
// kernel lets us: in the text file a name may hold a newline, and forge the
// line of another socket. The addresses stand only there.
func (x *SocketIndex) loadUnix(f FS) {
	err := f.ask(unix.NETLINK_SOCK_DIAG, func(n *netlink) error {
		x.unix, x.names = x.unix[:0], x.names[:0]
		return n.unix(x.addUnix)
	})
	trusted := err == nil || errors.Is(err, ErrChanged)
	if trusted {
		x.unix = arrange(x.unix, unixSocket.id)
	} else {
		x.unix, x.names = nil, nil
	}
	x.fail(f.eachLine(func(line []byte) bool {
		parseUnixSockets(line, func(inode uint64, s UnixSocket) {
			if trusted {
				x.addAddress(find(x.unix, inode, unixSocket.id), s.Address)
				return
			}
			n := len(x.unix)
			if x.addUnix(inode, s); len(x.unix) > n {
				x.addAddress(&x.unix[n], s.Address)
			}
		})
		return true
	}, "net", "unix"))
	if !trusted {
		x.unix = arrange(x.unix, unixSocket.id)
	}
}

func (x *SocketIndex) addUnix(inode uint64, s UnixSocket) {
	const longest = 1 << 10 // a name has 108 bytes at most
	if inode > 1<<32-1 || len(s.Path) > longest || x.full(len(x.unix), "unix") {
		return
	}
	if len(x.names)+len(s.Path) > maxText {
		x.more("unix")
		return
	}
	x.unix = append(x.unix, unixSocket{
		inode: uint32(inode), name: uint32(len(x.names)), length: uint16(len(s.Path)), kind: s.Type, state: s.State,
	})
	x.names = append(x.names, s.Path...)
}

// addAddress adds the address of a socket, if there is one and it has none yet.
func (x *SocketIndex) addAddress(s *unixSocket, address []byte) {
	value, ok := parseHex(address)
	if s == nil || !ok || s.addressed {
		return
	}
	s.address, s.addressed, x.digits = value, true, len(address)
}

func (x *SocketIndex) loadOther(f FS) {
	put := func(inode uint64, s OtherSocket) {
		if _, again := x.other[inode]; !again && !x.full(len(x.other), "other") {
			x.other[inode] = s
		}
	}
	sctp := make(map[uint64]*sctpSocket)
	socket := func(inode uint64) *sctpSocket {
		s, known := sctp[inode]
		if !known {
			s = new(sctpSocket)
			if !x.full(len(sctp), "SCTP") {
				sctp[inode] = s
			}
		}
		return s
	}
	for _, file := range []struct {
		name  string
		parse func(line []byte)
	}{
		{"raw", func(line []byte) { parseRawSockets(line, "raw", put) }},
		{"netlink", func(line []byte) { parseNetlinkSockets(line, put) }},
		{"packet", func(line []byte) { parsePacketSockets(line, put) }},
		{"raw6", func(line []byte) { parseRawSockets(line, "raw6", put) }},
		{"sctp/assocs", func(line []byte) { parseSCTPAssociation(line, socket) }},
		{"sctp/eps", func(line []byte) { parseSCTPEndpoint(line, socket) }},
		{"icmp", func(line []byte) { parseRawSockets(line, "icmp", put) }},
	} {
		room := maxText
		x.fail(f.eachLine(func(line []byte) bool {
			if room -= len(line); room < 0 {
				x.more(file.name)
				return false
			}
			file.parse(line)
			return true
		}, "net", file.name))
	}
	for inode, s := range sctp {
		put(inode, s.other())
	}
}
