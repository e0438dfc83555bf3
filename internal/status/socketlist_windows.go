package status

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	psnet "github.com/shirou/gopsutil/v4/net"
	"golang.org/x/sys/windows"

	"dtc"
)

// listSockets lists the sockets of all processes, without what is told of the
// processes. Windows tells no queues, no peers of UDP, and no descriptors.
func (*host) listSockets(ctx context.Context) ([]dtc.Socket, error) {
	var items []dtc.Socket
	var failed error
	for _, kind := range []string{"udp4", "udp6", "tcp4", "tcp6"} { // the order of ss
		list, err := psnet.ConnectionsWithContext(ctx, kind)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for i := range list {
			items = append(items, socketOf(&list[i], strings.TrimRight(kind, "46")))
		}
	}
	if len(items) > 0 {
		return items, nil
	}
	return nil, failed
}

func socketOf(s *psnet.ConnectionStat, protocol string) dtc.Socket {
	return dtc.Socket{
		Protocol: protocol, State: socketState(s.Status), ReceiveQueue: dtc.Absent, SendQueue: dtc.Absent,
		LocalAddress: s.Laddr.IP, LocalPort: portOrAbsent(int(s.Laddr.Port)),
		RemoteAddress: s.Raddr.IP, RemotePort: portOrAbsent(int(s.Raddr.Port)),
		Owners: ownedBy(int(s.Pid)),
	}
}

// socketState names a state as ss does; a socket of UDP has none here.
func socketState(state string) string {
	switch state {
	case "", "CLOSED", "DELETE":
		return "UNCONN"
	case "ESTABLISHED":
		return "ESTAB"
	case "SYN_RECEIVED":
		return "SYN-RECV"
	default:
		return strings.ReplaceAll(state, "_", "-")
	}
}

// socketProcess tells the name of a process' program and its user.
func (h *host) socketProcess(pid int) (p socketProcess) {
	const system = 4 // the kernel's own process
	if pid == system {
		p.name = "System"
	}
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return p
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	p.user = h.userOf(handle)
	path := make([]uint16, windows.MAX_LONG_PATH)
	length := uint32(len(path))
	if windows.QueryFullProcessImageName(handle, 0, &path[0], &length) == nil {
		p.name = filepath.Base(windows.UTF16ToString(path[:length]))
	}
	return p
}
