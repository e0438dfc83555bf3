package proc

import (
	"bytes"
	"slices"
	"strings"
)

// sctpSocket is what the files of SCTP tell of one socket, in one line of each
// or in several. The texts are as they stand there.
type sctpSocket struct {
	endpoint, association bool

	addresses, ids []string // of the kernel's structures
	local, remote  sctpEnd
}

// sctpEnd is one end of an association.
type sctpEnd struct{ addresses, ports []string }

// parseSCTPAssociation reads a line of the file sctp/assocs:
//
//	ASSOC SOCK STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS …
func parseSCTPAssociation(line []byte, socket func(inode uint64) *sctpSocket) {
	const address, id, inode, localPort, remotePort, addresses, least = 0, 6, 10, 11, 12, 13, 16
	fields := bytes.Fields(line)
	if len(fields) < least {
		return
	}
	number, ok := parseDecimal(fields[inode])
	if !ok {
		return // the header
	}
	s := socket(number)
	s.association = true
	local, rest := sctpAddresses(fields[addresses:])
	addTo(&s.addresses, string(fields[address]))
	addTo(&s.ids, string(fields[id]))
	addTo(&s.local.ports, string(fields[localPort]))
	addTo(&s.remote.ports, string(fields[remotePort]))
	addTo(&s.local.addresses, local)
	if len(rest) > 0 && string(rest[0]) == "<->" {
		remote, _ := sctpAddresses(rest[1:])
		addTo(&s.remote.addresses, remote)
	}
}

// parseSCTPEndpoint reads a line of the file sctp/eps:
//
//	ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS
func parseSCTPEndpoint(line []byte, socket func(inode uint64) *sctpSocket) {
	const address, port, inode, addresses, least = 0, 5, 7, 8, 9
	fields := bytes.Fields(line)
	if len(fields) < least {
		return
	}
	number, ok := parseDecimal(fields[inode])
	if !ok {
		return // the header
	}
	s := socket(number)
	s.endpoint = true
	local, _ := sctpAddresses(fields[addresses:])
	addTo(&s.addresses, string(fields[address]))
	addTo(&s.local.ports, string(fields[port]))
	addTo(&s.local.addresses, local)
}

// sctpAddresses joins the addresses at the beginning of fields.
func sctpAddresses(fields [][]byte) (joined string, rest [][]byte) {
	end := slices.IndexFunc(fields, func(f []byte) bool { return !bytes.ContainsAny(f, ".:") })
	if end < 0 {
		end = len(fields)
	}
	return string(bytes.Join(fields[:end], []byte(","))), fields[end:]
}

// addTo adds a text to a list that does not have it yet.
func addTo(list *[]string, text string) {
	const most = 64 // of a socket with many associations no more are shown
	if text != "" && len(*list) < most && !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// other is the socket in the words of lsof.
func (s *sctpSocket) other() OtherSocket {
	var b strings.Builder
	list := func(before string, texts []string, after string) {
		if len(texts) > 0 {
			b.WriteString(before + strings.Join(texts, ",") + after)
		}
	}
	switch {
	case !s.association:
		list("ENDPT: ", s.addresses, "")
		if len(s.local.addresses)+len(s.local.ports) > 0 {
			b.WriteByte(' ')
		}
	case s.endpoint:
		list("ASSOC+ENDPT: ", s.addresses, ",")
		list("", s.ids, " ")
	default:
		list("ASSOC: ", s.addresses, ",")
		list("", s.ids, " ")
	}
	list("", s.local.addresses, "")
	list("[", s.local.ports, "]")
	if s.association {
		b.WriteString("<->")
		list("", s.remote.addresses, "")
		list("[", s.remote.ports, "]")
	}
	return OtherSocket{Type: "sock", Protocol: "SCTP", Name: b.String()}
}
