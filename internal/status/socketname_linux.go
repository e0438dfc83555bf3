package status

import (
	"net/netip"
	"strconv"

	"dtc/internal/proc"
)

// appendInetName appends the endpoints and the state of a socket as lsof -n -P
// prints them: 127.0.0.1:22->127.0.0.1:41938 (ESTABLISHED).
func appendInetName(b []byte, s *proc.InetSocket) []byte {
	local, remote := s.Local, s.Remote
	if s.IPv6 && (remote.Addr().Is4In6() || local.Addr().Is4In6()) {
		// IPv4 over a socket of IPv6. One side may be the address "any" of
		// either family: both are shown as of IPv4.
		local, remote = asIPv4(local), asIPv4(remote)
	}
	hasLocal, hasRemote := isSet(local), isSet(remote)
	if hasLocal {
		b = appendEndpoint(b, local)
	}
	if hasRemote {
		b = appendEndpoint(append(b, "->"...), remote)
	}
	if state := s.StateName(); state != "" {
		if hasLocal || hasRemote {
			b = append(b, ' ')
		}
		b = append(append(append(b, '('), state...), ')')
	}
	return b
}

// isSet says whether an endpoint is one: port 0 of no address is none.
func isSet(a netip.AddrPort) bool { return !a.Addr().IsUnspecified() || a.Port() != 0 }

func asIPv4(a netip.AddrPort) netip.AddrPort {
	raw := a.Addr().As16()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[12:])), a.Port())
}

func appendEndpoint(b []byte, a netip.AddrPort) []byte {
	switch addr := a.Addr(); {
	case addr.IsUnspecified():
		b = append(b, '*')
	case addr.Is4():
		b = addr.AppendTo(b)
	default:
		b = append(appendIPv6(append(b, '['), addr), ']')
	}
	b = append(b, ':')
	if a.Port() == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(a.Port()), 10)
}

// appendIPv6 appends an address as inet_ntop(3) writes it: the last part of an
// old IPv4-compatible one as of IPv4.
func appendIPv6(b []byte, addr netip.Addr) []byte {
	raw := addr.As16()
	const prefix = 12
	if [prefix]byte(raw[:]) != [prefix]byte{} || raw[prefix] == 0 && raw[prefix+1] == 0 {
		return addr.AppendTo(b)
	}
	return netip.AddrFrom4([4]byte(raw[prefix:])).AppendTo(append(b, "::"...))
}

// appendUnixName appends the path, the type and the state of a socket of
// unix(7) as lsof prints them. Unlike lsof it shows a path with spaces whole.
func appendUnixName(b []byte, s *proc.UnixSocket) []byte {
	const established, listening = 1, 10
	b = append(b, s.Path...)
	if len(s.Path) > 0 {
		b = append(b, ' ')
	}
	b = append(append(b, "type="...), proc.SocketType(s.Type)...)
	switch s.State {
	case listening:
		return append(b, " (LISTEN)"...)
	case established:
		return append(b, " (CONNECTED)"...)
	default:
		return append(b, " (UNCONNECTED)"...)
	}
}
