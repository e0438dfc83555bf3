//go:build linux

package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// crowd starts n processes that sleep, each with as many descriptors more as
// files, and ends them with the benchmark.
func crowd(b *testing.B, n int, files ...*os.File) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "/bin/sh", "-c", `i=0; while [ $i -lt "$0" ]; do /bin/sleep 1000 & i=$((i+1)); done; echo ready; wait`, strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.ExtraFiles = files
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		b.Fatal(err)
	}
}

// contest runs commands in turns, so that whatever else the machine does hits
// them alike, and prints the median of each and its ratio to that of the first.
func contest(b *testing.B, rounds int, names []string, commands ...[]string) {
	b.Helper()
	took := make([][]time.Duration, len(commands))
	for b.Loop() {
		for range rounds {
			for i, c := range commands {
				took[i] = append(took[i], timed(b, c[0], c[1:]...))
			}
		}
	}
	for i, name := range names {
		report(b, took[i], name)
		if i > 0 {
			b.ReportMetric(float64(percentile(took[0], 0.5))/float64(percentile(took[i], 0.5)), names[0]+"/"+name)
		}
	}
}

// BenchmarkGetProcess pairs dtc get process on a small host with ps aux there,
// over ssh with a connection of its own, and over one that is kept.
func BenchmarkGetProcess(b *testing.B) {
	l := newLone(b)
	ssh := append([]string{"ssh"}, newSSH(b)...)
	master := append(slices.Clone(ssh), "-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", "ControlPath="+filepath.Join(b.TempDir(), "mux"), "127.0.0.1")
	timed(b, "ssh", append(slices.Clone(master[1:]), "true")...)
	b.Cleanup(func() { exec.Command("ssh", append(slices.Clone(master[1:]), "-O", "exit")...).Run() })
	ask, ps := []string{dtcPath(), "get", "process", "--home", l.home}, []string{"ps", "aux"}
	b.Run("kept", func(b *testing.B) {
		contest(b, 31, []string{"dtc", "ssh-kept", "ps"}, ask, append(slices.Clone(master), "ps", "aux"), ps)
	})
	b.Run("cold", func(b *testing.B) {
		contest(b, 11, []string{"dtc", "ssh-cold"}, ask, append(slices.Clone(ssh), "127.0.0.1", "ps", "aux"))
	})
}

// BenchmarkGetProcess5000 pairs dtc get process, start and TLS included, with a
// local ps aux, at 5,000 processes.
func BenchmarkGetProcess5000(b *testing.B) {
	l := newLone(b)
	crowd(b, 5000)
	contest(b, 11, []string{"dtc", "ps"}, []string{dtcPath(), "get", "process", "--home", l.home}, []string{"ps", "aux"})
}

// BenchmarkGetOpenFiles pairs dtc get openfiles with a local lsof, at 10,000
// descriptors of 200 processes.
func BenchmarkGetOpenFiles(b *testing.B) {
	l := newLone(b)
	null, err := os.Open("/dev/null")
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	crowd(b, 200, slices.Repeat([]*os.File{null}, 47)...)
	contest(b, 11, []string{"dtc", "lsof"}, []string{dtcPath(), "get", "openfiles", "--home", l.home}, []string{"lsof", "-n", "-P"})
}

// BenchmarkAgentMemory tells how large the agent is after a hundred lists of
// 5,000 processes, and a minute later.
func BenchmarkAgentMemory(b *testing.B) {
	const pause, most = 60 * time.Second, 100
	l := newLone(b)
	crowd(b, 5000)
	for b.Loop() {
		for range most {
			timed(b, dtcPath(), "get", "process", "--home", l.home)
		}
		b.ReportMetric(mebibytes(b, l), "MiB-after-100")
		time.Sleep(pause)
		b.ReportMetric(mebibytes(b, l), "MiB-a-minute-later")
	}
}

func mebibytes(b *testing.B, l *lone) float64 {
	b.Helper()
	return float64(memory(b, l.agent.cmd.Process.Pid, "VmRSS")) / 1024
}

// BenchmarkManyDescriptors tells how large both sides become with an answer of a
// million descriptors, and how long it takes.
func BenchmarkManyDescriptors(b *testing.B) {
	const processes, each = 500, 2000
	l := newLone(b)
	raise := syscall.Rlimit{Cur: 1 << 14, Max: 1 << 14}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raise); err != nil {
		b.Fatal(err)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	crowd(b, processes, slices.Repeat([]*os.File{null}, each)...)
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), dtcPath(), "get", "openfiles", "--home", l.home, "--timeout", "120s")
		lines, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, lines)
		if err != nil || n < processes*each*60 {
			b.Fatalf("%d bytes, %v", n, err)
		}
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
		usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			b.Fatalf("%T", cmd.ProcessState.SysUsage())
		}
		b.ReportMetric(time.Since(began).Seconds(), "s")
		b.ReportMetric(float64(usage.Maxrss)/1024, "MiB-of-dtc")
		b.ReportMetric(float64(memory(b, l.agent.cmd.Process.Pid, "VmHWM"))/1024, "MiB-of-agent")
	}
}
