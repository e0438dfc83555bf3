package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"dtc/internal/bounds"
)

func TestUnixDiag(t *testing.T) {
	for raw, want := range map[string]string{
		"/run/x\x00":    "/run/x",
		"\x00abs\x00\n": "@abs@\n",
		"":              "",
		"\x00":          "@",
	} {
		if got := string(socketName([]byte(raw))); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

// TestSocketTablesAgree compares what the kernel says over netlink with its text
// files.
func TestSocketTablesAgree(t *testing.T) {
	for _, protocol := range []Protocol{TCP, UDP} {
		var told, read map[uint64]InetSocket
		for range 20 { // sockets come and go
			told, read = make(map[uint64]InetSocket), make(map[uint64]InetSocket)
			err := Default.ask(unix.NETLINK_SOCK_DIAG, func(n *netlink) error {
				return n.inet(protocol, openStates, func(s *NetSocket) error {
					if s.Inode != 0 {
						told[s.Inode] = s.InetSocket
					}
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range protocol.files() {
				data, err := os.ReadFile("/proc/net/" + name)
				if err != nil {
					t.Fatal(err)
				}
				for line := range bytes.Lines(data) {
					if s := new(NetSocket); s.parseLine(line) && s.Inode != 0 {
						s.Protocol = protocol
						read[s.Inode] = s.InetSocket
					}
				}
			}
			if maps.Equal(told, read) {
				break
			}
		}
		if !maps.Equal(told, read) {
			t.Errorf("protocol %d: told %v\nread %v", protocol, told, read)
		}
	}
}

// message makes a message of netlink(7).
func message(kind, flags uint16, seq uint32, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(nlHeader+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = append(append(b, make([]byte, 4)...), body...)
	return append(b, make([]byte, -len(b)&3)...)
}

// attribute makes an attribute of a message.
func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(attrHeader+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func TestNetlinkAnswers(t *testing.T) {
	const seq, kind = 7, 16
	zero, refused := make([]byte, 4), binary.NativeEndian.AppendUint32(nil, uint32(1<<32-unix.EPERM))
	own := errors.New("of the caller")
	for _, test := range []struct {
		name        string
		data        []byte
		put         error
		messages    int
		done        bool
		interrupted bool
		err         error
	}{
		{name: "nothing"},
		{name: "a part", data: message(kind, 0, seq, zero), messages: 1},
		{name: "the end", data: slices.Concat(message(kind, 0, seq, zero), message(unix.NLMSG_DONE, 0, seq, zero)), messages: 1, done: true},
		{name: "of another question", data: slices.Concat(message(kind, 0, 6, zero), message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, 6, zero))},
		{name: "no message", data: message(unix.NLMSG_NOOP, 0, seq, nil)},
		{name: "refused", data: message(unix.NLMSG_ERROR, 0, seq, refused), done: true, err: unix.EPERM},
		{name: "acknowledged", data: message(unix.NLMSG_ERROR, 0, seq, zero), done: true},
		{name: "interrupted", data: slices.Concat(message(kind, unix.NLM_F_DUMP_INTR, seq, zero), message(kind, 0, seq, zero)), messages: 2, interrupted: true},
		{name: "lost", data: message(unix.NLMSG_OVERRUN, 0, seq, nil), done: true, err: errOverrun},
		{name: "given up", data: slices.Concat(message(kind, 0, seq, zero), message(kind, 0, seq, zero)), put: own, messages: 1, done: true, err: own},
		{name: "an end too short", data: message(unix.NLMSG_DONE, 0, seq, nil), done: true, err: errMalformed},
		{name: "cut", data: message(kind, 0, seq, zero)[:18], err: errMalformed},
		{name: "a length too short", data: append([]byte{15, 0, 0, 0}, make([]byte, 16)...), err: errMalformed},
		{name: "a length too long", data: append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 16)...), err: errMalformed},
	} {
		messages := 0
		n := &netlink{seq: seq}
		done, interrupted, err := n.datagram(test.data, func([]byte) error {
			messages++
			return test.put
		})
		if done != test.done || interrupted != test.interrupted || messages != test.messages || !errors.Is(err, test.err) {
			t.Errorf("%s: %v, %v, %v, %d messages", test.name, done, interrupted, err, messages)
		}
	}
}

// TestNetlinkRetries asks again as long as the answer was spoilt, but not for
// ever.
func TestNetlinkRetries(t *testing.T) {
	for _, test := range []struct {
		errs  []error // of the tries; the last goes on
		tries int
	}{
		{[]error{nil}, 1},
		{[]error{unix.EPERM}, 1},
		{[]error{ErrChanged, nil}, 2},
		{[]error{errOverrun, ErrChanged, unix.EPERM}, 3},
		{[]error{ErrChanged}, netlinkTries},
	} {
		tries := 0
		err := Default.ask(unix.NETLINK_ROUTE, func(*netlink) error {
			tries++
			return test.errs[min(tries, len(test.errs))-1]
		})
		if want := test.errs[len(test.errs)-1]; tries != test.tries || !errors.Is(err, want) {
			t.Errorf("%v: %d tries, %v", test.errs, tries, err)
		}
	}
	if err := FS("/elsewhere").ask(unix.NETLINK_ROUTE, nil); err == nil {
		t.Error("another machine was asked")
	}
}

// linkOf makes struct ifinfomsg with attributes.
func linkOf(attributes ...[]byte) []byte {
	head := make([]byte, linkMessage)
	binary.NativeEndian.PutUint16(head[2:], unix.ARPHRD_ETHER)
	head[4], head[8] = 3, unix.IFF_UP
	return append(head, slices.Concat(attributes...)...)
}

// TestLinkMessage reads what no device of this machine has.
func TestLinkMessage(t *testing.T) {
	counters := func(size, n int) (b []byte) {
		for i := range n {
			b = append(b, make([]byte, size)...)
			b[i*size] = byte(i + 1)
		}
		return b
	}
	old := LinkStats{
		RXPackets: 1, TXPackets: 2, RXBytes: 3, TXBytes: 4, RXErrors: 5, TXErrors: 6, RXDropped: 7, TXDropped: 8,
		Multicast: 9, Collisions: 10, RXMissed: 16, TXCarrier: 18, RXCompressed: 22, TXCompressed: 23,
	}
	cut := old
	cut.RXCompressed, cut.TXCompressed = 0, 0
	name := attribute(unix.IFLA_IFNAME, 'x', 0)
	base := Link{Index: 3, Type: unix.ARPHRD_ETHER, Flags: unix.IFF_UP, Name: "x", Namespace: -1}
	for _, test := range []struct {
		name   string
		msg    []byte
		change func(*Link)
	}{
		{"plain", linkOf(name), func(*Link) {}},
		{"permanent address", linkOf(name, attribute(unix.IFLA_PERM_ADDRESS, 2, 0, 0, 0, 0, 1)), func(l *Link) { l.Permanent = []byte{2, 0, 0, 0, 0, 1} }},
		{"counters of 64 bits", linkOf(name, attribute(unix.IFLA_STATS, counters(4, 24)...), attribute(unix.IFLA_STATS64, counters(8, 25)...)), func(l *Link) { l.Stats = old }},
		{"counters of 32 bits", linkOf(name, attribute(unix.IFLA_STATS, counters(4, 24)...)), func(l *Link) { l.Stats = old }},
		{"counters of an old kernel", linkOf(name, attribute(unix.IFLA_STATS64, counters(8, 21)...)), func(l *Link) { l.Stats = cut }},
		{"no lower end", linkOf(name, attribute(unix.IFLA_LINK, 0, 0, 0, 0)), func(l *Link) { l.Lower = -1 }},
		{"unknown namespace", linkOf(name, attribute(unix.IFLA_LINK, 9, 0, 0, 0), attribute(unix.IFLA_LINK_NETNSID, 255, 255, 255, 255)), func(l *Link) { l.Lower, l.Foreign = 9, true }},
		{
			"programs", linkOf(name, attribute(unix.IFLA_XDP|unix.NLA_F_NESTED, slices.Concat(
				attribute(unix.IFLA_XDP_ATTACHED, XDPSeveral), attribute(unix.IFLA_XDP_DRV_PROG_ID, 1, 0, 0, 0),
				attribute(unix.IFLA_XDP_SKB_PROG_ID, 2, 0, 0, 0), attribute(unix.IFLA_XDP_HW_PROG_ID, 3, 0, 0, 0))...)),
			func(l *Link) { l.XDP = LinkXDP{Attached: XDPSeveral, Driver: 1, Generic: 2, Hardware: 3} },
		},
		{"values too short", linkOf(name, attribute(unix.IFLA_MTU, 1), attribute(unix.IFLA_OPERSTATE), attribute(unix.IFLA_XDP, 1, 2)), func(*Link) {}},
	} {
		want := base
		test.change(&want)
		if got, ok := parseLink(test.msg); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, want)
		}
	}
	for _, msg := range [][]byte{nil, linkOf()[:15], linkOf(), linkOf([]byte{3, 0, 0, 0}), linkOf([]byte{200, 0, 3, 0})} {
		if l, ok := parseLink(msg); ok {
			t.Errorf("%x is %+v", msg, l)
		}
	}
}

// TestSocketWalk looks for one socket of several processes.
func TestSocketWalk(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(pair[0], &st); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(pair[0]), "socket")
	defer file.Close()
	defer unix.Close(pair[1])
	child := exec.Command("sleep", "1000")
	child.ExtraFiles = []*os.File{file, file}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	walk, err := Default.WalkSockets()
	if err != nil {
		t.Fatal(err)
	}
	defer walk.Close()
	look := func(pid int) (found []string) {
		err := walk.Process(pid, func(inode uint64) bool { return inode == st.Ino }, func(f SocketFile) {
			found = append(found, fmt.Sprintf("%d %s %d %v", f.PID, f.Comm, f.FD, f.Inode == st.Ino))
		})
		if err != nil {
			t.Error(err)
		}
		return found
	}
	want := []string{fmt.Sprint(child.Process.Pid, " sleep 3 true"), fmt.Sprint(child.Process.Pid, " sleep 4 true")}
	var got []string
	for range 1000 { // until it is that program
		if got = look(child.Process.Pid); slices.Equal(got, want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := look(os.Getpid()); len(got) != 1 {
		t.Errorf("our own: %q", got)
	}
	if got := look(1<<22 + 1); got != nil {
		t.Errorf("of no process: %q", got)
	}
}

func TestNetworkNames(t *testing.T) {
	dir := t.TempDir()
	if names, err := Default.NetworkNames(dir + "/none"); len(names) != 0 || err != nil {
		t.Error(names, err)
	}
	if names, err := Default.NetworkNames(dir); len(names) != 0 || err != nil {
		t.Error(names, err)
	}
	if err := unix.Mkfifo(dir+"/pipe", 0o600); err != nil { // nobody is at its other end
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := Default.NetworkNames(dir); len(names) != 0 || err != nil {
		t.Error(names, err)
	}
}

func FuzzNetlink(f *testing.F) {
	const seq = 1
	inet := append([]byte{unix.AF_INET6, 10}, make([]byte, inetMessage-2)...)
	f.Add(message(unix.NLMSG_DONE, 0, seq, make([]byte, 4)))
	f.Add(message(unix.RTM_NEWLINK, unix.NLM_F_DUMP_INTR, seq, linkOf(attribute(unix.IFLA_IFNAME, 'x', 0), attribute(unix.IFLA_STATS64, make([]byte, 200)...))))
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, 0, seq, append(inet, attribute(inetV6Only, 1)...)))
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, 0, seq, append([]byte{unix.AF_UNIX, 1, 10}, append(make([]byte, unixMessage-3), attribute(unixAttrName, '/', 'x')...)...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		_, _, _ = (&netlink{seq: seq}).datagram(data, func(msg []byte) error {
			new(NetSocket).parse(msg)
			parseUnixDiag(msg)
			l, ok := parseLink(msg)
			if ok && (l.Name == "" || l.Index <= 0) {
				t.Errorf("%+v", l)
			}
			return nil
		})
	})
}

func FuzzSocketLine(f *testing.F) {
	f.Add([]byte("   0: 0100007F:08FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0"))
	f.Fuzz(func(t *testing.T, line []byte) {
		defer bounds.Alloc(t, len(line))()
		var s NetSocket
		if s.parseLine(line) && (!s.Local.IsValid() || !s.Remote.IsValid()) {
			t.Errorf("%+v", s)
		}
	})
}
