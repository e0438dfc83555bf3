package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The process connector: the kernel tells of every process that starts, over
// netlink(7). See linux/connector.h and linux/cn_proc.h.

// Sizes of struct cn_msg and struct proc_event, and offsets in the datagrams,
// each of which holds one event.
const (
	connectorHeader = 20
	connectorAck    = nlHeader + 12
	eventWhat       = nlHeader + connectorHeader
	eventData       = eventWhat + 16
	eventSmallest   = eventData + 8  // with the process
	eventFork       = eventData + 16 // with parent and child

	connectorProcess = 1 // CN_IDX_PROC, CN_VAL_PROC
	connectorListen  = 1 // PROC_CN_MCAST_LISTEN
	connectorIgnore  = 2 // PROC_CN_MCAST_IGNORE

	whatAnswer = 0 // PROC_EVENT_NONE
	whatFork   = 1
	whatExec   = 2
	whatUser   = 4
)

const (
	// eventRoom is how much the kernel keeps of what is not read yet: some
	// thousands of events.
	eventRoom = 1 << 20

	// eventBatch is how many events are passed on before Next returns.
	eventBatch = 1024

	// initPIDNamespace is the inode of the first namespace of pids:
	// PROC_PID_INIT_INO in linux/proc_ns.h.
	initPIDNamespace = "pid:[4026531836]"
)

// ErrEventsLost says that the kernel dropped events, for they were not read as
// fast as they came.
var ErrEventsLost = errors.New("the kernel lost events of processes")

// StartKind is what a process did.
type StartKind uint8

// The events of the beginning of a process.
const (
	Forked      StartKind = iota // it was made; it runs its parent's program still
	Executed                     // it runs a program of its own from now on
	ChangedUser                  // its user or effective user is another one now
)

// StartEvent is one event of a process, not of a mere thread.
type StartEvent struct {
	PID  int
	Kind StartKind
}

// StartEvents is a subscription to the events of all processes. Next and Close
// may be called side by side, Next by one goroutine at a time.
//
// The runtime would wake a thread for each event, also while nobody waits for
// one. So it waits for an epoll, in which the socket is armed only during Next.
type StartEvents struct {
	socket *os.File // the runtime does not wait for it
	epoll  *os.File
	wait   syscall.RawConn // of epoll
	mark   uint32          // of our messages: the answer has the next number
	buf    [512]byte
}

// StartEvents subscribes to the starts of processes. That needs CAP_NET_ADMIN,
// and the first namespaces of pids, users and networks; else it is an error.
func (f FS) StartEvents() (*StartEvents, error) {
	e, err := f.startEvents()
	if err != nil {
		return nil, fmt.Errorf("have the kernel tell of processes that start: %w", err)
	}
	return e, nil
}

func (f FS) startEvents() (*StartEvents, error) {
	if f != Default {
		return nil, fmt.Errorf("%s is not of this kernel", f)
	}
	// The kernel tells the pids of the first namespace to everybody.
	if ns, err := os.Readlink(f.path("self/ns/pid")); err == nil && ns != initPIDNamespace {
		return nil, errors.New("this is a container with pids of its own")
	}
	e := &StartEvents{mark: uint32(os.Getpid())}
	if err := e.open(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := e.subscribe(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// open opens the socket and the epoll.
func (e *StartEvents) open() error {
	// Not non-blocking, so that the runtime does not wait for it; each read says
	// that it shall not block.
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	e.socket = os.NewFile(uintptr(socket), "process connector")
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil {
		return errors.Join(os.NewSyscallError("fcntl", err), unix.Close(epoll))
	}
	e.epoll = os.NewFile(uintptr(epoll), "epoll")
	if e.wait, err = e.epoll.SyscallConn(); err != nil {
		return err
	}
	return e.arm(unix.EPOLL_CTL_ADD)
}

// arm has the epoll tell once that something is to be read.
func (e *StartEvents) arm(operation int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	return control(e.socket, func(socket int) error {
		return control(e.epoll, func(epoll int) error {
			return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, operation, socket, &event))
		})
	})
}

// control calls do with the descriptor of a file, which stays open meanwhile: the
// error is [os.ErrClosed] if it is not.
func control(file *os.File, do func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) { err = do(int(fd)) }); cerr != nil {
		return os.ErrClosed // the runtime's own error of that is no other's
	}
	return err
}

func (e *StartEvents) subscribe() error {
	if err := control(e.socket, prepareEvents); err != nil {
		return err
	}
	if err := e.send(connectorListen); err != nil {
		return err
	}
	if err := e.answered(); err != nil {
		return err
	}
	// From 6.6 on the kernel makes no other events for us at all: ends cost
	// nothing. Before, it takes no notice of a message of this length.
	return e.send(connectorListen, whatFork|whatExec|whatUser)
}

func prepareEvents(fd int) error {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: connectorProcess}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventRoom) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventRoom) // less does too
	}
	filter := eventFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
}

// eventFilter has the kernel drop, before we wake, what we would: ends, and what
// is of mere threads. See bpf(4) for the language, in which a number is loaded
// in the order of the network.
func eventFilter() []unix.SockFilter {
	const (
		load     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		keep     = unix.BPF_MISC | unix.BPF_TAX
		ifEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ifSame   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X
		finish   = unix.BPF_RET | unix.BPF_K
		all      = 1<<32 - 1
		thread   = eventData     // process_pid
		process  = eventData + 4 // process_tgid
		newChild = eventData + 8 // child_pid, then child_tgid
	)
	return []unix.SockFilter{
		0:  {Code: load, K: eventWhat},
		1:  {Code: ifEqual, K: networkOrder(whatFork), Jt: 3}, // to 5
		2:  {Code: ifEqual, K: networkOrder(whatExec), Jt: 6}, // to 9
		3:  {Code: ifEqual, K: networkOrder(whatUser), Jt: 5}, // to 9
		4:  {Code: ifEqual, K: networkOrder(whatAnswer), Jt: 8, Jf: 9},
		5:  {Code: load, K: newChild},
		6:  {Code: keep},
		7:  {Code: load, K: newChild + 4},
		8:  {Code: ifSame, Jt: 4, Jf: 5},
		9:  {Code: load, K: thread},
		10: {Code: keep},
		11: {Code: load, K: process},
		12: {Code: ifSame, Jt: 0, Jf: 1},
		13: {Code: finish, K: all},
		14: {Code: finish},
	}
}

// networkOrder is what a load of the network's order gives of a number of ours.
func networkOrder(n uint32) uint32 {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], n)
	return binary.BigEndian.Uint32(b[:])
}

// send sends an operation with its arguments.
func (e *StartEvents) send(words ...uint32) error {
	size := 4 * len(words)
	msg := make([]byte, nlHeader+connectorHeader, nlHeader+connectorHeader+size)
	binary.NativeEndian.PutUint32(msg, uint32(cap(msg)))
	binary.NativeEndian.PutUint16(msg[4:], unix.NLMSG_DONE)
	binary.NativeEndian.PutUint32(msg[nlHeader:], connectorProcess)
	binary.NativeEndian.PutUint32(msg[nlHeader+4:], connectorProcess)
	binary.NativeEndian.PutUint32(msg[connectorAck:], e.mark)
	binary.NativeEndian.PutUint16(msg[nlHeader+16:], uint16(size))
	for _, word := range words {
		msg = binary.NativeEndian.AppendUint32(msg, word)
	}
	return control(e.socket, func(fd int) error {
		_, err := unix.Write(fd, msg) // without an address it goes to the kernel
		return os.NewSyscallError("write", err)
	})
}

// answered waits for the kernel's answer to the first message. It gives none to
// who is not in the first namespaces, and would have nothing to tell either.
func (e *StartEvents) answered() error {
	const patience = time.Second // it answers before send returns
	if err := e.epoll.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		msg, err := e.receive()
		if err == nil && msg == nil {
			err = e.await()
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errors.New("the kernel does not answer: this is a container perhaps")
		case err != nil && !errors.Is(err, ErrEventsLost):
			return err
		}
		if code, ok := answerTo(msg, e.mark); ok && code != 0 {
			return unix.Errno(code)
		} else if ok {
			return e.epoll.SetReadDeadline(time.Time{})
		}
	}
}

// answerTo reads the kernel's answer to the message with a mark: an errno, or 0.
// Others' are told to us too.
func answerTo(msg []byte, mark uint32) (code uint32, ok bool) {
	if len(msg) < eventSmallest || binary.NativeEndian.Uint32(msg[eventWhat:]) != whatAnswer ||
		binary.NativeEndian.Uint32(msg[connectorAck:]) != mark+1 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(msg[eventData:]), true
}

// Next waits for events and passes those that are there to put. The error is
// [ErrEventsLost] if some were lost, of which the rest is still to be had;
// [os.ErrClosed] after Close.
func (e *StartEvents) Next(put func(StartEvent)) error {
	for got := 0; got < eventBatch; {
		msg, err := e.receive()
		switch {
		case err != nil:
			return err
		case msg != nil:
			got++
			if event, ok := parseStart(msg); ok {
				put(event)
			}
		case got > 0:
			return nil
		default:
			if err := e.await(); err != nil {
				return err
			}
		}
	}
	return nil
}

// await waits until there is something to receive.
func (e *StartEvents) await() error {
	if err := e.arm(unix.EPOLL_CTL_MOD); err != nil {
		return err
	}
	var events [1]unix.EpollEvent
	var err error
	cerr := e.wait.Read(func(epoll uintptr) bool {
		var n int
		n, err = unix.EpollWait(int(epoll), events[:], 0)
		if errors.Is(err, unix.EINTR) {
			n, err = 0, nil
		}
		return n > 0 || err != nil
	})
	switch {
	case errors.Is(cerr, os.ErrDeadlineExceeded):
		return cerr
	case cerr != nil:
		return os.ErrClosed
	default:
		return os.NewSyscallError("epoll_wait", err)
	}
}

// receive returns the next datagram of the kernel, nil if there is none.
func (e *StartEvents) receive() (msg []byte, err error) {
	err = control(e.socket, func(fd int) error {
		for {
			n, from, err := unix.Recvfrom(fd, e.buf[:], unix.MSG_DONTWAIT)
			kernel, ok := from.(*unix.SockaddrNetlink)
			switch {
			case errors.Is(err, unix.EINTR), err == nil && (!ok || kernel.Pid != 0):
				continue
			case errors.Is(err, unix.EAGAIN):
				return nil
			case errors.Is(err, unix.ENOBUFS):
				return ErrEventsLost
			case err != nil:
				return os.NewSyscallError("recvfrom", err)
			}
			msg = e.buf[:n]
			return nil
		}
	})
	return msg, err
}

// parseStart reads a datagram: struct nlmsghdr, struct cn_msg, struct proc_event.
func parseStart(msg []byte) (event StartEvent, ok bool) {
	if len(msg) < eventSmallest || binary.NativeEndian.Uint32(msg[nlHeader:]) != connectorProcess {
		return event, false
	}
	who := msg[eventData:eventSmallest]
	switch binary.NativeEndian.Uint32(msg[eventWhat:]) {
	case whatFork:
		if len(msg) < eventFork {
			return event, false
		}
		event.Kind, who = Forked, msg[eventSmallest:eventFork]
	case whatExec:
		event.Kind = Executed
	case whatUser:
		event.Kind = ChangedUser
	default:
		return event, false
	}
	pid, process := int32(binary.NativeEndian.Uint32(who)), int32(binary.NativeEndian.Uint32(who[4:]))
	event.PID = int(process)
	return event, pid == process && pid > 0
}

// Close ends the subscription, and a Next that waits.
func (e *StartEvents) Close() error {
	if e.socket == nil {
		return nil
	}
	_ = e.send(connectorIgnore) // the kernel goes on making events for nobody otherwise
	err := e.socket.Close()
	if e.epoll != nil {
		err = errors.Join(err, e.epoll.Close())
	}
	return err
}

// Drain drops the events that are there, at most so many, and says whether some
// were lost before. It may not be called beside Next.
func (e *StartEvents) Drain(most int) (dropped int, lost bool, err error) {
	for dropped < most {
		msg, err := e.receive()
		switch {
		case errors.Is(err, ErrEventsLost):
			lost = true
		case err != nil:
			return dropped, lost, err
		case msg == nil:
			return dropped, lost, nil
		default:
			dropped++
		}
	}
	return dropped, lost, nil
}
