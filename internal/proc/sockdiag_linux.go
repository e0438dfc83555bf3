package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// The kernel's socket tables over netlink: sock_diag(7).

// Sizes of the structures of linux/netlink.h, linux/inet_diag.h and
// linux/unix_diag.h, and offsets in them.
const (
	nlHeader     = 16
	inetRequest  = 56
	inetMessage  = 72
	inetSport    = 4
	inetDport    = 6
	inetSrc      = 8
	inetDst      = 24
	inetInode    = 68
	unixRequest  = 24
	unixMessage  = 16
	unixAttrName = 0
)

type sockDiag struct {
	fd  int
	seq uint32
	buf []byte
}

// dial connects to the kernel, if f is its own file system.
func (f FS) dial() (*sockDiag, error) {
	if f != Default {
		return nil, fmt.Errorf("ask for sockets: %s is not of this kernel", f)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	wait := unix.Timeval{Sec: 2} // it answers at once or never
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return nil, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
	}
	return &sockDiag{fd: fd, buf: make([]byte, 64<<10)}, nil
}

func (d *sockDiag) close() { _ = unix.Close(d.fd) }

// inet passes the sockets of one protocol and both families to put that belong
// to a file.
func (d *sockDiag) inet(protocol uint8, put func(inode uint64, s InetSocket)) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var req [inetRequest]byte
		req[0], req[1] = family, protocol
		// All states but that of a half-open and a dead connection: those have
		// no descriptor.
		const timeWait, newSynRecv = 6, 12
		binary.NativeEndian.PutUint32(req[4:], (1<<12-1)&^(1<<timeWait|1<<newSynRecv))
		err := d.dump(req[:], func(msg []byte) {
			if inode, s, ok := parseInetDiag(msg); ok {
				put(inode, s)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// parseInetDiag reads struct inet_diag_msg.
func parseInetDiag(msg []byte) (inode uint64, s InetSocket, ok bool) {
	if len(msg) < inetMessage {
		return 0, s, false
	}
	inode = uint64(binary.NativeEndian.Uint32(msg[inetInode:]))
	sport, dport := binary.BigEndian.Uint16(msg[inetSport:]), binary.BigEndian.Uint16(msg[inetDport:])
	s.State = msg[1]
	switch msg[0] {
	case unix.AF_INET:
		s.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(msg[inetSrc:])), sport)
		s.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte(msg[inetDst:])), dport)
	case unix.AF_INET6:
		s.IPv6 = true
		s.Local = netip.AddrPortFrom(netip.AddrFrom16([16]byte(msg[inetSrc:])), sport)
		s.Remote = netip.AddrPortFrom(netip.AddrFrom16([16]byte(msg[inetDst:])), dport)
	default:
		return 0, s, false
	}
	return inode, s, inode != 0
}

// unix passes the sockets of unix(7) to put, without their addresses in the
// kernel.
func (d *sockDiag) unix(put func(inode uint64, s UnixSocket)) error {
	var req [unixRequest]byte
	req[0] = unix.AF_UNIX
	const showName = 1
	binary.NativeEndian.PutUint32(req[4:], 1<<32-1)
	binary.NativeEndian.PutUint32(req[12:], showName)
	return d.dump(req[:], func(msg []byte) {
		if inode, s, ok := parseUnixDiag(msg); ok {
			put(inode, s)
		}
	})
}

// parseUnixDiag reads struct unix_diag_msg and its attributes.
func parseUnixDiag(msg []byte) (inode uint64, s UnixSocket, ok bool) {
	if len(msg) < unixMessage || msg[0] != unix.AF_UNIX {
		return 0, s, false
	}
	s.Type, s.State = msg[1], msg[2]
	inode = uint64(binary.NativeEndian.Uint32(msg[4:]))
	const attrHeader = 4
	for attrs := msg[unixMessage:]; len(attrs) >= attrHeader; {
		length := int(binary.NativeEndian.Uint16(attrs))
		if length < attrHeader || length > len(attrs) {
			break
		}
		if kind := binary.NativeEndian.Uint16(attrs[2:]); kind == unixAttrName {
			s.Path = socketName(attrs[attrHeader:length])
		}
		attrs = attrs[min(len(attrs), (length+3)&^3):]
	}
	return inode, s, true
}

// socketName copies the name of a socket: an abstract one begins with a NUL and
// may hold more of them, a path ends with one.
func socketName(raw []byte) []byte {
	if len(raw) > 0 && raw[0] != 0 {
		path, _, _ := bytes.Cut(raw, []byte{0})
		return bytes.Clone(path)
	}
	return bytes.ReplaceAll(raw, []byte{0}, []byte("@"))
}

// dump sends a request for a whole table and passes each message of the answer
// to each. The message is valid during the call.
func (d *sockDiag) dump(request []byte, each func(msg []byte)) error {
	d.seq++
	msg := make([]byte, nlHeader, nlHeader+len(request))
	binary.NativeEndian.PutUint32(msg, uint32(nlHeader+len(request)))
	binary.NativeEndian.PutUint16(msg[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(msg[8:], d.seq)
	msg = append(msg, request...)
	if err := unix.Sendto(d.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	for {
		n, _, flags, from, err := unix.Recvmsg(d.fd, d.buf, nil, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvmsg", err)
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 || flags&unix.MSG_TRUNC != 0 {
			return errors.New("ask for sockets: an answer that is not the kernel's")
		}
		if done, err := d.messages(d.buf[:n], each); done || err != nil {
			return err
		}
	}
}

// messages passes on what one datagram holds, and says whether it was the last.
func (d *sockDiag) messages(data []byte, each func(msg []byte)) (done bool, err error) {
	for len(data) >= nlHeader {
		length := int(binary.NativeEndian.Uint32(data))
		if length < nlHeader || length > len(data) {
			return false, errors.New("ask for sockets: a malformed answer")
		}
		body := data[nlHeader:length]
		if seq := binary.NativeEndian.Uint32(data[8:]); seq == d.seq {
			switch binary.NativeEndian.Uint16(data[4:]) {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				return true, diagError(body)
			default:
				each(body)
			}
		}
		data = data[min(len(data), (length+3)&^3):]
	}
	return false, nil
}

// diagError is the error at the beginning of the last message of an answer.
func diagError(body []byte) error {
	if len(body) < 4 {
		return errors.New("ask for sockets: a malformed answer")
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
		return fmt.Errorf("ask for sockets: %w", unix.Errno(-code))
	}
	return nil
}
