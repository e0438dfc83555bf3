package watch

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
)

// listener starts a process that listens on a port of its own choice.
func listener(tb testing.TB, options string) (pid, port int) {
	tb.Helper()
	cmd, said := perl(tb, `use IO::Socket::INET; my $s = IO::Socket::INET->new(`+options+`) or die $!; print $s->sockport, "\n"`)
	port, err := strconv.Atoi(said)
	if err != nil {
		tb.Fatal(err)
	}
	return cmd.Process.Pid, port
}

const (
	tcpListener = `Listen => 5, LocalAddr => "127.0.0.1"`
	udpSocket   = `Proto => "udp", LocalAddr => "127.0.0.1"`
)

func TestPorts(t *testing.T) {
	f := newTestFinder(t)
	tcp, tcpPort := listener(t, tcpListener)
	udp, udpPort := listener(t, udpSocket)
	wantPIDs(t, f, dtc.ProcessRule{Port: tcpPort}, tcp)
	wantPIDs(t, f, dtc.ProcessRule{Port: udpPort}, udp)
	wantPIDs(t, f, dtc.ProcessRule{Port: tcpPort, User: "root"}, tcp)
	wantPIDs(t, f, dtc.ProcessRule{Port: tcpPort, User: "nobody"})

	six, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	sixPort := six.Addr().(*net.TCPAddr).Port
	wantPIDs(t, f, dtc.ProcessRule{Port: sixPort}, unix.Getpid())
	_ = six.Close()
	wantNothing(t, f, dtc.ProcessRule{Port: sixPort}, fmt.Sprintf("nothing listens on port %d", sixPort))

	// Who merely has a connection from a port does not listen on it.
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(tcpPort))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	wantNothing(t, f, dtc.ProcessRule{Port: conn.LocalAddr().(*net.TCPAddr).Port}, "nothing listens")
	asker, err := net.Dial("udp", "127.0.0.1:"+strconv.Itoa(udpPort))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = asker.Close() }()
	wantNothing(t, f, dtc.ProcessRule{Port: asker.LocalAddr().(*net.UDPAddr).Port}, "nothing listens")
}

// TestPortOfServerWithWorkers has workers that inherit the socket.
func TestPortOfServerWithWorkers(t *testing.T) {
	f := newTestFinder(t)
	cmd, said := perl(t, `use IO::Socket::INET; my $s = IO::Socket::INET->new(`+tcpListener+`) or die $!; my @w;
		for (1..3) { my $p = fork; if (!$p) { sleep 1000 } push @w, $p } print join(" ", $s->sockport, @w), "\n"`)
	fields := strings.Fields(said)
	port, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	wantPIDs(t, f, dtc.ProcessRule{Port: port}, cmd.Process.Pid)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	var workers []int
	for _, field := range fields[1:] {
		pid, _ := strconv.Atoi(field)
		workers = append(workers, pid)
		t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	}
	slices.Sort(workers)
	wantPIDs(t, f, dtc.ProcessRule{Port: port}, workers...)
}

// TestPortIsTakenOver has one process after the other listen on a port.
func TestPortIsTakenOver(t *testing.T) {
	t.Parallel() // it mostly waits
	f := newTestFinder(t)
	first, port := listener(t, tcpListener)
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Port: port}, dtc.ProcessRule{Port: port, User: "nobody"})
	f.want(sels)
	a.at(t, sels[0], first)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second, again := listener(t, fmt.Sprintf(`Listen => 5, LocalAddr => "127.0.0.1", ReuseAddr => 1, LocalPort => %d`, port))
	if again != port {
		t.Fatalf("port %d, want %d", again, port)
	}
	a.at(t, sels[0], second)
	if got := a.of(sels[1]); got != nil {
		t.Errorf("%v came", got)
	}
}
