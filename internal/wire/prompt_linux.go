package wire

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// prompt is a TCP connection whose reads and writes the Go runtime is not told
// of: they are calls that never wait, and each that it is told of wakes a thread
// of its own in a process that was idle, to watch over how long the call takes.
// With a line now and then that thread costs a third of all. Waiting is the
// runtime's as ever.
type prompt struct {
	*net.TCPConn
	raw syscall.RawConn

	reading, writing sync.Mutex // guard in and out
	in, out          transfer
}

// transfer is a call that is under way in one direction.
type transfer struct {
	b     []byte
	n     int // bytes that are done
	errno syscall.Errno
	try   func(fd uintptr) bool // answers false if it has to wait
}

// prompted returns conn, as a prompt one if that can be.
func prompted(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	p := &prompt{TCPConn: tcp, raw: raw}
	p.in.try = func(fd uintptr) bool { return p.in.step(syscall.SYS_READ, fd) }
	p.out.try = func(fd uintptr) bool {
		for p.out.step(syscall.SYS_WRITE, fd) {
			if p.out.errno != 0 || p.out.n == len(p.out.b) {
				return true
			}
		}
		return false
	}
	return p
}

// step does the call once, and answers false if it had to wait.
func (t *transfer) step(call, fd uintptr) bool {
	b := t.b[t.n:]
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			t.n += int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			t.errno = errno
			return true
		}
	}
}

// do makes a whole transfer of b; wait waits as long as try answers false.
func (t *transfer) do(b []byte, wait func(func(uintptr) bool) error) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	t.b, t.n, t.errno = b, 0, 0
	err := wait(t.try)
	t.b = nil
	if err == nil && t.errno != 0 {
		err = t.errno
	}
	return t.n, err
}

// Read reads as [net.TCPConn] does.
func (p *prompt) Read(b []byte) (int, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	n, err := p.in.do(b, p.raw.Read)
	if err == nil && n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, p.named("read", err)
}

// Write writes as [net.TCPConn] does.
func (p *prompt) Write(b []byte) (int, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	n, err := p.out.do(b, p.raw.Write)
	return n, p.named("write", err)
}

// named gives an error the form that it has of a [net.TCPConn].
func (p *prompt) named(op string, err error) error {
	if err == nil {
		return nil
	}
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // it is what do returned, or another
		err = os.NewSyscallError(op, errno)
	} else if of, ok := err.(*net.OpError); ok { //nolint:errorlint // the same
		err = of.Err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: p.LocalAddr(), Addr: p.RemoteAddr(), Err: err}
}
