package wire

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// door counts the connections that have not proven themselves, and keeps room
// for who comes next. Nobody can forge the address that a connection comes from,
// so an address that is known is let in before strangers; among equals who holds
// most, longest, makes room.
type door struct {
	max   int                   // inside at a time
	each  int                   // of these, from one source
	known func(netip.Addr) bool // by the configuration; nil: none is

	mu      sync.Mutex
	crowds  map[netip.Addr]*crowd // guarded by mu; by source
	inside  int                   // guarded by mu; of all crowds
	leaving int                   // guarded by mu; were pushed out, and have not left yet
	proven  addresses             // guarded by mu; of those who proved themselves
}

// crowd is those inside from one source, oldest first.
type crowd struct {
	known    bool
	visitors []*visitor
}

// visitor is a connection that has not proven itself.
type visitor struct {
	conn   net.Conn
	ip     netip.Addr
	source netip.Addr
	since  time.Time
	pushed bool // guarded by door.mu
}

// doorTurn is how long a place is its holder's where others from sources that
// hold as many want it. A handshake takes less.
const doorTurn = time.Second

func newDoor(limit, each int, known func(netip.Addr) bool) *door {
	return &door{crowds: map[netip.Addr]*crowd{}, max: limit, each: each, known: known}
}

// enter returns the visitor that a connection from ip is now; nil if there is no
// room.
func (d *door) enter(conn net.Conn, ip netip.Addr, now time.Time) *visitor {
	known := d.known != nil && d.known(ip)
	d.mu.Lock()
	defer d.mu.Unlock()
	known = known || d.proven.have(ip)
	source := ip
	if !known { // one that is known does not share the places of its network
		source = sourceOf(ip)
	}
	c := d.crowds[source]
	if c == nil {
		c = &crowd{known: known}
	}
	if !d.makeRoom(c, now) {
		return nil
	}
	v := &visitor{conn: conn, ip: ip, source: source, since: now}
	c.visitors = append(c.visitors, v)
	d.crowds[source] = c
	d.inside++
	return v
}

// makeRoom has one more fit into a crowd, if it may.
func (d *door) makeRoom(c *crowd, now time.Time) bool {
	if len(c.visitors) >= d.each {
		return now.Sub(c.visitors[0].since) >= doorTurn && d.pushOut(c)
	}
	if d.inside < d.max {
		return true
	}
	largest := d.largest(func(c *crowd) bool { return !c.known })
	if c.known && largest != nil {
		return d.pushOut(largest)
	}
	if c.known {
		largest = d.largest(func(*crowd) bool { return true })
	}
	if largest == nil {
		return false
	}
	more := len(largest.visitors) - len(c.visitors)
	return (more > 1 || more == 1 && now.Sub(largest.visitors[0].since) >= doorTurn) && d.pushOut(largest)
}

// largest returns the largest crowd that matches; of equal ones that with the
// oldest visitor.
func (d *door) largest(match func(*crowd) bool) (most *crowd) {
	for _, c := range d.crowds {
		if !match(c) {
			continue
		}
		if most == nil || len(c.visitors) > len(most.visitors) ||
			len(c.visitors) == len(most.visitors) && c.visitors[0].since.Before(most.visitors[0].since) {
			most = c
		}
	}
	return most
}

// pushOut closes the oldest connection of a crowd. It may be that one whose
// goroutine computes takes a moment to leave: these are bounded too.
func (d *door) pushOut(c *crowd) bool {
	if d.leaving >= d.max {
		return false
	}
	v := c.visitors[0]
	d.remove(v)
	v.pushed = true
	d.leaving++
	v.conn.Close()
	return true
}

// remove takes a visitor out of its crowd.
func (d *door) remove(v *visitor) {
	c := d.crowds[v.source]
	for i, one := range c.visitors {
		if one == v {
			c.visitors = append(c.visitors[:i], c.visitors[i+1:]...)
			break
		}
	}
	if len(c.visitors) == 0 {
		delete(d.crowds, v.source)
	}
	d.inside--
}

// leave is to be called once for who has entered.
func (d *door) leave(v *visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.pushed {
		d.leaving--
		return
	}
	d.remove(v)
}

// proved remembers where a peer came from that has proven itself.
func (d *door) proved(ip netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proven.add(ip)
}

// addressesKept is how many addresses are remembered at least; at most twice
// as many are.
const addressesKept = 4096

// addresses is a set that forgets those first that were not asked for lately.
type addresses struct{ now, before map[netip.Addr]struct{} }

func (a *addresses) have(ip netip.Addr) bool {
	if _, ok := a.now[ip]; ok {
		return true
	}
	if _, ok := a.before[ip]; ok {
		a.add(ip)
		return true
	}
	return false
}

func (a *addresses) add(ip netip.Addr) {
	if len(a.now) >= addressesKept {
		a.before, a.now = a.now, nil
	}
	if a.now == nil {
		a.now = map[netip.Addr]struct{}{}
	}
	a.now[ip] = struct{}{}
}

// sober is a connection of which so many bytes are read and no more, until it is
// lifted: what a stranger can make a handshake keep.
type sober struct {
	net.Conn
	left int // of a goroutine that reads; below zero: as many as come
}

// handshakeBytes is what a peer may say before it has proven itself. A handshake
// with a certificate of a fleet takes some 3 KiB.
const handshakeBytes = 16 << 10

var errTalkative = errors.New("it said more than a handshake takes")

func (s *sober) Read(b []byte) (int, error) {
	if s.left < 0 {
		return s.Conn.Read(b)
	}
	if s.left == 0 {
		return 0, errTalkative
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}
