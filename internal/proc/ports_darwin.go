package proc

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// PortOwner is a process that has a socket on a port.
type PortOwner struct{ Port, PID int }

// The kernel's lists of sockets hold, behind a header, several structures of
// each socket: bsd/netinet/in_pcb.h, bsd/sys/socketvar.h and
// bsd/netinet/tcp_var.h of Darwin. Each begins with its length and kind, and is
// filled up to 8 bytes.
const (
	pcbHeader = 24 // struct xinpgen, at the beginning and at the end

	pcbSocket = 0x01 // struct xsocket_n
	pcbInet   = 0x10 // struct xinpcb_n, the first of a socket
	pcbTCP    = 0x20 // struct xtcpcb_n

	pcbRemotePort, pcbLocalPort, pcbInetLength = 16, 18, 80
	pcbPID, pcbSocketLength                    = 68, 72
	pcbState, pcbTCPLength                     = 36, 40

	pcbListens = 1 // TCPS_LISTEN of netinet/tcp_fsm.h
)

// PortOwners returns who listens on ports of TCP or has ports of UDP without a
// peer: the process that used the socket last.
func PortOwners() ([]PortOwner, error) {
	var list []PortOwner
	for protocol, wanted := range map[string]func(*pcb) bool{"tcp": (*pcb).isListener, "udp": (*pcb).isBound} {
		data, err := unix.SysctlRaw("net.inet." + protocol + ".pcblist_n")
		if err != nil {
			return nil, fmt.Errorf("list the sockets of %s: %w", protocol, err)
		}
		list = appendPortOwners(list, data, wanted)
	}
	return list, nil
}

// pcb is what is told of one socket.
type pcb struct {
	local, remote uint16
	pid           int
	listens       bool
}

func (s *pcb) isListener() bool { return s.listens }

func (s *pcb) isBound() bool { return s.remote == 0 }

func appendPortOwners(list []PortOwner, data []byte, wanted func(*pcb) bool) []PortOwner {
	if len(data) < 2*pcbHeader {
		return list
	}
	var s pcb
	add := func() {
		if s.local != 0 && s.pid > 0 && wanted(&s) {
			list = append(list, PortOwner{int(s.local), s.pid})
		}
	}
	for data = data[pcbHeader : len(data)-pcbHeader]; len(data) >= 8; {
		length, kind := int(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint32(data[4:])
		if length < 8 || length > len(data) {
			break
		}
		if kind == pcbInet {
			add()
			s = pcb{}
		}
		s.fill(kind, data[:length])
		data = data[min(len(data), (length+7)&^7):]
	}
	add()
	return list
}

// fill adds what one structure tells.
func (s *pcb) fill(kind uint32, b []byte) {
	switch {
	case kind == pcbInet && len(b) >= pcbInetLength:
		s.local, s.remote = binary.BigEndian.Uint16(b[pcbLocalPort:]), binary.BigEndian.Uint16(b[pcbRemotePort:])
	case kind == pcbSocket && len(b) >= pcbSocketLength:
		s.pid = int(int32(binary.NativeEndian.Uint32(b[pcbPID:])))
	case kind == pcbTCP && len(b) >= pcbTCPLength:
		s.listens = binary.NativeEndian.Uint32(b[pcbState:]) == pcbListens
	}
}
