package wire

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"dtc"
)

// In a network namespace of its own there is no way to anywhere.
func TestDialWithoutRoute(t *testing.T) {
	a := newAuthority(t)
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock it: the thread ends with the goroutine
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("this test must run as root: %w", err)
			return
		}
		_, err := a.dialer().Dial(within(t, 5*time.Second), netip.MustParseAddrPort("127.0.0.1:7701"), ProtoRPC)
		result <- err
	}()
	if err := <-result; dtc.KindOf(err) != dtc.KindNoRoute {
		t.Errorf("Dial = %v (%s)", err, dtc.KindOf(err))
	}
}

// A host that answers nothing: here a listener whose queue is full.
func TestDialTimesOut(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(loopback, uint16(name.(*syscall.SockaddrInet4).Port))
	for range 3 {
		began := time.Now()
		_, err := newAuthority(t).dialer().Dial(within(t, 200*time.Millisecond), at, ProtoRPC)
		if dtc.KindOf(err) != dtc.KindTimeout || time.Since(began) > time.Second {
			t.Errorf("Dial = %v (%s) after %s", err, dtc.KindOf(err), time.Since(began))
		}
	}
}

// The kernel gives up on a peer that is silent for ten seconds, not after a
// quarter of an hour.
func TestConnectionsNoticeDeath(t *testing.T) {
	accepted := make(chan net.Conn, 1)
	r := serve(t, &Server{Agent: &fakeAgent{}})
	conn, err := r.dialer(r.monitor).Dial(within(t, 5*time.Second), r.at, ProtoRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	soon(t, "the server has it", func() bool { proven, _ := r.holds(); return proven == 1 })
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	for run := range r.server.runs {
		run.peers.mu.Lock()
		for c := range run.peers.open {
			accepted <- c.Conn
		}
		run.peers.mu.Unlock()
	}
	for side, c := range map[string]net.Conn{"client": conn, "server": <-accepted} {
		below := c.(interface{ NetConn() net.Conn }).NetConn()
		if stranger, ok := below.(*sober); ok {
			below = stranger.Conn
		}
		raw, err := below.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			if ms, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout); ms != int(deadTimeout.Milliseconds()) {
				t.Errorf("%s: TCP_USER_TIMEOUT is %d ms, %v", side, ms, err)
			}
			if s, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE); s != int(deadTimeout.Seconds())/2 {
				t.Errorf("%s: TCP_KEEPIDLE is %d s, %v", side, s, err)
			}
		})
	}
}
