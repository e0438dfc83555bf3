package render

import (
	"fmt"
	"strings"
	"testing"

	"dtc"
)

// TestInterfacesText compares with what ip of iproute2 6.1 printed, and with
// what is left where a system knows less.
func TestInterfacesText(t *testing.T) {
	unknown := dtc.Traffic{
		Bytes: dtc.Absent, Packets: dtc.Absent, Errors: dtc.Absent, Dropped: dtc.Absent, Missed: dtc.Absent,
		Multicast: dtc.Absent, Carrier: dtc.Absent, Collisions: dtc.Absent, Compressed: dtc.Absent,
	}
	r := &dtc.Report{Status: dtc.StatusInterfaces, Interfaces: []dtc.Interface{
		{
			Index: 1, Name: "lo", Flags: "LOOPBACK,UP,LOWER_UP", MTUBytes: 65536, Qdisc: "noqueue", State: "UNKNOWN",
			Mode: "DEFAULT", Group: "default", QueueLen: 1000, LinkType: "loopback",
			Address: "00:00:00:00:00:00", Broadcast: "00:00:00:00:00:00",
			RX: dtc.Traffic{Bytes: 94635054205, Packets: 8370081}, TX: dtc.Traffic{Bytes: 94635054205, Packets: 8370081},
		},
		{
			Index: 12, Name: "sl0", Lower: "NONE", Flags: "POINTOPOINT,NOARP", MTUBytes: 296, XDP: "xdpgeneric", Qdisc: "noop",
			Master: "br0", State: "DOWN", Mode: "DEFAULT", Group: "default", LinkType: "sit", Address: "10.0.0.1", Broadcast: "10.0.0.2",
			Rest: "link-netnsid 0 protodown on", Alias: "to the\nattic", AltNames: "one two",
			XDPPrograms: "prog/xdp id 6 name pass tag 3b185187f1855c4c jited, prog/xdpdrv id 7",
			RX:          dtc.Traffic{Bytes: 7, Packets: 123456789, Errors: 1234567, Compressed: 12345678901},
			TX:          dtc.Traffic{Dropped: 12345678, Carrier: 23456789, Collisions: 34567890},
		},
		{Index: 3, Name: "Ethernet", Flags: "BROADCAST,UP", MTUBytes: dtc.Absent, State: "UP", QueueLen: dtc.Absent, RX: unknown, TX: unknown},
	}}
	compare(t, text(t, r, Options{}), ""+
		"1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\n"+
		"    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"+
		"    RX:   bytes packets errors dropped  missed   mcast           \n"+
		"    94635054205 8370081      0       0       0       0 \n"+
		"    TX:   bytes packets errors dropped carrier collsns           \n"+
		"    94635054205 8370081      0       0       0       0 \n"+
		"12: sl0@NONE: <POINTOPOINT,NOARP> mtu 296 xdpgeneric qdisc noop master br0 state DOWN mode DEFAULT group default \n"+
		"    link/sit 10.0.0.1 peer 10.0.0.2 link-netnsid 0 protodown on \n"+
		"    alias to the\\nattic\n"+
		"    prog/xdp id 6 name pass tag 3b185187f1855c4c jited \n"+
		"    prog/xdpdrv id 7 \n"+
		"    RX:  bytes   packets  errors  dropped   missed    mcast  compressed\n"+
		"             7 123456789 1234567        0        0        0 12345678901 \n"+
		"    TX:  bytes   packets  errors  dropped  carrier  collsns            \n"+
		"             0         0       0 12345678 23456789 34567890 \n"+
		"    altname one\n"+
		"    altname two\n"+
		"3: Ethernet: <BROADCAST,UP> state UP \n"+
		"    link/- \n"+
		"    RX:  bytes packets errors dropped  missed   mcast           \n"+
		"             -       -      -       -       -       - \n"+
		"    TX:  bytes packets errors dropped carrier collsns           \n"+
		"             -       -      -       -       -       - \n")
}

func TestSocketsText(t *testing.T) {
	r := &dtc.Report{Status: dtc.StatusSockets, Sockets: []dtc.Socket{
		{
			Protocol: "udp", State: "UNCONN", LocalAddress: "127.0.0.53%lo", LocalPort: 53, RemoteAddress: "0.0.0.0", RemotePort: dtc.Absent,
			Owners: []dtc.SocketOwner{{Name: "systemd-resolve", PID: 412, FD: 13}},
		},
		{
			Protocol: "tcp", State: "LISTEN", SendQueue: 4096, LocalAddress: "*", LocalPort: 443, RemoteAddress: "*", RemotePort: dtc.Absent,
			Owners: []dtc.SocketOwner{{Name: "nginx", PID: 811, FD: 6}, {Name: "nginx", PID: 812, FD: 6}, {Name: "a\x1b)b", PID: 812, FD: 7}},
		},
		{
			Protocol: "tcp", State: "ESTAB", ReceiveQueue: 1234567, LocalAddress: "fe80::1%eth0", LocalPort: 443,
			RemoteAddress: "2001:db8::7", RemotePort: 40112,
		},
		// Of Windows.
		{
			Protocol: "udp", State: "UNCONN", ReceiveQueue: dtc.Absent, SendQueue: dtc.Absent, LocalAddress: "::", LocalPort: 5353,
			RemotePort: dtc.Absent, Owners: []dtc.SocketOwner{{Name: "svchost.exe", PID: 1204, FD: dtc.Absent}},
		},
	}}
	lines := []string{
		"Netid State  Recv-Q  Send-Q  Local Address:Port  Peer Address:Port Process",
		"udp   UNCONN 0       0       127.0.0.53%lo:53         0.0.0.0:*     users:((\"systemd-resolve\",pid=412,fd=13))",
		"tcp   LISTEN 0       4096                *:443              *:*     users:((\"a\\x1b\",pid=812,fd=7),(\"nginx\",pid=812,fd=6),(\"nginx\",pid=811,fd=6))",
		"tcp   ESTAB  1234567 0      [fe80::1]%eth0:443  [2001:db8::7]:40112",
		"udp   UNCONN -       -                [::]:5353             -:*     users:((\"svchost.exe\",pid=1204))",
	}
	var want strings.Builder
	for _, line := range lines { // to the end of the last column
		fmt.Fprintf(&want, "%-*s\n", len(lines[2]), line)
	}
	compare(t, text(t, r, Options{}), want.String())
	compare(t, text(t, &dtc.Report{Status: dtc.StatusSockets}, Options{}), "Netid State Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n")
}

// TestManyOwners has a cell that ss would cut.
func TestManyOwners(t *testing.T) {
	s := dtc.Socket{Protocol: "tcp", State: "LISTEN", LocalAddress: "*", LocalPort: 80, RemoteAddress: "*", RemotePort: dtc.Absent}
	for pid := range 100_000 {
		s.Owners = append(s.Owners, dtc.SocketOwner{Name: "httpd", PID: pid, FD: 3})
	}
	r := &dtc.Report{Status: dtc.StatusSockets, Sockets: []dtc.Socket{s, {LocalAddress: "*", RemoteAddress: "*"}}}
	lines := strings.Split(text(t, r, Options{}), "\n")
	_, users, _ := strings.Cut(lines[1], " users:")
	if len(users)+len(" users:") != ssCellMost || !strings.HasPrefix(users, `(("httpd",pid=99999,fd=3),("httpd",pid=99998,fd=3),`) {
		t.Errorf("%d bytes: %.100s", len(users), users)
	}
	if len(lines[2]) > 2*widestColumn {
		t.Errorf("a line without owners has %d bytes", len(lines[2]))
	}
}

// A cell that is too long is not cut in the middle of a character.
func TestSocketsCutWhole(t *testing.T) {
	for i := range 3 {
		address := strings.Repeat("x", i) + strings.Repeat("漢", ssCellMost)
		for _, opt := range []Options{{}, {Flat: true, Columns: 80}} {
			checkSafe(t, text(t, &dtc.Report{Status: dtc.StatusSockets, Sockets: []dtc.Socket{{LocalAddress: address}}}, opt))
		}
	}
}
