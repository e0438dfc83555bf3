package status

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"dtc"
	"dtc/internal/proc"
)

const (
	// checkEvery is after how many sockets it is looked whether the answer is
	// still wanted.
	checkEvery = 1024

	// maxSockets is how many sockets an answer has, maxOwned how many descriptors
	// of processes that have them open: any user can make millions of both, and
	// would fill our memory.
	maxSockets = 1 << 20
	maxOwned   = 1 << 20
)

// sockets answers what ss -tunap prints, of the agent's own network namespace.
func (c *Collector) sockets(ctx context.Context, sel *selector) ([]dtc.Socket, []string, error) {
	l := socketLister{
		fs: c.host.proc, sel: sel, users: c.host.users.Load(), most: maxSockets,
		addresses: make(map[endpoint]string), links: make(map[uint32]string),
	}
	var list socketItems
	var notes []string
	for _, protocol := range []proc.Protocol{proc.UDP, proc.TCP} { // the order of ss
		err := l.list(ctx, protocol, &list)
		switch {
		case errors.Is(err, proc.ErrChanged):
			notes = append(notes, fmt.Sprintf("sockets of %s: %v", protocol, err))
		case err != nil:
			return nil, nil, fmt.Errorf("list the sockets of %s: %w", protocol, err)
		}
	}
	if l.untold > 0 {
		notes = append(notes, fmt.Sprintf("of %d sockets only %d are told: ask for some with --port or --user", len(list.items)+l.untold, len(list.items)))
	}
	more, err := list.findOwners(ctx, c.host, maxOwned)
	return list.items, append(notes, more...), err
}

// socketItems are sockets with their inodes, 0 of one that belongs to no file.
type socketItems struct {
	items  []dtc.Socket
	inodes []uint64
}

func (s *socketItems) add(item dtc.Socket, inode uint64) {
	s.items, s.inodes = append(s.items, item), append(s.inodes, inode)
}

func (s *socketItems) cut(n int) { s.items, s.inodes = s.items[:n], s.inodes[:n] }

// socketLister lists sockets, without the processes that have them open.
type socketLister struct {
	fs    proc.FS
	sel   *selector
	users *proc.UserNames

	most   int // items that there may be
	untold int // beyond them

	addresses map[endpoint]string // made so far: many sockets share an end
	links     map[uint32]string   // names of interfaces by their numbers
}

// endpoint is what the text of an address is made of.
type endpoint struct {
	address netip.Addr
	link    uint32
	both    bool // any address is that of both families
}

// maxAddresses bounds how many texts of addresses are remembered.
const maxAddresses = 1 << 14

// list appends the wanted sockets of a protocol: those of IPv4, and then those
// of IPv6, as ss does.
func (l *socketLister) list(ctx context.Context, protocol proc.Protocol, into *socketItems) error {
	before, told, untold := len(into.items), 0, 0
	var six socketItems
	start := func() {
		into.cut(before)
		six.cut(0)
		untold = 0
	}
	err := l.fs.EachSocket(protocol, start, func(s *proc.NetSocket) error {
		if told++; told%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch item, ok := l.item(s); {
		case !ok:
		case len(into.items)+len(six.items) >= l.most:
			untold++
		case s.IPv6:
			six.add(item, s.Inode)
		default:
			into.add(item, s.Inode)
		}
		return nil
	})
	into.items, into.inodes = append(into.items, six.items...), append(into.inodes, six.inodes...)
	l.untold += untold
	return err
}

// item is what is told of a socket, if it is wanted.
func (l *socketLister) item(s *proc.NetSocket) (item dtc.Socket, wanted bool) {
	user := l.users.Name(s.UID)
	if l.sel != nil && (!l.sel.wantsUser(user) || !l.sel.wantsPort(int(s.Local.Port()), int(s.Remote.Port()))) {
		return item, false
	}
	both := s.IPv6 && !s.V6Only
	return dtc.Socket{
		Protocol: protocolName(s.Protocol), State: socketState(s.State),
		ReceiveQueue: int64(s.ReceiveQueue), SendQueue: int64(s.SendQueue),
		LocalAddress: l.address(endpoint{s.Local.Addr(), s.Interface, both}), LocalPort: portOrAbsent(s.Local.Port()),
		RemoteAddress: l.address(endpoint{s.Remote.Addr(), 0, both}), RemotePort: portOrAbsent(s.Remote.Port()),
		User: user,
	}, true
}

func protocolName(p proc.Protocol) string {
	if p == proc.UDP {
		return "udp"
	}
	return "tcp"
}

// socketState names a state as ss does.
func socketState(state uint8) string {
	names := [...]string{
		"UNKNOWN", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT",
		"LAST-ACK", "LISTEN", "CLOSING",
	}
	if int(state) < len(names) {
		return names[state]
	}
	return names[0]
}

func portOrAbsent(port uint16) int {
	if port == 0 {
		return dtc.Absent
	}
	return int(port)
}

func (l *socketLister) address(e endpoint) string {
	if text, ok := l.addresses[e]; ok {
		return text
	}
	text := "*"
	if !e.both || !e.address.IsUnspecified() {
		text = inetText(e.address)
	}
	if e.link != 0 {
		text += "%" + l.link(e.link)
	}
	if len(l.addresses) < maxAddresses {
		l.addresses[e] = text
	}
	return text
}

// link is the name of an interface.
func (l *socketLister) link(index uint32) string {
	name, ok := l.links[index]
	if !ok {
		var err error
		if name, err = l.fs.LinkName(index); err != nil || name == "" {
			name = "if" + strconv.FormatUint(uint64(index), 10)
		}
		l.links[index] = name
	}
	return name
}
