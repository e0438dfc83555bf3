package status

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/render"
)

func ss(tb testing.TB, env string) string {
	tb.Helper()
	return toolOutput(tb, env, "ss", "-tunap")
}

// openSockets opens sockets of every kind and state that can be had without
// another machine, until the end of the test.
type openSockets struct {
	tb testing.TB
}

func (o openSockets) keep(c io.Closer, err error) {
	o.tb.Helper()
	if err != nil {
		o.tb.Fatal(err)
	}
	o.tb.Cleanup(func() { _ = c.Close() })
}

func (o openSockets) listen(network, address string) *net.TCPListener {
	o.tb.Helper()
	l, err := net.Listen(network, address)
	o.keep(l, err)
	return l.(*net.TCPListener)
}

func (o openSockets) connect(l *net.TCPListener, network, host string) (client, server *net.TCPConn) {
	o.tb.Helper()
	c, err := net.Dial(network, net.JoinHostPort(host, fmt.Sprint(l.Addr().(*net.TCPAddr).Port)))
	o.keep(c, err)
	s, err := l.Accept()
	o.keep(s, err)
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// raw opens a socket by system calls; prepare is called before it is kept.
func (o openSockets) raw(family, kind int, prepare func(fd int) error) int {
	o.tb.Helper()
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		o.tb.Fatal(err)
	}
	o.tb.Cleanup(func() { _ = unix.Close(fd) })
	if err := prepare(fd); err != nil {
		o.tb.Fatal(err)
	}
	return fd
}

func (o openSockets) tcp() {
	o.listen("tcp4", "0.0.0.0:8001")
	o.listen("tcp6", "[::]:8002") // of IPv6 only
	o.listen("tcp4", "127.0.0.1:8003")
	o.listen("tcp6", "[::1]:8004")
	both := o.listen("tcp", ":8005")
	o.connect(both, "tcp4", "127.0.0.1") // addresses of IPv4 in a socket of IPv6
	o.connect(both, "tcp6", "::1")
	// Bytes that nobody reads, and more than the other side takes.
	client, _ := o.connect(both, "tcp4", "127.0.0.1")
	_, _ = client.Write(make([]byte, 12345))
	client, _ = o.connect(both, "tcp6", "::1")
	_ = client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err := error(nil); err == nil; {
		_, err = client.Write(make([]byte, 1<<20))
	}
	// FIN-WAIT-2 and CLOSE-WAIT; TIME-WAIT.
	client, _ = o.connect(both, "tcp4", "127.0.0.1")
	_ = client.CloseWrite()
	for _, network := range []string{"tcp4", "tcp6"} {
		client, server := o.connect(both, network, map[string]string{"tcp4": "127.0.0.1", "tcp6": "::1"}[network])
		_ = client.CloseWrite()
		_, _ = io.Copy(io.Discard, server)
		_ = server.Close()
		_, _ = io.Copy(io.Discard, client)
		_ = client.Close()
	}
	// The queue of those that wait to be accepted.
	waiting, err := net.Dial("tcp4", "127.0.0.1:8005")
	o.keep(waiting, err)
	o.raw(unix.AF_INET6, unix.SOCK_STREAM, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
		if err := unix.BindToDevice(fd, "lo"); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet6{Port: 8006}); err != nil {
			return err
		}
		return unix.Listen(fd, 7)
	})
}

func (o openSockets) udp() {
	for network, addresses := range map[string][]string{
		"udp4": {"0.0.0.0:9001", "127.0.0.1:9002"}, "udp6": {"[::]:9003", "[::1]:9004"}, "udp": {":9005", "[::ffff:127.0.0.1]:9006"},
	} {
		for _, address := range addresses {
			c, err := net.ListenPacket(network, address)
			o.keep(c, err)
		}
	}
	for _, address := range []string{"127.0.0.1:9001", "[::1]:9003"} {
		c, err := net.Dial("udp", address)
		o.keep(c, err)
		_, _ = c.Write(make([]byte, 1000))
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		o.raw(family, unix.SOCK_DGRAM, func(fd int) error {
			if err := unix.BindToDevice(fd, "lo"); err != nil {
				return err
			}
			if family == unix.AF_INET {
				return unix.Bind(fd, &unix.SockaddrInet4{Port: 9010, Addr: [4]byte{127, 0, 0, 53}})
			}
			return unix.Bind(fd, &unix.SockaddrInet6{Port: 9011})
		})
		o.raw(family, unix.SOCK_DGRAM, func(int) error { return nil }) // neither bound nor connected: in no table
	}
	// Of IPv4 in IPv6's deprecated form, and one that only looks so.
	for i, address := range []string{"::1.2.3.4", "::1:0", "::ff", "fd00::1:0:0:1", "1:0:2::"} {
		o.raw(unix.AF_INET6, unix.SOCK_DGRAM, func(fd int) error {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1); err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrInet6{Port: 9020 + i, Addr: netip.MustParseAddr(address).As16()})
		})
	}
}

// halfOpen makes connections of which the other side says nothing: it is us.
func (o openSockets) halfOpen() {
	device := tun(o.tb, "t0", unix.IFF_TUN|unix.IFF_NO_PI)
	ip(o.tb, "addr add 10.9.0.1/24 dev t0")
	ip(o.tb, "link set t0 up")
	o.raw(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, func(fd int) error {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{10, 9, 0, 9}}); !errors.Is(err, unix.EINPROGRESS) {
			return fmt.Errorf("connect: %w", err)
		}
		return nil
	})
	o.listen("tcp4", "10.9.0.1:8010")
	for port := range 3 {
		if _, err := unix.Write(device, synPacket([4]byte{10, 9, 0, 2}, [4]byte{10, 9, 0, 1}, uint16(4000+port), 8010)); err != nil {
			o.tb.Fatal(err)
		}
	}
}

// synPacket is the first packet of a connection: RFC 791 and RFC 9293.
func synPacket(from, to [4]byte, fromPort, toPort uint16) []byte {
	const ipHeader, tcpHeader, tcp, syn = 20, 20, 6, 2
	p := make([]byte, ipHeader+tcpHeader)
	p[0], p[3], p[8], p[9] = 0x45, byte(len(p)), 64, tcp
	copy(p[12:], from[:])
	copy(p[16:], to[:])
	binary.BigEndian.PutUint16(p[10:], checksum(0, p[:ipHeader]))
	t := p[ipHeader:]
	binary.BigEndian.PutUint16(t[0:], fromPort)
	binary.BigEndian.PutUint16(t[2:], toPort)
	t[12], t[13] = tcpHeader/4<<4, syn
	binary.BigEndian.PutUint16(t[14:], 1000)
	binary.BigEndian.PutUint16(t[16:], checksum(tcp+tcpHeader, p[12:]))
	return p
}

func checksum(sum uint32, data []byte) uint16 {
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// share gives a listener to other processes too, one of which has an odd name.
func (o openSockets) share() {
	l := o.listen("tcp4", "127.0.0.1:8020")
	file, err := l.File() // a second descriptor
	o.keep(file, err)
	for _, name := range []string{"sleep", "a) S 1 (b", "fifteen-bytes-1"} {
		program := copyOf(o.tb, "/bin/sleep", name)
		cmd := exec.Command(program, "1000")
		cmd.ExtraFiles = []*os.File{file, file}
		start(o.tb, cmd)
	}
}

func TestSocketsAsSS(t *testing.T) {
	enterNewNetwork(t)
	o := openSockets{t}
	c := New(Options{})
	same := func() {
		t.Helper()
		sameAsTool(t, func() string { return textOf(t, c, dtc.StatusSockets) }, func() string { return ss(t, "") })
	}
	same() // none at all
	o.udp()
	same()
	o.tcp()
	same()
	o.share()
	same()
	o.halfOpen()
	same()

	r := list(t, c, dtc.StatusSockets)
	states := make(map[string]int)
	for _, s := range r.Sockets {
		states[s.Protocol+" "+s.State]++
		if s.User != "root" {
			t.Errorf("the user of %+v", s)
		}
	}
	for _, state := range []string{
		"udp UNCONN", "udp ESTAB", "tcp LISTEN", "tcp ESTAB", "tcp TIME-WAIT", "tcp CLOSE-WAIT", "tcp FIN-WAIT-2", "tcp SYN-SENT", "tcp SYN-RECV",
	} {
		if states[state] == 0 {
			t.Errorf("no socket is %s: %v", state, states)
		}
	}
	if notes := beyondUs(r.Notes); len(notes) > 0 {
		t.Error(notes)
	}
}

// beyondUs takes the note about a first process that not even root may look into
// out of notes, on a machine that has such a one.
func beyondUs(notes []string) []string {
	if _, err := os.Readlink("/proc/1/fd/0"); !errors.Is(err, fs.ErrPermission) {
		return notes
	}
	return slices.DeleteFunc(notes, func(note string) bool {
		return strings.HasPrefix(note, "the descriptors of 1 processes could not be read")
	})
}

func TestSocketFields(t *testing.T) {
	enterNewNetwork(t)
	o := openSockets{t}
	o.tcp()
	o.udp()
	o.share()
	r := list(t, New(Options{}), dtc.StatusSockets)
	ends := make(map[string]string) // of those without a peer, by protocol and local port
	for i := range r.Sockets {
		s := &r.Sockets[i]
		if s.RemotePort == dtc.Absent {
			ends[fmt.Sprintf("%s %d", s.Protocol, s.LocalPort)] = s.LocalAddress + " " + s.RemoteAddress
		}
		byPlace := func(a, b dtc.SocketOwner) int { return (a.PID-b.PID)*100_000 + a.FD - b.FD }
		if !slices.IsSortedFunc(s.Owners, byPlace) {
			t.Errorf("owners: %v", s.Owners)
		}
		if s.LocalPort == 8020 && s.RemotePort == dtc.Absent && (len(s.Owners) != 2+3*2 || s.Owners[2].Name == "") {
			t.Errorf("owners: %v", s.Owners)
		}
	}
	for end, want := range map[string]string{
		"tcp 8001": "0.0.0.0 0.0.0.0",
		"tcp 8002": ":: ::",
		"tcp 8004": "::1 ::",
		"tcp 8005": "* *",
		"tcp 8006": "::%lo ::",
		"udp 9005": "* *",
		"udp 9010": "127.0.0.53%lo 0.0.0.0",
		"udp 9011": "*%lo *",
	} {
		if ends[end] != want {
			t.Errorf("%s: got %q, want %q", end, ends[end], want)
		}
	}
}

// TestSocketsOfFiles reads the text files of a kernel without sock_diag(7), as
// ss does then.
func TestSocketsOfFiles(t *testing.T) {
	enterNewNetwork(t)
	o := openSockets{t}
	o.udp()
	o.tcp()
	o.halfOpen()
	const ofThread = "/proc/thread-self" // /proc/net is that of the first thread
	root := t.TempDir()
	if err := os.Symlink(ofThread, filepath.Join(root, "proc")); err != nil {
		t.Fatal(err)
	}
	c := New(Options{Root: root})
	sameAsTool(t, func() string { return textOf(t, c, dtc.StatusSockets) }, func() string { return ss(t, "PROC_ROOT="+ofThread) })
}

func TestSocketSelection(t *testing.T) {
	enterNewNetwork(t)
	openSockets{t}.tcp()
	c := New(Options{})
	for _, test := range []struct {
		selection dtc.Selection
		wants     func(*dtc.Socket) bool
	}{
		{dtc.Selection{Ports: []int{8005}}, func(s *dtc.Socket) bool { return s.LocalPort == 8005 || s.RemotePort == 8005 }},
		{dtc.Selection{Ports: []int{1}}, func(*dtc.Socket) bool { return false }},
		{dtc.Selection{PIDs: []int{os.Getpid()}}, func(s *dtc.Socket) bool { return len(s.Owners) > 0 }},
		{dtc.Selection{Users: []string{"nobody"}}, func(*dtc.Socket) bool { return false }},
	} {
		all := get(t, c, dtc.Query{Status: dtc.StatusSockets})
		want := slices.DeleteFunc(all.Sockets, func(s dtc.Socket) bool { return !test.wants(&s) })
		got := get(t, c, dtc.Query{Status: dtc.StatusSockets, Selection: test.selection})
		if !slices.Equal(endsOf(got.Sockets), endsOf(want)) {
			t.Errorf("%+v: got\n%v\nwant\n%v", test.selection, endsOf(got.Sockets), endsOf(want))
		}
	}
}

// endsOf is what does not change of sockets.
func endsOf(list []dtc.Socket) (ends []string) {
	for i := range list {
		s := &list[i]
		ends = append(ends, fmt.Sprint(s.Protocol, s.LocalAddress, s.LocalPort, s.RemoteAddress, s.RemotePort))
	}
	return ends
}

func TestHostileProcessName(t *testing.T) {
	enterNewNetwork(t)
	l := openSockets{t}.listen("tcp4", "127.0.0.1:8020")
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(copyOf(t, "/bin/sleep", "\x1b[2J\n\u202eLISTEN"), "1000")
	cmd.ExtraFiles = []*os.File{file}
	start(t, cmd)
	r := list(t, New(Options{}), dtc.StatusSockets)
	var text strings.Builder
	if err := render.Text(&text, &r, render.Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), `("\x1b[2J\n\u202eLISTEN",pid=`) || strings.ContainsAny(text.String(), "\x1b\u202e") || strings.Count(text.String(), "\n") != 2 {
		t.Errorf("%q", text.String())
	}
}

// TestSocketsOfStranger asks as a user who may look at no process of others.
func TestSocketsOfStranger(t *testing.T) {
	enterNewNetwork(t)
	l := openSockets{t}.listen("tcp4", "127.0.0.1:8003")
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	sleeper(t, func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{file} })
	_, _ = file.Close(), l.Close()
	const nobody = 65534
	if err := unix.Setresuid(-1, nobody, -1); err != nil { // of this thread
		t.Fatal(err)
	}
	defer unix.Setresuid(-1, 0, -1)
	r := get(t, New(Options{}), dtc.Query{Status: dtc.StatusSockets})
	if len(r.Sockets) != 1 || r.Sockets[0].Owners != nil || r.Sockets[0].User != "root" {
		t.Errorf("%+v", r.Sockets)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "permission denied") {
		t.Errorf("notes: %q", r.Notes)
	}
}

func TestSocketsInTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	enterNewNetwork(t)
	openSockets{t}.listen("tcp4", "127.0.0.1:8003")
	items, _, err := New(Options{}).sockets(ctx, nil)
	if !errors.Is(err, context.Canceled) || len(items) != 1 {
		t.Errorf("%v, %v", items, err)
	}
}

// TestManySocketsAsSS has so much to say that ss prints it in several goes, the
// columns of each as wide as the widest so far.
func TestManySocketsAsSS(t *testing.T) {
	enterNewNetwork(t)
	const sockets, processes = 6700, 20
	files := make([]*os.File, sockets) // by their port, from 1
	for i := range files {
		c, err := net.ListenPacket("udp6", fmt.Sprintf("[::1]:%d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		if files[i], err = c.(*net.UDPConn).File(); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	// The last in the kernel's order get wider rows.
	var late []*os.File
	r := list(t, New(Options{}), dtc.StatusSockets)
	for i := range r.Sockets[sockets-100:] {
		late = append(late, files[r.Sockets[sockets-100+i].LocalPort-1])
	}
	program := copyOf(t, "/bin/sleep", "fifteen-bytes-1")
	for i := range processes + 1 {
		cmd := exec.Command(program, "1000")
		if cmd.ExtraFiles = files; i == 0 {
			cmd.ExtraFiles = late
		}
		start(t, cmd)
	}
	for _, file := range files {
		_ = file.Close()
	}
	c := New(Options{})
	var text string
	sameAsTool(t, func() string {
		text = textOf(t, c, dtc.StatusSockets)
		return text
	}, func() string { return ss(t, "") })
	lines := strings.Split(text, "\n")
	if first, last := len(lines[0]), len(lines[len(lines)-2]); len(lines) != sockets+2 || first >= last {
		t.Errorf("%d lines, the first of %d bytes, the last of %d", len(lines), first, last)
	}
}
