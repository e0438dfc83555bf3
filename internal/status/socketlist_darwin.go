package status

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"dtc"
)

// The kernel's lists of sockets hold, behind a header, several structures of
// each socket: bsd/netinet/in_pcb.h, bsd/sys/socketvar.h and
// bsd/netinet/tcp_var.h of Darwin. Each begins with its length and kind, and is
// filled up to 8 bytes.
const (
	pcbHeader = 24 // struct xinpgen, at the beginning and at the end

	kindSocket  = 0x01 // struct xsocket_n
	kindReceive = 0x02 // struct xsockbuf_n
	kindSend    = 0x04 // the same
	kindInet    = 0x10 // struct xinpcb_n, the first of a socket
	kindTCP     = 0x20 // struct xtcpcb_n

	inetRemotePort, inetLocalPort, inetVersion, inetRemote, inetLocal, inetLength = 16, 18, 44, 48, 64, 80
	socketQueued, socketBacklog, socketUID, socketPID, socketLength               = 44, 48, 64, 68, 72
	bufferUsed, bufferLength                                                      = 8, 12
	tcpState, tcpLength                                                           = 36, 40
)

// listSockets lists the sockets of all processes, without what is told of the
// processes. The process is the last that used the socket; the kernel tells no
// descriptor. No program is started for this.
func (h *host) listSockets(context.Context) ([]dtc.Socket, error) {
	var items []dtc.Socket
	for _, protocol := range []string{"udp", "tcp"} { // the order of ss
		data, err := unix.SysctlRaw("net.inet." + protocol + ".pcblist_n")
		if err != nil {
			return nil, fmt.Errorf("list the sockets of %s: %w", protocol, err)
		}
		items = h.appendSockets(items, data, protocol)
	}
	return items, nil
}

func (h *host) appendSockets(items []dtc.Socket, data []byte, protocol string) []dtc.Socket {
	if len(data) < 2*pcbHeader {
		return items
	}
	var s *dtc.Socket
	for data = data[pcbHeader : len(data)-pcbHeader]; len(data) >= 8; {
		length, kind := int(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint32(data[4:])
		if length < 8 || length > len(data) {
			break
		}
		if kind == kindInet {
			items = append(items, dtc.Socket{Protocol: protocol, State: "UNCONN", ReceiveQueue: dtc.Absent, SendQueue: dtc.Absent})
			s = &items[len(items)-1]
		}
		if s != nil {
			h.fillSocket(s, kind, data[:length])
		}
		data = data[min(len(data), (length+7)&^7):]
	}
	return items
}

// fillSocket adds what one structure tells.
func (h *host) fillSocket(s *dtc.Socket, kind uint32, b []byte) {
	number := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	switch {
	case kind == kindInet && len(b) >= inetLength:
		s.LocalAddress, s.LocalPort = endpointOf(b[inetVersion], b[inetLocal:], b[inetLocalPort:])
		s.RemoteAddress, s.RemotePort = endpointOf(b[inetVersion], b[inetRemote:], b[inetRemotePort:])
	case kind == kindSocket && len(b) >= socketLength:
		s.User, s.Owners = h.user(number(socketUID)), ownedBy(int(int32(number(socketPID))))
		if most := binary.NativeEndian.Uint16(b[socketBacklog:]); most > 0 { // it listens
			s.ReceiveQueue, s.SendQueue = int64(binary.NativeEndian.Uint16(b[socketQueued:])), int64(most)
		}
	case kind == kindReceive && len(b) >= bufferLength && s.ReceiveQueue < 0:
		s.ReceiveQueue = int64(number(bufferUsed))
	case kind == kindSend && len(b) >= bufferLength && s.SendQueue < 0:
		s.SendQueue = int64(number(bufferUsed))
	case kind == kindTCP && len(b) >= tcpLength:
		s.State = socketState(number(tcpState))
	}
}

// endpointOf reads an end of a socket. One of both families that is bound to any
// address is "*", as ss says.
func endpointOf(version uint8, address, port []byte) (string, int) {
	const v4, v6 = 1, 2
	number := portOrAbsent(int(binary.BigEndian.Uint16(port)))
	if version&v6 == 0 {
		return netip.AddrFrom4([4]byte(address[12:16])).String(), number
	}
	a := netip.AddrFrom16([16]byte(address[:16]))
	if a.IsUnspecified() && version&v4 != 0 {
		return "*", number
	}
	return a.String(), number
}

// socketState names a state of TCP as ss does: netinet/tcp_fsm.h.
func socketState(state uint32) string {
	names := [...]string{
		"UNCONN", "LISTEN", "SYN-SENT", "SYN-RECV", "ESTAB", "CLOSE-WAIT", "FIN-WAIT-1", "CLOSING", "LAST-ACK", "FIN-WAIT-2",
		"TIME-WAIT",
	}
	if int(state) < len(names) {
		return names[state]
	}
	return "UNKNOWN"
}

func (*host) socketProcess(pid int) (p socketProcess) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err == nil {
		p.name = unix.ByteSliceToString(info.Proc.P_comm[:])
	}
	return p
}
