package status

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// connections opens n connections to ourselves, of which other processes have
// perProcess ends each open; 0 leaves them all to us.
func connections(b *testing.B, n, perProcess int) {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	var files []*os.File
	for range n {
		client, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		if perProcess == 0 {
			b.Cleanup(func() { _, _ = client.Close(), server.Close() })
			continue
		}
		for _, c := range []net.Conn{client, server} {
			file, err := c.(*net.TCPConn).File()
			if err != nil {
				b.Fatal(err)
			}
			files = append(files, file)
			_ = c.Close()
		}
	}
	for len(files) > 0 {
		share := files[:min(perProcess, len(files))]
		files = files[len(share):]
		sleeper(b, func(cmd *exec.Cmd) { cmd.ExtraFiles = share })
		for _, file := range share {
			_ = file.Close()
		}
	}
}

// BenchmarkSockets pairs the collector with ss -tanp, which does not even ask
// for UDP, at 2,000 sockets in all.
func BenchmarkSockets(b *testing.B) {
	for _, perProcess := range []int{0, 20} {
		b.Run(fmt.Sprintf("%d-per-process", perProcess), func(b *testing.B) {
			const sockets = 2000
			enterNewNetwork(b)
			connections(b, sockets/2, perProcess)
			c := New(Options{})
			var ours, ss spent
			items := 0
			for b.Loop() {
				for range rounds {
					ours.measure(unix.RUSAGE_SELF, func() {
						r := get(b, c, dtc.Query{Status: dtc.StatusSockets})
						items = len(r.Sockets)
					})
					ss.measureTool(b, "ss", "-tanp")
				}
			}
			if items != sockets+1 {
				b.Fatalf("%d sockets", items)
			}
			b.ReportMetric(median(ours.wall)/median(ss.wall), "wall/ss")
			b.ReportMetric(median(ours.cpu)/median(ss.cpu), "cpu/ss")
			b.ReportMetric(median(ours.wall)/1e6, "ms")
			before := mallocs()
			get(b, c, dtc.Query{Status: dtc.StatusSockets})
			b.ReportMetric(float64(mallocs()-before)/sockets, "allocs/socket")
		})
	}
}

// BenchmarkSocketParts is where the time goes: the kernel's list, and the walk
// over all descriptors.
func BenchmarkSocketParts(b *testing.B) {
	enterNewNetwork(b)
	connections(b, 1000, 0)
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if err := proc.Default.EachSocket(proc.TCP, func() {}, func(*proc.NetSocket) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("walk", func(b *testing.B) {
		walk, err := proc.Default.WalkSockets()
		if err != nil {
			b.Fatal(err)
		}
		defer walk.Close()
		h, found := New(Options{}).host, 0
		for b.Loop() {
			pids, err := h.pids()
			if err != nil {
				b.Fatal(err)
			}
			for _, pid := range pids {
				_ = walk.Process(pid, func(uint64) bool { return true }, func(proc.SocketFile) { found++ })
			}
		}
		b.ReportMetric(float64(found)/float64(b.N), "sockets")
	})
}

// BenchmarkInterfaces pairs the collector with ip -s link.
func BenchmarkInterfaces(b *testing.B) {
	enterNewNetwork(b)
	for i := range 100 {
		ip(b, fmt.Sprintf("link add s%d type veth peer name t%d", i, i))
	}
	c := New(Options{})
	var ours, tool spent
	for b.Loop() {
		for range rounds {
			ours.measure(unix.RUSAGE_SELF, func() { get(b, c, dtc.Query{Status: dtc.StatusInterfaces}) })
			tool.measureTool(b, "ip", "-s", "link")
		}
	}
	b.ReportMetric(median(ours.wall)/median(tool.wall), "wall/ip")
	b.ReportMetric(median(ours.wall)/1e6, "ms")
}
