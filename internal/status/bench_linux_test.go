package status

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// crowd starts n processes that sleep.
func crowd(b *testing.B, n int, change func(*exec.Cmd)) {
	b.Helper()
	cmd := exec.Command("/bin/sh", "-c", `i=0; while [ $i -lt "$0" ]; do /bin/sleep 1000 & i=$((i+1)); done; echo ready; wait`, strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if change != nil {
		change(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 16)); err != nil {
		b.Fatal(err)
	}
}

// cpuTime is what this program and its children that ended have used.
func cpuTime() time.Duration {
	var self, children unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &self)
	_ = unix.Getrusage(unix.RUSAGE_CHILDREN, &children)
	return time.Duration(self.Utime.Nano() + self.Stime.Nano() + children.Utime.Nano() + children.Stime.Nano())
}

// measure answers a query again and again, and compares it with a tool that
// says the same: in wall time and in processor time.
func measure(b *testing.B, status dtc.Status, name string, args ...string) {
	b.Helper()
	c := New(Options{})
	r := list(b, c, status)
	items := float64(len(r.Process) + len(r.OpenFiles))
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		err := c.Get(b.Context(), dtc.Query{Status: status}, func(*dtc.Report) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	n := float64(b.N)
	ourCPU, ourTime := float64(cpuTime()-cpu)/n, float64(b.Elapsed())/n

	const rounds = 5
	start, cpu := time.Now(), cpuTime()
	for range rounds {
		if out, err := exec.Command(name, args...).Output(); err != nil && len(out) == 0 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(ourTime/(float64(time.Since(start))/rounds), "time/"+name)
	b.ReportMetric(ourCPU/(float64(cpuTime()-cpu)/rounds), "cpu/"+name)
	b.ReportMetric(ourCPU/items/1e3, "cpu-µs/item")
	b.ReportMetric(items, "items")
}

const benchProcesses = 1000

func BenchmarkProcesses(b *testing.B) {
	crowd(b, benchProcesses, nil)
	measure(b, dtc.StatusProcess, "ps", "aux")
}

// BenchmarkProcessesBare is the least that the kernel must be asked for the same
// answer.
func BenchmarkProcessesBare(b *testing.B) {
	crowd(b, benchProcesses, nil)
	in, err := proc.Default.Scan()
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	pids, err := in.PIDs(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		if pids, err = in.PIDs(pids[:0]); err != nil {
			b.Fatal(err)
		}
		for _, pid := range pids {
			if in.Enter(pid) != nil {
				continue
			}
			_, _ = in.Read("stat")
			_, _ = in.Read("status")
			_, _ = in.Read("cmdline")
		}
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N)/float64(len(pids))/1e3, "cpu-µs/item")
}

func BenchmarkOpenFiles(b *testing.B) {
	null, err := os.Open("/dev/null")
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	crowd(b, 300, func(cmd *exec.Cmd) { cmd.ExtraFiles = slices.Repeat([]*os.File{null}, 35) })
	measure(b, dtc.StatusOpenFiles, "lsof", "-n", "-P", "-K", "i")
}
