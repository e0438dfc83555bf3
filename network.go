package dtc

// Interface is one network interface: what ip -s link prints of it.
type Interface struct {
	Index     int
	Name      string
	Lower     string // what ip prints behind the name: "if5" of "eth0@if5", "eth0" of "eth0.7@eth0"; "" for none
	Flags     string // as ip prints them, without the angle brackets: "BROADCAST,MULTICAST,UP,LOWER_UP"
	MTUBytes  int64
	Qdisc     string // queueing discipline: "noqueue", "fq_codel", …
	Master    string // the bridge or bond that it belongs to, "" for none
	State     string // operational state: "UP", "DOWN", "UNKNOWN", …
	Mode      string // link mode: "DEFAULT", "DORMANT"
	Group     string // "default", or what the system calls it
	QueueLen  int64  // packets; ip prints none of 0
	LinkType  string // "ether", "loopback", …
	Address   string // hardware address, "" for none
	Broadcast string // hardware broadcast address (ip: brd) or the far end (ip: peer), "" for none

	// Rest is what ip prints behind these in the second line, as it prints it:
	// "link-netnsid 0", "permaddr 02:00:00:00:00:01".
	Rest string

	// AltNames are the other names of the interface, separated by spaces.
	AltNames string

	Alias string // the description that an administrator gave it (ip: alias)

	// XDP says how programs are attached that see packets first: "xdp",
	// "xdpgeneric", "xdpoffload", "xdpmulti". "" for none.
	XDP string

	// XDPPrograms are these programs as ip prints them, separated by ", ":
	// "prog/xdp id 12 name pass tag 3b185187f1855c4c jited".
	XDPPrograms string

	RX Traffic
	TX Traffic
}

// Traffic counts what went through an interface in one direction since it
// came up. All but Bytes are packets or events.
type Traffic struct {
	Bytes   int64
	Packets int64
	Errors  int64
	Dropped int64

	// Of what was received: missed (or overrun) and multicast packets; of what
	// was sent: carrier errors and collisions.
	Missed     int64
	Multicast  int64
	Carrier    int64
	Collisions int64

	// Compressed packets, as some links of telephones and CAN have; ip prints
	// them where there are any.
	Compressed int64
}

// Socket is one line of ss -tunap.
type Socket struct {
	Protocol     string // ss: Netid, "tcp" or "udp"
	State        string // as ss: "LISTEN", "ESTAB", "UNCONN", "TIME-WAIT", …
	ReceiveQueue int64  // bytes; of a listener the connections that wait (field accept_queue)
	SendQueue    int64  // bytes; of a listener how many may wait (field accept_queue_limit)

	// LocalAddress is the address alone, with the interface that the socket is
	// bound to behind a %: "127.0.0.1", "::1", "127.0.0.53%lo", "fe80::1%eth0".
	// Any address of IPv4 is "0.0.0.0", of IPv6 alone "::", of both "*". ss
	// prints the same, but puts what has a colon into brackets.
	LocalAddress  string
	LocalPort     int    // Absent for any: ss prints "*"
	RemoteAddress string // as LocalAddress, without an interface
	RemotePort    int    // Absent for any

	User   string        // who owns the socket
	Owners []SocketOwner // the processes that have it open, as far as they may be read; ascending by pid and descriptor
}

// SocketOwner is a process that has a socket open.
type SocketOwner struct {
	Name string // short name of the process
	PID  int
	FD   int // Absent where the system has none
}
