//go:build !linux

package status

import (
	"context"
	"slices"

	"dtc"
)

// sockets answers what ss -tunap prints, as far as the system knows it.
func (c *Collector) sockets(ctx context.Context, sel *selector) ([]dtc.Socket, []string, error) {
	items, err := try("sockets", func() ([]dtc.Socket, error) { return c.host.listSockets(ctx) })
	if err != nil {
		return nil, nil, err
	}
	if sel != nil {
		items = slices.DeleteFunc(items, func(s dtc.Socket) bool { return !sel.wantsPort(s.LocalPort, s.RemotePort) })
	}
	// Many sockets share a process.
	known := make(map[int]socketProcess)
	for i := range items {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		s := &items[i]
		for o := range s.Owners {
			owner := &s.Owners[o]
			p, ok := known[owner.PID]
			if !ok {
				p = c.host.socketProcess(owner.PID)
				known[owner.PID] = p
			}
			owner.Name = p.name
			if s.User == "" {
				s.User = p.user
			}
		}
	}
	return items, nil, nil
}

// socketProcess is what is told of a process that has a socket open.
type socketProcess struct{ name, user string }

// ownedBy returns the owner of a socket, if the system knows the process.
func ownedBy(pid int) []dtc.SocketOwner {
	if pid <= 0 {
		return nil
	}
	return []dtc.SocketOwner{{PID: pid, FD: dtc.Absent}}
}

func portOrAbsent(port int) int {
	if port == 0 {
		return dtc.Absent
	}
	return port
}
