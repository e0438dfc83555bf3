package proc

import (
	"bytes"
	"errors"
	"io/fs"
)

// eachSocketOfFiles passes the sockets of the text files of a protocol to put,
// which ends it with an error.
func (f FS) eachSocketOfFiles(p Protocol, put func(*NetSocket) error) error {
	for i, name := range p.files() {
		var ended error
		err := f.eachLine(func(line []byte) bool {
			var s NetSocket
			if s.parseLine(line) { // else it is the header
				s.Protocol = p
				ended = put(&s)
			}
			return ended == nil
		}, "net", name)
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err := errors.Join(ended, err); err != nil {
			return err
		}
	}
	return nil
}

// parseLine reads a line of the files tcp, tcp6, udp and udp6: proc_pid_net(5).
func (s *NetSocket) parseLine(line []byte) (ok bool) {
	var fields [10][]byte // number, local, remote, state, queues, timer, retransmits, uid, timeout, inode
	for i := range fields {
		fields[i], line = word(line)
	}
	local, is6, ok1 := parseEndpoint(fields[1])
	remote, remote6, ok2 := parseEndpoint(fields[2])
	state, ok3 := parseHex(fields[3])
	send, receive, _ := bytes.Cut(fields[4], []byte(":"))
	sendQueue, ok4 := parseHex(send)
	receiveQueue, ok5 := parseHex(receive)
	uid, ok6 := parseDecimal(fields[7])
	inode, ok7 := parseDecimal(fields[9])
	if is6 != remote6 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || !ok7 {
		return false
	}
	*s = NetSocket{
		InetSocket: InetSocket{IPv6: is6, State: uint8(state), Local: local, Remote: remote},
		Inode:      inode, UID: uint32(uid), ReceiveQueue: uint32(receiveQueue), SendQueue: uint32(sendQueue),
	}
	return true
}
