package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// Questions to the kernel over netlink(7).

// ErrChanged says that a list changed while the kernel told it, so that an
// entry may be missing or stand in it twice.
var ErrChanged = errors.New("the list changed while it was read")

// errOverrun says that the kernel dropped a part of an answer.
var errOverrun = errors.New("a part of the kernel's answer was lost")

// netlinkTries is how often a question is asked whose answer was spoilt.
const netlinkTries = 4

// Sizes of struct nlmsghdr and struct nlattr, in linux/netlink.h.
const (
	nlHeader   = 16
	attrHeader = 4
)

// netlink is a connection to the kernel.
type netlink struct {
	fd  int
	seq uint32
	buf []byte
}

// dial connects to a part of the kernel, one of the NETLINK_ numbers, if f is
// its own file system.
func (f FS) dial(protocol int) (*netlink, error) {
	if f != Default {
		return nil, fmt.Errorf("ask the kernel: %s is not of this kernel", f)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	wait := unix.Timeval{Sec: 2} // it answers at once or never
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return nil, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
	}
	return &netlink{fd: fd, buf: make([]byte, 64<<10)}, nil
}

func (n *netlink) close() { _ = unix.Close(n.fd) }

// ask connects and calls ask, again and on a new connection as long as it
// returns that the answer was spoilt: it must forget then what it was told.
func (f FS) ask(protocol int, ask func(*netlink) error) error {
	for try := 1; ; try++ {
		n, err := f.dial(protocol)
		if err != nil {
			return err
		}
		err = ask(n)
		n.close()
		spoilt := errors.Is(err, ErrChanged) || errors.Is(err, errOverrun)
		if !spoilt || try == netlinkTries {
			return err
		}
	}
}

// question is one request.
type question struct {
	kind  uint16 // nlmsg_type
	flags uint16 // NLM_F_DUMP for a whole table, NLM_F_ACK for one entry
	body  []byte
}

// each asks q and passes each message of the answer to put, which ends the
// conversation with an error. The message is valid during the call. The error
// is that of put, or of the kernel, or [ErrChanged] after the whole answer.
func (n *netlink) each(q question, put func(msg []byte) error) error {
	if err := n.send(q); err != nil {
		return err
	}
	changed := false
	for {
		size, _, flags, from, err := unix.Recvmsg(n.fd, n.buf, nil, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			return errOverrun
		case err != nil:
			return os.NewSyscallError("recvmsg", err)
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 || flags&unix.MSG_TRUNC != 0 {
			return errors.New("ask the kernel: an answer that is not the kernel's")
		}
		done, interrupted, err := n.datagram(n.buf[:size], put)
		changed = changed || interrupted
		switch {
		case err != nil:
			return err
		case done && changed:
			return ErrChanged
		case done:
			return nil
		}
	}
}

func (n *netlink) send(q question) error {
	n.seq++
	msg := make([]byte, nlHeader, nlHeader+len(q.body))
	binary.NativeEndian.PutUint32(msg, uint32(nlHeader+len(q.body)))
	binary.NativeEndian.PutUint16(msg[4:], q.kind)
	binary.NativeEndian.PutUint16(msg[6:], q.flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(msg[8:], n.seq)
	msg = append(msg, q.body...)
	return os.NewSyscallError("sendto", unix.Sendto(n.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// datagram passes on what one datagram holds. It says whether that was the last,
// and whether the kernel marked the answer as interrupted.
func (n *netlink) datagram(data []byte, put func(msg []byte) error) (done, interrupted bool, err error) {
	for len(data) >= nlHeader {
		length := int(binary.NativeEndian.Uint32(data))
		if length < nlHeader || length > len(data) {
			return false, interrupted, errMalformed
		}
		msg, kind := data[nlHeader:length], binary.NativeEndian.Uint16(data[4:])
		flags, seq := binary.NativeEndian.Uint16(data[6:]), binary.NativeEndian.Uint32(data[8:])
		data = data[min(len(data), (length+3)&^3):]
		if seq != n.seq {
			continue // of a question that we gave up
		}
		interrupted = interrupted || flags&unix.NLM_F_DUMP_INTR != 0
		switch kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			return true, interrupted, kernelError(msg)
		case unix.NLMSG_NOOP:
		case unix.NLMSG_OVERRUN:
			return true, interrupted, errOverrun
		default:
			if err := put(msg); err != nil {
				return true, interrupted, err
			}
		}
	}
	return false, interrupted, nil
}

var errMalformed = errors.New("ask the kernel: a malformed answer")

// kernelError is the error at the beginning of the last message of an answer.
func kernelError(msg []byte) error {
	if len(msg) < 4 {
		return errMalformed
	}
	if code := int32(binary.NativeEndian.Uint32(msg)); code != 0 {
		return fmt.Errorf("ask the kernel: %w", unix.Errno(-code))
	}
	return nil
}

// attributes are the kinds and values of attributes: struct nlattr in
// linux/netlink.h. A malformed one ends them.
func attributes(data []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= attrHeader {
			length := int(binary.NativeEndian.Uint16(data))
			if length < attrHeader || length > len(data) {
				return
			}
			kind := binary.NativeEndian.Uint16(data[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, data[attrHeader:length]) {
				return
			}
			data = data[min(len(data), (length+3)&^3):]
		}
	}
}

// appendAttribute appends an attribute with a value of 32 bits.
func appendAttribute(b []byte, kind uint16, value uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, attrHeader+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.NativeEndian.AppendUint32(b, value)
}

// attrU8, attrU32 and attrText are the value of an attribute, 0 or "" of one
// that is too short.
func attrU8(value []byte) uint8 {
	if len(value) < 1 {
		return 0
	}
	return value[0]
}

func attrU32(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

func attrText(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}
