package status

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
)

// allSorts are as many open files as are asked for: mostly regular ones and
// sockets, as servers have them.
func allSorts(b *testing.B, n int) (files []*os.File) {
	b.Helper()
	dir := b.TempDir()
	keep := func(file *os.File, err error) {
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = file.Close() })
		files = append(files, file)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	for len(files) < n {
		switch i := len(files); i % 5 {
		case 0, 1:
			keep(os.Create(filepath.Join(dir, "file "+strconv.Itoa(i))))
		case 2:
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			keep(conn.(*net.TCPConn).File())
			_ = conn.Close()
		case 3:
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			keep(os.NewFile(uintptr(pair[0]), "socket"), err)
			keep(os.NewFile(uintptr(pair[1]), "socket"), nil)
		case 4:
			r, w, err := os.Pipe()
			keep(r, err)
			keep(w, nil)
		}
	}
	return files[:n]
}

// BenchmarkOpenFilesOfAllSorts pairs the collector with lsof, on 10,000
// descriptors in 200 processes.
func BenchmarkOpenFilesOfAllSorts(b *testing.B) {
	const processes, each = 200, 50
	files := allSorts(b, each-3)
	crowd(b, processes, func(cmd *exec.Cmd) { cmd.ExtraFiles = files })
	c := New(Options{})
	items := ask(b, c, dtc.StatusOpenFiles)
	var ours, lsof spent
	for b.Loop() {
		for range rounds {
			ours.measure(unix.RUSAGE_SELF, func() { ask(b, c, dtc.StatusOpenFiles) })
			lsof.measureTool(b, "lsof", "-n", "-P")
		}
	}
	b.ReportMetric(median(ours.wall)/median(lsof.wall), "wall/lsof")
	b.ReportMetric(median(ours.cpu)/median(lsof.cpu), "cpu/lsof")
	b.ReportMetric(median(ours.wall)/1e6, "ms")
	b.ReportMetric(median(ours.cpu)/float64(items)/1e3, "cpu-µs/file")
	before := mallocs()
	ask(b, c, dtc.StatusOpenFiles)
	b.ReportMetric(float64(mallocs()-before), "allocs/answer")
}
