//go:build linux

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/ship"
	"dtc/internal/wire"
)

// share is what a process takes of a processor over a time, in percent.
func share(b *testing.B, d time.Duration, pids ...int) []float64 {
	b.Helper()
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		before[i] = schedule(b, pid)
	}
	began := time.Now()
	time.Sleep(d)
	all := make([]float64, len(pids))
	for i, pid := range pids {
		all[i] = 100 * float64(schedule(b, pid)-before[i]) / float64(time.Since(began))
	}
	return all
}

// unlikeSource tells which of the copies is not what its source is, "" if all are.
func unlikeSource(sources []string, copied func(source string) string) string {
	for _, path := range sources {
		if readFile(path) != readFile(copied(path)) {
			return path
		}
	}
	return ""
}

// BenchmarkFollowMany follows 1,000 and 10,000 files of one host that get 100
// lines a second in all: how long the first contact takes, from the agent's
// start until all that stands in the files is in the copies, and what both sides
// take from then on.
func BenchmarkFollowMany(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				followMany(b, n)
			}
		})
	}
}

func followMany(b *testing.B, n int) {
	b.Helper()
	const window, every = 30 * time.Second, 10 * time.Millisecond
	dir := b.TempDir()
	l := newLone(b)
	l.agent.kill9()
	sources := make([]string, n)
	for i := range sources {
		sources[i] = filepath.Join(dir, fmt.Sprintf("f%05d.log", i))
		writeFile(b, sources[i], fmt.Sprintf("the first line of file %d\n", i))
	}
	copied := func(source string) string {
		return filepath.Join(l.home, "logs", "127.0.0.1", filepath.Base(source))
	}
	writeFile(b, filepath.Join(l.agentHome, "conf", "agent.xml"), fmt.Sprintf(
		"<agent><local_host>%s</local_host><monitor_host>%s</monitor_host><monitor_files><file_alias>%s/*.log,{name}</file_alias></monitor_files></agent>",
		l.agentAt, l.monitorAt, dir))
	namespace("").must(b, "sync")
	agent, monitor := time.Duration(0), schedule(b, l.serve.cmd.Process.Pid)
	began := time.Now()
	l.agent = namespace("").start(b, agentPath(), "run", "--home", l.agentHome)
	for left := sources; len(left) > 0; { // in any order: those that are there are passed over
		if info, err := os.Stat(copied(left[0])); err != nil || info.Size() == 0 {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		left = left[1:]
	}
	b.ReportMetric(time.Since(began).Seconds(), "first-contact-s")
	agent, monitor = schedule(b, l.agent.cmd.Process.Pid)-agent, schedule(b, l.serve.cmd.Process.Pid)-monitor
	b.ReportMetric(agent.Seconds(), "first-contact-agent-cpu-s")
	b.ReportMetric(monitor.Seconds(), "first-contact-monitor-cpu-s")

	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { writeLines(ctx, b, sources, every) })
	time.Sleep(15 * time.Second) // nothing of the first contact is left
	taken := share(b, window, l.agent.cmd.Process.Pid, l.serve.cmd.Process.Pid)
	stop()
	wg.Wait()
	b.ReportMetric(taken[0], "agent-%")
	b.ReportMetric(taken[1], "monitor-%")
	b.ReportMetric(float64(memory(b, l.agent.cmd.Process.Pid, "VmHWM"))/1024, "agent-peak-MiB")
	b.ReportMetric(float64(memory(b, l.serve.cmd.Process.Pid, "VmHWM"))/1024, "monitor-peak-MiB")
	eventually(b, func() string { return "not the same: " + unlikeSource(sources, copied) }, func() bool { return unlikeSource(sources, copied) == "" })
}

// writeLines appends a line to one file after the other, in an order that mixes
// them, until ctx is done.
func writeLines(ctx context.Context, b *testing.B, paths []string, every time.Duration) {
	b.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f, err := os.OpenFile(paths[i*7919%len(paths)], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			b.Error(err)
			return
		}
		fmt.Fprintf(f, "line %d of all: something happened somewhere, and somebody wrote it down in a line of about 120 bytes, as they do\n", i)
		f.Close()
	}
}

// BenchmarkThousandFollowers has 1,000 agents on one monitor, each with a file
// that gets a line each 10 s: 100 lines a second in all. The agents are in this
// process, each with a certificate and a connection of its own.
func BenchmarkThousandFollowers(b *testing.B) {
	const agents, window = 1000, 30 * time.Second
	l := newLone(b)
	l.agent.kill9()
	dir := b.TempDir()
	sources := make([]string, agents)
	ips := map[string]string{}
	for i := range sources {
		sources[i] = filepath.Join(dir, fmt.Sprintf("a%04d.log", i))
		ips[sources[i]] = fmt.Sprintf("127.1.%d.%d", i/250, i%250+1)
		writeFile(b, sources[i], fmt.Sprintf("the first line of agent %d\n", i))
	}
	copied := func(source string) string {
		return filepath.Join(l.home, "logs", ips[source], filepath.Base(source))
	}
	followers := make([]*follower, agents)
	for i, path := range sources {
		followers[i] = l.newFollower(b, ips[path], path)
	}
	for b.Loop() {
		monitor := schedule(b, l.serve.cmd.Process.Pid)
		ctx, stop := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		began := time.Now()
		for _, f := range followers {
			f.run(ctx, &wg)
		}
		eventually(b, func() string { return "not copied: " + unlikeSource(sources, copied) }, func() bool { return unlikeSource(sources, copied) == "" })
		b.ReportMetric(time.Since(began).Seconds(), "first-contact-s")
		b.ReportMetric((schedule(b, l.serve.cmd.Process.Pid) - monitor).Seconds(), "first-contact-monitor-cpu-s")
		lines, end := context.WithCancel(ctx)
		wg.Go(func() { writeLines(lines, b, sources, 10*time.Millisecond) })
		time.Sleep(5 * time.Second)
		b.ReportMetric(share(b, window, l.serve.cmd.Process.Pid)[0], "monitor-%")
		end()
		eventually(b, func() string { return "not the same: " + unlikeSource(sources, copied) }, func() bool { return unlikeSource(sources, copied) == "" })
		b.ReportMetric(float64(memory(b, l.serve.cmd.Process.Pid, "VmHWM"))/1024, "monitor-peak-MiB")
		b.ReportMetric(float64(memory(b, l.serve.cmd.Process.Pid, "VmRSS"))/1024, "monitor-rss-MiB")
		stop()
		wg.Wait()
	}
}

// follower is an agent in this process that follows one file.
type follower struct {
	*ship.Shipper

	creds *ca.Credentials
	to    netip.AddrPort
}

// newFollower makes an agent with an ip and a certificate for it.
func (l *lone) newFollower(b *testing.B, ip, path string) *follower {
	b.Helper()
	home := b.TempDir()
	l.dtc(b, "issue", strings.ReplaceAll(ip, ".", "-"), "--ip", ip, "--out", home)
	creds, err := ca.Load(filepath.Join(home, "conf", "tls"), dtc.RoleAgent)
	if err != nil {
		b.Fatal(err)
	}
	return &follower{
		Shipper: ship.New(ship.Options{
			Files: []ship.File{{Path: path, Alias: filepath.Base(path)}}, Boot: "bench", Logger: slog.New(slog.DiscardHandler),
		}),
		creds: creds, to: netip.MustParseAddrPort(l.monitorAt),
	}
}

// run follows the file, and connects again and again, until ctx is done.
func (f *follower) run(ctx context.Context, wg *sync.WaitGroup) {
	wg.Go(func() { _ = f.Run(ctx) })
	wg.Go(func() {
		for ctx.Err() == nil {
			conn, err := wire.Dialer{TLS: f.creds.ToMonitor()}.Dial(ctx, f.to, wire.ProtoLog)
			if err == nil {
				_ = f.Serve(ctx, wire.NewLink(conn))
			}
		}
	})
}
