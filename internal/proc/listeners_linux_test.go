package proc

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// listening are the sockets on one port, as the kernel is asked for them.
func listening(tb testing.TB, l *Listeners, port int) string {
	tb.Helper()
	var got []string
	err := l.Each(func() { got = nil }, func(s *NetSocket) {
		if int(s.Local.Port()) == port {
			got = append(got, fmt.Sprint(s.Protocol, " ", s.Local.Addr(), " ", s.State, " ", s.Inode > 0))
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Join(got, ", ")
}

func TestListeners(t *testing.T) {
	l := Default.Listeners()
	defer l.Close()
	files := Default.Listeners()
	files.fs = "/proc/self/../" // which sock_diag is not asked of
	for _, tt := range []struct{ network, at, want string }{
		{"tcp4", "127.0.0.1:0", "TCP 127.0.0.1 10 true"},
		{"tcp6", "[::1]:0", "TCP ::1 10 true"},
		{"tcp", "[::]:0", "TCP :: 10 true"},
		{"udp4", "127.0.0.1:0", "UDP 127.0.0.1 7 true"},
		{"udp6", "[::1]:0", "UDP ::1 7 true"},
	} {
		port, done := open(t, tt.network, tt.at)
		if got := listening(t, l, port); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.network, got, tt.want)
		}
		if got := listening(t, files, port); got != tt.want {
			t.Errorf("%s in the files: %q, want %q", tt.network, got, tt.want)
		}
		done()
		if got := listening(t, l, port); got != "" {
			t.Errorf("%s after its end: %q", tt.network, got)
		}
	}
	conn, err := net.Dial("udp4", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := listening(t, l, conn.LocalAddr().(*net.UDPAddr).Port); got != "" {
		t.Errorf("a socket with a peer: %q", got)
	}
}

// open opens a socket on a port of the kernel's choice.
func open(tb testing.TB, network, at string) (port int, done func()) {
	tb.Helper()
	if strings.HasPrefix(network, "tcp") {
		s, err := net.Listen(network, at)
		if err != nil {
			tb.Fatal(err)
		}
		return s.Addr().(*net.TCPAddr).Port, func() { _ = s.Close() }
	}
	s, err := net.ListenPacket(network, at)
	if err != nil {
		tb.Fatal(err)
	}
	return s.LocalAddr().(*net.UDPAddr).Port, func() { _ = s.Close() }
}
