//go:build linux

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The figures are pairs: what DTC takes and what users have today, in turns in
// one run, as the machine may be shared. `make bench` prints them.

// median and percentile of durations.
func percentile(d []time.Duration, p float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(p*float64(len(s))))]
}

func report(b *testing.B, d []time.Duration, name string) {
	b.Helper()
	b.ReportMetric(float64(percentile(d, 0.5).Microseconds())/1000, name+"-p50-ms")
}

// timed runs a command and returns how long it took.
func timed(b *testing.B, name string, args ...string) time.Duration {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), name, args...)
	cmd.Stdout = nil
	began := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return time.Since(began)
}

// newSSH starts an sshd of its own on the loopback and returns the arguments
// that reach it.
func newSSH(b *testing.B) []string {
	b.Helper()
	dir, port := b.TempDir(), strconv.Itoa(int(freePort(b)))
	os.MkdirAll("/run/sshd", 0o755)
	for _, key := range []string{"host", "user"} {
		namespace("").must(b, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	conf := filepath.Join(dir, "sshd_config")
	writeFile(b, conf, fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\nMaxStartups 100\n", port, dir, dir))
	// A shell's start-up file on this machine is no part of what ssh costs.
	hide := `for f in ~/.bashrc ~/.ssh/rc; do [ -e "$f" ] && mount --bind /dev/null "$f"; done; exec /usr/sbin/sshd -D -e -f "$0"`
	namespace("").start(b, "unshare", "--mount", "sh", "-c", hide, conf)
	args := []string{"-p", port, "-i", filepath.Join(dir, "user"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"}
	eventually(b, func() string { return "sshd to answer" }, func() bool {
		return namespace("").run(b, "ssh", append(slices.Clone(args), "127.0.0.1", "true")...).code == 0
	})
	return args
}

// BenchmarkKillToLog measures from kill(2) with SIGKILL to the line in the
// process log.
func BenchmarkKillToLog(b *testing.B) {
	l := newLone(b)
	var took []time.Duration
	for b.Loop() {
		took = append(took, killAll(b, l, 200)...)
	}
	report(b, took, "kill-to-line")
	b.ReportMetric(float64(percentile(took, 0.99).Microseconds())/1000, "kill-to-line-p99-ms")
	b.ReportMetric(float64(slices.Max(took).Microseconds())/1000, "kill-to-line-max-ms")
}

// killAll starts n processes, has them watched, kills them one after the other
// and returns how long each line took.
func killAll(b *testing.B, l *lone, n int) []time.Duration {
	b.Helper()
	path := func() string {
		paths, _ := filepath.Glob(filepath.Join(l.home, "logs", "127.0.0.1", "*_process_*.log"))
		if len(paths) == 0 {
			return ""
		}
		return paths[len(paths)-1]
	}
	alive := strings.Count(readFile(path()), "state=alive")
	var pids []string
	var all []*exec.Cmd
	for range n {
		c := spawn(b, "", "sleep", "600")
		all, pids = append(all, c), append(pids, strconv.Itoa(c.Process.Pid))
	}
	xml := filepath.Join(l.home, "conf", "monitor.xml")
	entry := l.agentAt + "</ip_port>"
	before := readFile(xml)
	writeFile(b, xml, strings.Replace(before, entry, entry+"<monitor_pid>"+strings.Join(pids, ",")+"</monitor_pid>", 1))
	l.dtc(b, "reload")
	eventually(b, func() string { return "all alive" }, func() bool {
		return strings.Count(readFile(path()), "state=alive") == alive+n
	})
	f, err := os.Open(path())
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	buf := make([]byte, 4096)
	for _, c := range all {
		began := time.Now()
		c.Process.Kill()
		want := fmt.Sprintf("pid=%d name=sleep state=dead", c.Process.Pid)
		for got := ""; !strings.Contains(got, want) && time.Since(began) < patience; {
			k, _ := f.Read(buf)
			got += string(buf[:k])
			pause() // leaves the processors to those measured
		}
		took = append(took, time.Since(began))
		time.Sleep(2 * time.Millisecond)
	}
	writeFile(b, xml, before)
	return took
}

// pause waits for about 0.1 ms: finer than time.Sleep on an idle machine.
func pause() {
	_ = syscall.Nanosleep(&syscall.Timespec{Nsec: 50_000}, nil)
}

// cpu returns the processor time that a process has taken.
func cpu(pid int) time.Duration {
	text := readFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory returns a line of /proc/PID/status in KiB.
func memory(tb testing.TB, pid int, key string) int64 {
	tb.Helper()
	for line := range strings.Lines(readFile(fmt.Sprintf("/proc/%d/status", pid))) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	tb.Fatalf("no %s of process %d", key, pid)
	return 0
}

// BenchmarkIdleAgent measures what an agent costs that nobody asks: memory,
// and processor time over 20 s.
func BenchmarkIdleAgent(b *testing.B) {
	l := newLone(b, filepath.Join(b.TempDir(), "app.log"))
	pid := l.agent.cmd.Process.Pid
	for b.Loop() {
		time.Sleep(5 * time.Second)
		before := cpu(pid)
		time.Sleep(20 * time.Second)
		b.ReportMetric(float64((cpu(pid)-before).Milliseconds())/20, "cpu-ms/s")
		b.ReportMetric(float64(memory(b, pid, "VmRSS"))/1024, "rss-MiB")
	}
}

// TestIdleAgentIsSmall holds the promise of the first day: 15 MiB, and no
// processor time to speak of.
func TestIdleAgentIsSmall(t *testing.T) {
	l := newLone(t, filepath.Join(t.TempDir(), "app.log"))
	pid := l.agent.cmd.Process.Pid
	l.dtc(t, "get", "process")
	time.Sleep(3 * time.Second)
	before := cpu(pid)
	time.Sleep(5 * time.Second)
	if used := cpu(pid) - before; used > 100*time.Millisecond {
		t.Errorf("an idle agent took %s of processor time in 5 s", used)
	}
	if rss := memory(t, pid, "VmRSS"); rss > 15<<10 {
		t.Errorf("an idle agent has %d KiB resident, promised are 15 MiB", rss)
	}
}
