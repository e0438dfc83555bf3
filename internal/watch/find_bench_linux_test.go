package watch

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// crowd starts so many processes that sleep.
func crowd(tb testing.TB, n int, word string) {
	tb.Helper()
	perl(tb, fmt.Sprintf(`for (1..%d) { my $p = fork; if (!$p) { exec "/bin/sleep", "1000", "0.%s" } } select(undef, undef, undef, 1); print "ok\n"`, n, word))
}

// tenRules are rules of each kind that match nobody, or one process.
func tenRules() (rules []dtc.ProcessRule) {
	for i := range 5 {
		rules = append(rules,
			dtc.ProcessRule{Match: fmt.Sprintf(`^nginx: (master|worker) process.*%d$`, i), User: []string{"", "root"}[i%2]},
			dtc.ProcessRule{Exe: fmt.Sprintf("/usr/sbin/daemon%d", i)})
	}
	return rules
}

// BenchmarkScan looks once for ten rules among five thousand processes.
func BenchmarkScan(b *testing.B) {
	crowd(b, 5000, "1")
	f := newFinder(slog.New(slog.DiscardHandler))
	sels := selectors(b, tenRules()...)
	for b.Loop() {
		if _, errs := f.scan(b.Context(), sels); errs[0] != nil {
			b.Fatal(errs)
		}
	}
}

// BenchmarkNewcomer tells how soon a process is told that has started: from the
// call that starts it, in which its parent waits until it executes its program.
func BenchmarkNewcomer(b *testing.B) {
	f := newFinder(slog.New(slog.DiscardHandler))
	a := runFinder(b, f)
	sels := selectors(b, append(tenRules(), dtc.ProcessRule{Match: "^/bin/sleep 1000 0.5$"})...)
	f.want(sels)
	var took []time.Duration
	for b.Loop() {
		cmd := exec.Command("/bin/sleep", "1000", "0.5")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		at, _ := a.at(b, sels[10], cmd.Process.Pid)
		took = append(took, at.Sub(began))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	slices.Sort(took)
	for _, p := range []int{50, 99, 100} {
		b.ReportMetric(float64(took[(len(took)-1)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}

// BenchmarkIdle tells how much processor time a second takes in which nothing
// happens, with ten rules of a kind.
func BenchmarkIdle(b *testing.B) {
	pid := strconv.Itoa(unix.Getpid())
	kinds := map[string]func(i int) dtc.ProcessRule{
		"match": func(i int) dtc.ProcessRule { return dtc.ProcessRule{Match: fmt.Sprint("^x y ", i, "$")} },
		"exe":   func(i int) dtc.ProcessRule { return dtc.ProcessRule{Exe: fmt.Sprint("/usr/sbin/x", i)} },
		"pidfile": func(int) dtc.ProcessRule {
			path := pidfile(b, pid)
			_ = unix.Utimes(path, []unix.Timeval{unix.NsecToTimeval(time.Now().UnixNano()), unix.NsecToTimeval(time.Now().Add(-10 * time.Second).UnixNano())})
			return dtc.ProcessRule{PIDFile: path}
		},
		"unit": func(i int) dtc.ProcessRule {
			name := fmt.Sprint(filepath.Base(b.Name()), i, ".service")
			dir := group(b, hierarchies(b)[0], "system.slice", name)
			cmd, _ := perl(b, `print "ok\n"`)
			join(b, dir, cmd.Process.Pid)
			return dtc.ProcessRule{Unit: name}
		},
		"port": func(int) dtc.ProcessRule {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = l.Close() })
			return dtc.ProcessRule{Port: l.Addr().(*net.TCPAddr).Port}
		},
	}
	for kind, rule := range kinds {
		b.Run(kind, func(b *testing.B) {
			for way, prepare := range tellers() {
				b.Run(way, func(b *testing.B) {
					f := newFinder(slog.New(slog.DiscardHandler))
					prepare(f)
					runFinder(b, f)
					var rules []dtc.ProcessRule
					for i := range 10 {
						rules = append(rules, rule(i))
					}
					f.want(selectors(b, rules...))
					time.Sleep(8 * time.Second) // the looks at the beginning
					before, started := spent(b), forks(b)
					for b.Loop() {
						time.Sleep(time.Second)
					}
					b.ReportMetric(float64((spent(b)-before).Microseconds())/float64(b.N), "cpu-µs/s")
					b.ReportMetric(float64(forks(b)-started)/float64(b.N), "starts/s")
				})
			}
		})
	}
}

// forks counts the processes, and threads, that the machine has started.
func forks(tb testing.TB) (n int) {
	tb.Helper()
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "\nprocesses ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// spent is the processor time of this process.
func spent(tb testing.TB) time.Duration {
	tb.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
