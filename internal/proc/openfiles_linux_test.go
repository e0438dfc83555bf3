package proc

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dtc/internal/bounds"
)

// entered is a scanner that has entered this process.
func entered(t *testing.T) *Scanner {
	t.Helper()
	in, err := Default.Scan()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	if err := in.Enter(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestDescriptors(t *testing.T) {
	in := entered(t)
	path := filepath.Join(t.TempDir(), "a file")
	for n, flags := range []int{unix.O_RDONLY | unix.O_CREAT, unix.O_WRONLY, unix.O_RDWR} {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 1000*(n+1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = unix.Close(fd), unix.Close(high) })
	}
	var d Descriptors
	for range 2 {
		if err := d.Open(in); err != nil {
			t.Fatal(err)
		}
		d.ents = d.ents[:100] // so that there are several pieces
		var all []int
		for {
			numbers, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			if len(numbers) == 0 {
				break
			}
			all = append(all, numbers...)
		}
		if !slices.IsSorted(all) || !slices.Contains(all, 3000) || !slices.Contains(all, 0) {
			t.Errorf("descriptors %v", all)
		}
		for fd, mode := range map[int]uint16{1000: 0o500, 2000: 0o300, 3000: 0o700} {
			var link, file unix.Statx_t
			name, err := d.Readlink(fd)
			if err != nil || string(name) != path {
				t.Errorf("%d: %q, %v", fd, name, err)
			}
			if err := d.Lstat(fd, &link); err != nil || link.Mode != unix.S_IFLNK|mode {
				t.Errorf("%d: mode %o, %v", fd, link.Mode, err)
			}
			if err := d.Stat(fd, &file); err != nil || file.Mode != unix.S_IFREG|0o600 {
				t.Errorf("%d: mode %o, %v", fd, file.Mode, err)
			}
		}
		if _, err := d.Readlink(999); !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
		d.Close()
	}
	if err := in.Enter(2); err != nil {
		t.Fatal(err)
	}
	if err := d.Open(in); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if numbers, err := d.Next(); err != nil || len(numbers) > 0 {
		t.Errorf("a thread of the kernel has %v, %v", numbers, err)
	}
}

func TestMaps(t *testing.T) {
	in := entered(t)
	long := filepath.Join(t.TempDir(), strings.Repeat("n\n", 120))
	if err := os.WriteFile(long, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(long)
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := unix.Mmap(int(file.Fd()), 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	defer func() { _ = unix.Munmap(mapping) }()
	var m Maps
	for _, size := range []int{longestMapping, 1500, 1000} {
		m.buf = make([]byte, size)
		if err := m.Open(in); err != nil {
			t.Fatal(err)
		}
		// Some of our own memory may change meanwhile, the files do not.
		var got, want []string
		for {
			line, ok := m.Next()
			if !ok {
				break
			}
			if file, ok := line.Mapped(); ok {
				got = append(got, fmt.Sprintf("%s %d %s", line.Addresses, file.ID.Inode, file.Path))
			}
		}
		m.Close()
		data, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) > 5 && fields[5][0] == '/' {
				want = append(want, fmt.Sprintf("%s %s %s", fields[0], fields[4], fields[5]))
			}
		}
		if len(want) < 2 || !slices.Equal(got, want) {
			t.Errorf("with %d bytes got\n%q\nwant\n%q", size, got, want)
		}
	}
	// A line that fits no buffer is left out.
	m.buf = make([]byte, 100)
	if err := m.Open(in); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for {
		if _, ok := m.Next(); !ok {
			break
		}
	}
}

// The end of a line that is too long is no line.
func TestMapsTooLong(t *testing.T) {
	f := testTree(t, map[string]string{"812/maps": "1-2 r--p 0 fe:00 5 /a\n" +
		"2-3 r--p 0 fe:00 6 " + strings.Repeat("/d", 3*longestMapping) + " r--p 0 fe:00 7 /forged\n" +
		"3-4 r--p 0 fe:00 8 /b\n"})
	in, err := f.Scan()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.Enter(812); err != nil {
		t.Fatal(err)
	}
	var m Maps
	for range 2 {
		if err := m.Open(in); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line, ok := m.Next(); ok; line, ok = m.Next() {
			got = append(got, string(line.File))
		}
		m.Close()
		if want := []string{"fe:00 5 /a", "fe:00 8 /b"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	}
}

func TestEachLine(t *testing.T) {
	long := strings.Repeat("l", 3*longestLine)
	f := testTree(t, map[string]string{"f": "a\n\n" + long + "\nb\n" + long[:longestLine-1] + "\nend"})
	var got []string
	err := f.eachLine(func(line []byte) bool {
		got = append(got, fmt.Sprintf("%.3s%d", line, len(line)))
		return true
	}, "f")
	if want := []string{"a1", "b1", "lll" + strconv.Itoa(longestLine-1), "end3"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	calls := 0
	if err := f.eachLine(func([]byte) bool { calls++; return false }, "f"); err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := f.eachLine(nil, "none"); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// TestSocketIndex compares what the kernel says over netlink with its text
// files, of sockets of our own.
func TestSocketIndex(t *testing.T) {
	inodes := make(map[uint64]string)
	add := func(name string, fd int, err error) {
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		inodes[st.Ino] = name
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		add("tcp "+address, int(file.Fd()), nil)
		packets, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		datagrams, err := packets.(*net.UDPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		defer datagrams.Close()
		add("udp "+address, int(datagrams.Fd()), nil)
	}
	for _, name := range []string{"@dtc-proc-test-" + strconv.Itoa(os.Getpid()), filepath.Join(t.TempDir(), "a: b"), ""} {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); name != "" && err != nil {
			t.Fatal(err)
		}
		add("unix "+name, fd, nil)
	}
	told, read := Default.IndexSockets(), FS("/proc/.").IndexSockets()
	if err := told.Err(); err != nil {
		t.Error(err)
	}
	for inode, name := range inodes {
		for kind, x := range map[string]*SocketIndex{"told": told, "read": read} {
			got := describe(x, inode)
			if got != describe(told, inode) || got == "" {
				t.Errorf("%s %s: %q, told %q", name, kind, got, describe(told, inode))
			}
		}
	}
	if _, ok := told.Inet(1 << 40); ok {
		t.Error("a socket with a number that none can have")
	}
}

// describe is all that an index says of a socket.
func describe(x *SocketIndex, inode uint64) string {
	if s, ok := x.Inet(inode); ok {
		return fmt.Sprintf("%v", s)
	}
	if s, ok := x.Unix(inode); ok {
		return fmt.Sprintf("%d %d %s %s", s.Type, s.State, s.Path, x.AppendUnixAddress(nil, inode))
	}
	if s, ok := x.Other(inode); ok {
		return fmt.Sprintf("%v", s)
	}
	return ""
}

// A name with a newline forges no other socket's line.
func TestForgedSocket(t *testing.T) {
	victim, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(victim)
	var st unix.Stat_t
	if err := unix.Fstat(victim, &st); err != nil {
		t.Fatal(err)
	}
	forger, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(forger)
	name := fmt.Sprintf("@\n%016x: 00000002 00000000 00010000 0001 01 %5d /run/trusted", 1, st.Ino)
	if err := unix.Bind(forger, &unix.SockaddrUnix{Name: name}); err != nil {
		t.Fatal(err)
	}
	x := Default.IndexSockets()
	if s, ok := x.Unix(st.Ino); !ok || len(s.Path) > 0 || s.Type != unix.SOCK_DGRAM {
		t.Errorf("got %+v, %v", s, ok)
	}
}

// However many sockets are too many, and however long their texts, what is kept
// is bounded and one sentence says so.
func TestTooManySockets(t *testing.T) {
	x := new(SocketIndex)
	for range 3 {
		if x.full(maxIndexed-1, "internet") || !x.full(maxIndexed, "unix") || !x.full(maxIndexed+1, "other") {
			t.Fatal("the bound is not where it should be")
		}
	}
	x.names = make([]byte, maxText-1)
	for range 3 {
		x.addUnix(7, UnixSocket{Path: []byte("@a")})
	}
	if want := "more unix sockets than can be kept: of the rest no more is known\n" +
		"more other sockets than can be kept: of the rest no more is known"; x.Err().Error() != want || len(x.unix) > 0 {
		t.Errorf("got %q and %d", x.Err(), len(x.unix))
	}

	line := strings.Repeat("a", 40) + " 1 2 3 4 A 0 7 " + strings.Repeat("127.0.0.1 ", 700)
	var file strings.Builder
	for n := 0; file.Len() < maxText+1<<20; n++ {
		file.WriteString(strings.Replace(line, " 7 ", " "+strconv.Itoa(n+1)+" ", 1) + "\n")
	}
	x = testTree(t, map[string]string{"net/sctp/eps": file.String()}).IndexSockets()
	kept := 0
	for _, s := range x.other {
		kept += len(s.Name)
	}
	if kept > maxText || kept < maxText/2 || x.Err() == nil || strings.Count(x.Err().Error(), "sctp/eps") != 1 {
		t.Errorf("kept %d bytes, %v", kept, x.Err())
	}
}

func TestArrange(t *testing.T) {
	x := new(SocketIndex)
	for i, inode := range []uint64{9, 3, 9, 1 << 40, 1, 3, 0} {
		s := NetSocket{Inode: inode, InetSocket: InetSocket{State: uint8(i), Local: loopbackPort(uint16(i)), Remote: loopbackPort(0)}}
		if err := x.addInet(&s); err != nil {
			t.Fatal(err)
		}
	}
	x.inet4 = arrange(x.inet4, inet4.id)
	for inode, state := range map[uint64]uint8{9: 0, 3: 1, 1: 4} {
		if s, ok := x.Inet(inode); !ok || s.State != state || s.Local.Port() != uint16(state) {
			t.Errorf("%d: %v", inode, s)
		}
	}
	for _, inode := range []uint64{0, 2, 4, 10, 1 << 40} {
		if _, ok := x.Inet(inode); ok {
			t.Errorf("%d is there", inode)
		}
	}
}

func TestSCTP(t *testing.T) {
	f := testTree(t, map[string]string{
		"net/sctp/assocs": " ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS HBINT INS OUTS MAXRT T1X T2X RTXC wmema wmemq sndbuf rcvbuf\n" +
			"0000000011111111 00000000aaaaaaaa 2   1   3  0       1        0        0       0 7001 36412 36413  127.0.0.1 10.0.0.1 <-> *127.0.0.2 10.0.0.2    30000   10   10   10    0    0        0        1        0   212992   212992\n" +
			"0000000022222222 00000000aaaaaaaa 0   1   3  0       2        0        0       0 7002 9 1000  ::1 <-> *::1    30000   10   10   10    0    0        0        1        0   212992   212992\n" +
			"0000000033333333 00000000aaaaaaaa 0   1   3  0       3        0        0       0 7002 9 1001  ::1 <-> *::2    30000   10   10   10    0    0        0        1        0   212992   212992\n",
		"net/sctp/eps": " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n" +
			"0000000044444444 00000000bbbbbbbb 0   10  29   9     0 7002 ::1\n" +
			"0000000055555555 00000000bbbbbbbb 0   10  29   36422     0 7003 0.0.0.0 10.0.0.1\n",
	})
	x := f.IndexSockets()
	for inode, want := range map[uint64]string{
		7001: "{sock SCTP ASSOC: 0000000011111111,1 127.0.0.1,10.0.0.1[36412]<->*127.0.0.2,10.0.0.2[36413]}",
		7002: "{sock SCTP ASSOC+ENDPT: 0000000022222222,0000000033333333,0000000044444444,2,3 ::1[9]<->*::1,*::2[1000,1001]}",
		7003: "{sock SCTP ENDPT: 0000000055555555 0.0.0.0,10.0.0.1[36422]}",
	} {
		if got := describe(x, inode); got != want {
			t.Errorf("%d: got %s\nwant %s", inode, got, want)
		}
	}
	if err := x.Err(); err != nil {
		t.Error(err)
	}
}

func FuzzSCTP(f *testing.F) {
	f.Add([]byte("a b c d e f 6 h i j 10 11 12 1.2.3.4 <-> ::1 x"))
	f.Add([]byte("a b c d e 5 g 7 ::1"))
	f.Fuzz(func(t *testing.T, line []byte) {
		defer bounds.Alloc(t, len(line))()
		sockets := make(map[uint64]*sctpSocket)
		socket := func(inode uint64) *sctpSocket {
			if sockets[inode] == nil {
				sockets[inode] = new(sctpSocket)
			}
			return sockets[inode]
		}
		parseSCTPAssociation(line, socket)
		parseSCTPEndpoint(line, socket)
		for s := range maps.Values(sockets) {
			if o := s.other(); o.Protocol != "SCTP" || bytes.ContainsAny([]byte(o.Name), "\n\t") {
				t.Errorf("%q: %v", line, o)
			}
		}
	})
}

func loopbackPort(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}
