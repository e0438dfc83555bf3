package status

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// crowd starts n processes that sleep.
func crowd(tb testing.TB, n int, change func(*exec.Cmd)) {
	tb.Helper()
	cmd := exec.Command("/bin/sh", "-c", `i=0; while [ $i -lt "$0" ]; do /bin/sleep 1000 & i=$((i+1)); done; echo ready; wait`, strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if change != nil {
		change(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 16)); err != nil {
		tb.Fatal(err)
	}
}

// spent is what something took.
type spent struct{ wall, cpu []time.Duration }

// usage is what this program, or those of its children that ended, have used of
// the processors.
func usage(who int) time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (s *spent) measure(who int, run func()) {
	start, cpu := time.Now(), usage(who)
	run()
	s.wall = append(s.wall, time.Since(start))
	s.cpu = append(s.cpu, usage(who)-cpu)
}

// measureTool measures a whole program, from its start to its end.
func (s *spent) measureTool(b *testing.B, name string, args ...string) {
	b.Helper()
	s.measure(unix.RUSAGE_CHILDREN, func() {
		if err := exec.Command(name, args...).Run(); err != nil { // its output goes to /dev/null
			b.Fatal(err)
		}
	})
}

func median(d []time.Duration) float64 {
	return float64(slices.Sorted(slices.Values(d))[len(d)/2])
}

// ask asks for a status and throws the answer away. It returns how many items
// there were.
func ask(tb testing.TB, c *Collector, status dtc.Status) (items int) {
	tb.Helper()
	err := c.Get(tb.Context(), dtc.Query{Status: status}, func(r *dtc.Report) error {
		items += len(r.Process) + len(r.OpenFiles)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return items
}

// rounds is how often each side of a comparison is measured, in turns.
const rounds = 11

// BenchmarkProcesses pairs the collector with ps aux, and with the least that
// the kernel must be asked for the same answer.
func BenchmarkProcesses(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			crowd(b, n, nil)
			c, bare := New(Options{}), newBareLoop(b)
			processes := ask(b, c, dtc.StatusProcess)
			var ours, ps, least spent
			for b.Loop() {
				for range rounds {
					ours.measure(unix.RUSAGE_SELF, func() { ask(b, c, dtc.StatusProcess) })
					ps.measureTool(b, "ps", "aux")
					least.measure(unix.RUSAGE_SELF, func() { bare.run(b) })
				}
			}
			b.ReportMetric(median(ours.wall)/median(ps.wall), "wall/ps")
			b.ReportMetric(median(ours.cpu)/median(ps.cpu), "cpu/ps")
			b.ReportMetric(median(ours.cpu)/median(least.cpu), "cpu/bare")
			b.ReportMetric(median(ours.wall)/1e6, "ms")
			b.ReportMetric(median(ours.cpu)/float64(processes)/1e3, "cpu-µs/process")
			before := mallocs()
			for range rounds {
				ask(b, c, dtc.StatusProcess)
			}
			b.ReportMetric(float64(mallocs()-before)/rounds, "allocs/answer")
		})
	}
}

// mallocs is how many allocations this program has made.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// bareLoop reads of every process the files that ps aux needs, and does nothing
// with them.
type bareLoop struct {
	in   *proc.Scanner
	root int
	pids []int
	path []byte
	buf  []byte
	stat unix.Statx_t
}

func newBareLoop(b *testing.B) *bareLoop {
	b.Helper()
	in, err := proc.Default.Scan()
	if err != nil {
		b.Fatal(err)
	}
	root, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = unix.Close(root)
	})
	return &bareLoop{in: in, root: root, buf: make([]byte, 128<<10)}
}

func (l *bareLoop) run(b *testing.B) {
	b.Helper()
	var err error
	if l.pids, err = l.in.PIDs(l.pids[:0]); err != nil {
		b.Fatal(err)
	}
	for _, pid := range l.pids {
		l.path = append(strconv.AppendInt(l.path[:0], int64(pid), 10), 0)
		_, _, _ = unix.Syscall6(unix.SYS_STATX, uintptr(l.root), uintptr(unsafe.Pointer(&l.path[0])), unix.AT_STATX_DONT_SYNC,
			unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&l.stat)), 0)
		for _, file := range []string{"/stat", "/status", "/cmdline"} {
			l.path = strconv.AppendInt(l.path[:0], int64(pid), 10)
			l.read(file)
		}
	}
}

func (l *bareLoop) read(file string) {
	l.path = append(append(l.path, file...), 0)
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(l.root), uintptr(unsafe.Pointer(&l.path[0])), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return
	}
	_, _ = unix.Read(int(fd), l.buf)
	_ = unix.Close(int(fd))
}

// BenchmarkOpenFiles pairs the collector with lsof.
func BenchmarkOpenFiles(b *testing.B) {
	null, err := os.Open("/dev/null")
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	crowd(b, 200, func(cmd *exec.Cmd) { cmd.ExtraFiles = slices.Repeat([]*os.File{null}, 47) })
	c := New(Options{})
	files := ask(b, c, dtc.StatusOpenFiles)
	var ours, lsof spent
	for b.Loop() {
		for range rounds {
			ours.measure(unix.RUSAGE_SELF, func() { ask(b, c, dtc.StatusOpenFiles) })
			lsof.measureTool(b, "lsof", "-w", "-n", "-P", "-K", "i")
		}
	}
	b.ReportMetric(median(ours.wall)/median(lsof.wall), "wall/lsof")
	b.ReportMetric(median(ours.cpu)/median(lsof.cpu), "cpu/lsof")
	b.ReportMetric(median(ours.wall)/1e6, "ms")
	b.ReportMetric(median(ours.cpu)/float64(files)/1e3, "cpu-µs/file")
}
