//go:build linux

package e2e

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var faults = flag.Int("torture.faults", 2, "how often each fault comes in TestEndsOverFaults: kill -9 of the agent, of the monitor, a cut link")

// mortal is a process that ends as it is told.
type mortal struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	pid   int
	want  string // how it was made to end, as its line says it; "" while it lives
	ended time.Time
}

// newMortals starts n processes. They are gone after the test.
func newMortals(tb testing.TB, n int) []*mortal {
	tb.Helper()
	all := make([]*mortal, n)
	for i := range all {
		cmd := exec.Command("sh", "-c", `read code; exit "$code"`)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			tb.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		m := &mortal{cmd: cmd, stdin: stdin, pid: cmd.Process.Pid}
		all[i] = m
		tb.Cleanup(func() {
			if m.want == "" {
				cmd.Process.Kill()
				cmd.Wait()
			}
		})
	}
	return all
}

// end ends it in one way of many, and waits until it is reaped.
func (m *mortal) end(tb testing.TB) {
	tb.Helper()
	m.ended = time.Now()
	var err error
	if code := rand.IntN(400); code < 256 {
		m.want = fmt.Sprintf("exit_code=%d", code)
		_, err = fmt.Fprintln(m.stdin, code)
	} else {
		signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM}
		s := signals[code%len(signals)]
		m.want = fmt.Sprintf("signal=%d", s)
		err = m.cmd.Process.Signal(s)
	}
	if err != nil {
		tb.Fatal(err)
	}
	m.cmd.Wait()
}

// pidList joins pids as monitor_pid has them.
func pidList(all []*mortal) string {
	pids := make([]string, len(all))
	for i, m := range all {
		pids[i] = strconv.Itoa(m.pid)
	}
	return strings.Join(pids, ",")
}

// deathLine is one line of a death.
type deathLine struct {
	pid         int
	exit, event string
	bounded     bool // died_after and died_before
	line        string
}

var deathRE = regexp.MustCompile(`(?m)^\S+ host=\S+ address=\S+ pid=(\d+) .*?state=dead (\S+=\S+) .*event=(\S+)$`)

func deathLines(log string) []deathLine {
	var deaths []deathLine
	for _, m := range deathRE.FindAllStringSubmatch(log, -1) {
		pid, _ := strconv.Atoi(m[1])
		deaths = append(deaths, deathLine{pid, m[2], m[3], strings.Contains(m[0], " died_after="), m[0]})
	}
	return deaths
}

// span is a time in which something was down.
type span struct{ from, to time.Time }

// checkDeaths fails unless every end is told once, as it was or, where the
// agent did not run, with its bounds, and those that were seen in their order.
func checkDeaths(tb testing.TB, log string, all []*mortal, down []span) {
	tb.Helper()
	byPID := map[int]*mortal{}
	for _, m := range all {
		byPID[m.pid] = m
	}
	told, events := map[int]int{}, map[string]bool{}
	unknown := 0
	var last *mortal
	for _, d := range deathLines(log) {
		m := byPID[d.pid]
		if told[d.pid]++; m == nil || m.want == "" || told[d.pid] > 1 || events[d.event] {
			tb.Errorf("invented or told twice: %s", d.line)
			continue
		}
		events[d.event] = true
		if d.exit == "exit=unknown" {
			unknown++
			if !d.bounded || !slices.ContainsFunc(down, func(s span) bool { return !m.ended.Before(s.from) && !m.ended.After(s.to) }) {
				tb.Errorf("%d ended with %s at %s while the agent ran (it was down %v), and that is told as %s", d.pid, m.want, m.ended, down, d.line)
			}
			continue
		}
		if d.exit != m.want {
			tb.Errorf("%d ended with %s, told as %s", d.pid, m.want, d.line)
		}
		if last != nil && m.ended.Before(last.ended.Add(-time.Millisecond)) {
			tb.Errorf("%d ended %s before %d, and is told after it", m.pid, last.ended.Sub(m.ended), last.pid)
		}
		last = m
	}
	for _, m := range all {
		if m.want != "" && told[m.pid] == 0 {
			tb.Errorf("%d ended with %s at %s, and nobody says so", m.pid, m.want, m.ended)
		}
	}
	tb.Logf("%d ends told, %d of them with bounds of the time", len(told), unknown)
}

func ended(all []*mortal) int {
	n := 0
	for _, m := range all {
		if m.want != "" {
			n++
		}
	}
	return n
}

// TestEndsOverFaults ends processes while the agent and the monitor are killed
// and the link is cut: every end is told once.
func TestEndsOverFaults(t *testing.T) {
	f := newFleet(t, 1)
	f.startAgent(t, 1)
	all := newMortals(t, 30+25**faults)
	f.watch(t, 1, func() (pids []int) {
		for _, m := range all {
			pids = append(pids, m.pid)
		}
		return pids
	}()...)
	eventually(t, func() string { return f.processLog(1) }, func() bool {
		return strings.Count(f.processLog(1), "state=alive") == len(all)
	})

	var mu sync.Mutex // of all
	stop := make(chan struct{})
	var ending sync.WaitGroup
	ending.Go(func() {
		for _, m := range all {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rand.IntN(400)) * time.Millisecond):
			}
			mu.Lock()
			m.end(t)
			mu.Unlock()
		}
	})
	var kinds []string
	for range *faults {
		kinds = append(kinds, "agent", "monitor", "link")
	}
	rand.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	var down []span
	for i, kind := range kinds {
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		switch kind {
		case "agent":
			// What it saw in the moment of the kill it may not have noted.
			from := time.Now().Add(-100 * time.Millisecond)
			f.agents[1].kill9()
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
			f.startAgent(t, 1)
			f.waitAgent(t, 1)
			down = append(down, span{from, time.Now()})
		case "monitor":
			f.serve.kill9()
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
			f.startServe(t)
		case "link":
			f.cut(t, 1)
			long := time.Duration(200+rand.IntN(2000)) * time.Millisecond
			if i%4 == 0 {
				long += 10 * time.Second // the connection is given up
			}
			time.Sleep(long)
			f.heal(t, 1)
		}
	}
	close(stop)
	ending.Wait()
	want := ended(all)
	eventually(t, func() string { return fmt.Sprintf("%d of %d ends told", len(deathLines(f.processLog(1))), want) }, func() bool {
		return len(deathLines(f.processLog(1))) >= want
	})
	time.Sleep(2 * time.Second) // nothing more may come
	checkDeaths(t, f.processLog(1), all, down)
}

// waitAgent waits until agent i watches again: it answers, and has had its
// processes given back.
func (f *fleet) waitAgent(tb testing.TB, i int) {
	tb.Helper()
	eventually(tb, func() string { return "agent to answer:\n" + f.agents[i].log.String() }, func() bool {
		return strings.Contains(f.agents[i].log.String(), "listening")
	})
}

// BenchmarkEnds watches 5,000 processes: what the agent costs while nothing
// happens, how long from the kill to the line for 1,000 ends, and whether each
// is told once with its code or signal.
func BenchmarkEnds(b *testing.B) {
	const watched, ends = 5000, 1000
	for b.Loop() {
		l := newLone(b)
		all := newMortals(b, watched)
		xml := filepath.Join(l.home, "conf", "monitor.xml")
		entry := l.agentAt + "</ip_port>"
		writeFile(b, xml, strings.Replace(readFile(xml), entry, entry+"<monitor_pid>"+pidList(all)+"</monitor_pid>", 1))
		l.dtc(b, "reload")
		eventually(b, func() string { return "all alive" }, func() bool {
			return strings.Count(l.processLog(), "state=alive") == watched
		})
		time.Sleep(5 * time.Second)
		pid := l.agent.cmd.Process.Pid
		before, began := schedule(b, pid), cpu(pid)
		time.Sleep(30 * time.Second)
		b.ReportMetric(float64(cpu(pid)-began)/float64(10*time.Millisecond), "idle-30s-ticks")
		b.ReportMetric(float64((schedule(b, pid)-before).Microseconds())/1000, "idle-30s-cpu-ms")
		b.ReportMetric(float64(memory(b, pid, "VmRSS"))/1024, "agent-rss-MiB")

		var took []time.Duration
		log := l.openLog(b)
		defer log.Close()
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		buf := make([]byte, 16<<10)
		for _, m := range all[:ends] {
			m.want, m.ended = "signal=9", time.Now()
			m.cmd.Process.Kill()
			want := fmt.Sprintf(" pid=%d ", m.pid)
			for got := ""; !strings.Contains(got, want) && time.Since(m.ended) < patience; {
				n, _ := log.Read(buf)
				got += string(buf[:n])
				pause() // leaves the processors to those measured
			}
			took = append(took, time.Since(m.ended))
			m.cmd.Wait()
			time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
		}
		for _, m := range all[ends : 2*ends] {
			m.end(b) // as fast as can be
		}
		eventually(b, func() string { return "all told" }, func() bool { return len(deathLines(l.processLog())) >= 2*ends })
		checkDeaths(b, l.processLog(), all, nil)
		report(b, took, "kill-to-line")
		b.ReportMetric(float64(percentile(took, 0.99).Microseconds())/1000, "kill-to-line-p99-ms")
		b.ReportMetric(float64(slices.Max(took).Microseconds())/1000, "kill-to-line-max-ms")
	}
}

// schedule returns the time that a process has run, exactly.
func schedule(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	var all time.Duration
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for _, path := range tasks {
		n, _ := strconv.ParseInt(strings.Fields(readFile(path) + " 0")[0], 10, 64)
		all += time.Duration(n)
	}
	return all
}

// processLog returns what stands in the process logs of the host.
func (l *lone) processLog() string {
	paths, _ := filepath.Glob(filepath.Join(l.home, "logs", "127.0.0.1", "*_process_*.log"))
	var all strings.Builder
	for _, p := range paths {
		all.WriteString(readFile(p))
	}
	return all.String()
}

// openLog opens the newest process log at its end.
func (l *lone) openLog(tb testing.TB) *os.File {
	tb.Helper()
	paths, _ := filepath.Glob(filepath.Join(l.home, "logs", "127.0.0.1", "*_process_*.log"))
	if len(paths) == 0 {
		tb.Fatal("no process log")
	}
	f, err := os.Open(paths[len(paths)-1])
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		tb.Fatal(err)
	}
	return f
}

// TestFrozenAgent stops the agent for a time in which a process ends: the time of
// the end is told with its bounds, and how it ended.
func TestFrozenAgent(t *testing.T) {
	l := newLone(t)
	m := newMortals(t, 1)[0]
	xml := filepath.Join(l.home, "conf", "monitor.xml")
	entry := l.agentAt + "</ip_port>"
	writeFile(t, xml, strings.Replace(readFile(xml), entry, entry+"<monitor_pid>"+strconv.Itoa(m.pid)+"</monitor_pid>", 1))
	l.dtc(t, "reload")
	eventually(t, l.processLog, func() bool { return strings.Contains(l.processLog(), "state=alive") })
	time.Sleep(3 * time.Second) // it says now and then that it lives
	agent := l.agent.cmd.Process
	if err := agent.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	m.end(t)
	time.Sleep(6 * time.Second)
	if err := agent.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, l.processLog, func() bool { return strings.Contains(l.processLog(), "state=dead") })
	got := regexp.MustCompile(`state=dead (\S+) .*died_after=(\S+) died_before=(\S+) `).FindStringSubmatch(l.processLog())
	if got == nil || got[1] != m.want {
		t.Fatalf("ended with %s at %s, told as\n%s", m.want, m.ended, l.processLog())
	}
	after, err1 := time.Parse(time.RFC3339Nano, got[2])
	before, err2 := time.Parse(time.RFC3339Nano, got[3])
	if err1 != nil || err2 != nil || m.ended.Before(after) || m.ended.After(before) || before.Sub(after) > 15*time.Second {
		t.Errorf("ended at %s, told as\n%s", m.ended, l.processLog())
	}
}
