package watch

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"dtc/internal/proc"
)

const (
	// ownersEvery is how often it is asked anew whose sockets are that stay the
	// same: a process can hand one to another.
	ownersEvery = time.Minute

	// ownersShare bounds the time that the search for owners takes: one part in so
	// many while sockets change, and in so many times so many while they do not.
	ownersShare = 30
)

// ports finds the processes that have sockets on ports: those of TCP that listen,
// those of UDP that are bound.
type ports struct {
	listeners *proc.Listeners
	sockets   map[int][]uint64 // inodes by port, ascending, when owners were searched for
	owners    map[int]*socketOwners
	searched  time.Time
	took      time.Duration // the last search
}

// socketOwners are the processes that have the sockets of a port open.
type socketOwners struct {
	pids    []int
	refused error // why there may be more
}

func newPorts(*finder) *ports {
	return &ports{listeners: proc.Default.Listeners()}
}

func (p *ports) close() { p.listeners.Close() }

// find asks for the ports of the trials with these indices.
func (p *ports) find(trials []trial, of []int, into []place) {
	if len(of) == 0 {
		return
	}
	sockets := make(map[int][]uint64, len(of))
	wanted := make(map[int]bool, len(of))
	for _, at := range of {
		wanted[trials[at].rule.Port] = true
	}
	err := p.listeners.Each(func() { clear(sockets) }, func(s *proc.NetSocket) {
		if port := int(s.Local.Port()); wanted[port] {
			sockets[port] = append(sockets[port], s.Inode)
		}
	})
	if err == nil {
		for port, inodes := range sockets {
			slices.Sort(inodes)
			sockets[port] = slices.Compact(inodes)
		}
		err = p.search(sockets)
	}
	for _, at := range of {
		port := trials[at].rule.Port
		if err != nil {
			into[at].err = fmt.Errorf("look who listens on port %d: %w", port, err)
			continue
		}
		into[at] = placeAt(port, len(sockets[port]), p.owners[port])
	}
}

// placeAt says where so many sockets of a port lead.
func placeAt(port, sockets int, o *socketOwners) place {
	switch {
	case sockets == 0:
		return place{problem: fmt.Sprintf("nothing listens on port %d", port)}
	case o != nil && len(o.pids) > 0:
		return place{pids: o.pids}
	case o != nil && o.refused != nil:
		return place{err: fmt.Errorf("something listens on port %d, and the agent may not see what: run it as root: %w", port, o.refused)}
	default:
		return place{problem: fmt.Sprintf("no process that can be seen here listens on port %d, but the kernel or a container", port)}
	}
}

// search finds whose sockets these are, unless they are those of the last time.
func (p *ports) search(sockets map[int][]uint64) error {
	since := time.Since(p.searched)
	wait := p.took * ownersShare
	if p.same(sockets) {
		wait = max(ownersEvery, wait*ownersShare)
	}
	if !p.searched.IsZero() && since < wait {
		return nil
	}
	began := time.Now()
	owners, err := searchOwners(sockets)
	if err != nil {
		return err
	}
	p.sockets, p.owners = sockets, owners
	p.searched = time.Now()
	p.took = p.searched.Sub(began)
	return nil
}

// same says whether the sockets are those whose owners are known.
func (p *ports) same(sockets map[int][]uint64) bool {
	return maps.EqualFunc(sockets, p.sockets, slices.Equal[[]uint64])
}

// searchOwners walks over the descriptors of all processes, and finds who has the
// sockets of each port.
func searchOwners(sockets map[int][]uint64) (map[int]*socketOwners, error) {
	owners := make(map[int]*socketOwners, len(sockets))
	ports := map[uint64]int{}
	for port, inodes := range sockets {
		owners[port] = new(socketOwners)
		for _, inode := range inodes {
			ports[inode] = port
		}
	}
	if len(ports) == 0 {
		return owners, nil
	}
	in, err := proc.Default.Scan()
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	pids, err := in.PIDs(nil)
	if err != nil {
		return nil, err
	}
	walk, err := proc.Default.WalkSockets()
	if err != nil {
		return nil, err
	}
	defer func() { _ = walk.Close() }()
	var reason error
	wanted := func(inode uint64) bool { _, ok := ports[inode]; return ok }
	for _, pid := range pids {
		refused := walk.Process(pid, wanted, func(f proc.SocketFile) { owners[ports[f.Inode]].add(pid) })
		if refused != nil {
			reason = refused
		}
	}
	for _, o := range owners {
		o.leaveOutInit()
		o.refused = reason
	}
	return owners, nil
}

// add adds a process; they come in order.
func (o *socketOwners) add(pid int) {
	if n := len(o.pids); n == 0 || o.pids[n-1] != pid {
		o.pids = append(o.pids, pid)
	}
}

// leaveOutInit leaves the first process out if others have the socket too: it
// made it for them (socket units of systemd).
func (o *socketOwners) leaveOutInit() {
	if len(o.pids) > 1 && o.pids[0] == 1 {
		o.pids = o.pids[1:]
	}
}
