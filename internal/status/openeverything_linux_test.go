package status

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openEverything opens files of every kind in the current folder, of another
// network namespace where the environment says so, and never closes them.
func openEverything() *opener {
	o := new(opener)
	o.files()
	o.locks()
	o.internet()
	o.unix()
	o.rare()
	o.anonymous()
	return o
}

// opener keeps what it opens out of reach of the garbage collector.
type opener struct{ kept []any }

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
	return value
}

func (o *opener) keep(values ...any) { o.kept = append(o.kept, values...) }

func (o *opener) files() {
	o.keep(
		must(unix.Open("plain", unix.O_CREAT|unix.O_RDWR, 0o644)),
		must(unix.Open("plain", unix.O_RDONLY, 0)),
		must(unix.Open("plain", unix.O_WRONLY|unix.O_APPEND, 0)),
		must(unix.Open("plain", unix.O_PATH, 0)),
		must(unix.Open("a name: with (deleted)", unix.O_CREAT|unix.O_WRONLY, 0o644)),
		must(unix.Open("a new\nline \xff \x1b é", unix.O_CREAT|unix.O_RDWR, 0o644)),
		must(unix.Open(".", unix.O_RDONLY, 0)),
		must(unix.Open("/dev/null", unix.O_WRONLY, 0)),
		must(unix.Open("/dev/zero", unix.O_RDWR, 0)),
		must(unix.Open("/dev/urandom", unix.O_RDONLY, 0)),
		must(unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)),
		must(unix.Open("/proc/self/status", unix.O_RDONLY, 0)),
		must(unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)),
	)
	data := must(unix.Open("data", unix.O_CREAT|unix.O_RDWR, 0o644))
	must(unix.Write(data, make([]byte, 123456)))
	o.keep(data, must(unix.Mmap(data, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)))
	gone := must(unix.Open("gone", unix.O_CREAT|unix.O_RDWR, 0o644))
	must(unix.Write(gone, make([]byte, 5000)))
	o.keep(gone, must(unix.Mmap(gone, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)))
	must(0, unix.Unlink("gone"))
	var pipe [2]int
	must(0, unix.Pipe(pipe[:]))
	must(0, unix.Mkfifo("fifo", 0o644))
	o.keep(pipe, must(unix.Open("fifo", unix.O_RDWR, 0)))
}

func (o *opener) locks() {
	whole := &unix.Flock_t{Type: unix.F_WRLCK}
	part := &unix.Flock_t{Type: unix.F_RDLCK, Start: 10, Len: 20}
	for name, lock := range map[string]*unix.Flock_t{"lock all": whole, "lock part": part} {
		fd := must(unix.Open(name, unix.O_CREAT|unix.O_RDWR, 0o644))
		must(0, unix.FcntlFlock(uintptr(fd), unix.F_SETLK, lock))
		o.keep(fd, must(unix.Open(name, unix.O_RDONLY, 0)))
	}
	fd := must(unix.Open("flock", unix.O_CREAT|unix.O_RDWR, 0o644))
	must(0, unix.Flock(fd, unix.LOCK_SH))
	o.keep(fd)
}

func (o *opener) internet() {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0", "0.0.0.0:0"} {
		listener := must(net.Listen("tcp", address))
		port := listener.Addr().(*net.TCPAddr).Port
		host := map[string]string{"[::1]:0": "::1"}[address]
		if host == "" {
			host = "127.0.0.1"
		}
		client := must(net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port))))
		server := must(listener.Accept())
		o.keep(listener, client, server)
	}
	halfClosed := must(net.Listen("tcp", "127.0.0.1:0"))
	client := must(net.Dial("tcp", halfClosed.Addr().String()))
	server := must(halfClosed.Accept())
	must(0, client.(*net.TCPConn).CloseWrite())
	o.keep(halfClosed, client, server)
	o.keep(
		must(net.ListenPacket("udp4", "127.0.0.1:0")), must(net.ListenPacket("udp4", ":0")),
		must(net.ListenPacket("udp6", "[::1]:0")), must(net.ListenPacket("udp", ":0")),
		must(net.Dial("udp", "127.0.0.1:9")), must(net.Dial("udp", "[::1]:9")),
		must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)), must(unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)),
		must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)),
	)
	bound := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
	must(0, unix.Bind(bound, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	o.keep(bound)
}

func (o *opener) unix() {
	listener := must(net.Listen("unix", "socket"))
	abstract := fmt.Sprintf("@dtc-test-%d", os.Getpid())
	o.keep(listener, must(net.Dial("unix", "socket")), must(listener.Accept()), must(net.Listen("unix", abstract)))
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		o.keep(must(unix.Socketpair(unix.AF_UNIX, kind, 0)), must(unix.Socket(unix.AF_UNIX, kind, 0)))
	}
}

func (o *opener) rare() {
	const allProtocols = 0x0300 // ETH_P_ALL in network order
	o.keep(
		must(unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)),
		must(unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)),
		must(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, allProtocols)),
		must(unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)),
		must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)),
	)
	for _, protocol := range []int{unix.NETLINK_ROUTE, unix.NETLINK_KOBJECT_UEVENT} {
		fd := must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol))
		must(0, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
		o.keep(fd)
	}
}

func (o *opener) anonymous() {
	epoll := must(unix.EpollCreate1(0))
	event := must(unix.Eventfd(3, 0))
	must(0, unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN}))
	o.keep(epoll, event, must(unix.EpollCreate1(0)))
	many := must(unix.EpollCreate1(0))
	for range 40 {
		fd := must(unix.Eventfd(0, 0))
		must(0, unix.EpollCtl(many, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}))
	}
	memory := must(unix.MemfdCreate("my memory", 0))
	must(unix.Write(memory, make([]byte, 10000)))
	o.keep(
		memory, must(unix.Mmap(memory, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)),
		must(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)), must(unix.InotifyInit1(0)), must(unix.PidfdOpen(os.Getpid(), 0)),
	)
	var signals unix.Sigset_t
	fd, _, errno := syscall.Syscall6(unix.SYS_SIGNALFD4, ^uintptr(0), uintptr(unsafe.Pointer(&signals)), 8, 0, 0, 0)
	if errno == 0 {
		o.keep(fd)
	}
}

// loopbackUp switches the loopback device on, which is off in a new network
// namespace.
func loopbackUp() { setLoopback(unix.IFF_UP | unix.IFF_RUNNING) }

func setLoopback(flags uint16) {
	fd := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
	request := must(unix.NewIfreq("lo"))
	request.SetUint16(flags)
	must(0, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
	must(0, unix.Close(fd))
}
