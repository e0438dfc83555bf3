//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The figures of following. What is compared stands side by side in one run, in
// turns: the machine may be shared, and the quotient of a pair counts.

// numberedLines makes a log of a size: lines of 128 bytes with their numbers.
func numberedLines(tb testing.TB, path string, size int64) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	out := bufio.NewWriterSize(f, 1<<20)
	for i := range size / 128 {
		fmt.Fprintf(out, "2026-11-22T07:15:01.%06dZ web1 app[812]: request %010d took 17.3 ms and was answered with 200, %025d\n", i%1e6, i, i*i)
	}
	if err := out.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != size {
		tb.Fatalf("%d bytes of %d, %v", info.Size(), size, err)
	}
}

// turn is what one copy of a file took.
type turn struct {
	wall, cpu time.Duration // cpu: of both sides
}

func medianOf(turns []turn, of func(turn) time.Duration) float64 {
	var all []time.Duration
	for _, t := range turns {
		all = append(all, of(t))
	}
	return percentile(all, 0.5).Seconds()
}

func wallOf(t turn) time.Duration { return t.wall }
func cpuOf(t turn) time.Duration  { return t.cpu }

// quotients returns the quotients of what a and b took, pair by pair, sorted.
func quotients(a, b []turn, of func(turn) time.Duration) []float64 {
	var all []float64
	for i := range a {
		all = append(all, float64(of(a[i]))/float64(of(b[i])))
	}
	slices.Sort(all)
	return all
}

// settle has the disk at rest, and memory at hand: a virtual machine may have
// given its free memory back, and whoever comes first pays for what comes again.
func settle(b *testing.B) {
	b.Helper()
	namespace("").must(b, "sync")
	warm := filepath.Join("/dev/shm", fmt.Sprintf("dtc-bench-%d", os.Getpid()))
	namespace("").must(b, "sh", "-c", `head -c 1500M /dev/zero >"$0"; rm "$0"`, warm)
}

// waitSize waits until a file has a size, and calls look now and then.
func waitSize(b *testing.B, path string, size int64, look func()) {
	b.Helper()
	for deadline := time.Now().Add(3 * patience); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s has not come to %d bytes", path, size)
		}
		look()
	}
}

// bare is a plain copy over TLS: two processes, as an agent and a monitor are.
type bare struct {
	program, to, at string
	receiver        *daemon
}

func newBare(b *testing.B, dir string) *bare {
	b.Helper()
	c := &bare{program: filepath.Join(b.TempDir(), "tlscopy"), to: filepath.Join(dir, "bare")}
	namespace("").must(b, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", c.program, "./testdata/tlscopy")
	c.receiver = namespace("").start(b, c.program, "receive", c.to)
	eventually(b, c.receiver.log.String, func() bool { return strings.HasSuffix(c.receiver.log.String(), "\n") })
	c.at = strings.TrimSpace(c.receiver.log.String())
	return c
}

// copy copies a file.
func (c *bare) copy(b *testing.B, from string, size int64) turn {
	b.Helper()
	before := schedule(b, c.receiver.cmd.Process.Pid)
	cmd := exec.CommandContext(b.Context(), c.program, "send", c.at, from)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	waitSize(b, c.to, size, func() {})
	t := turn{wall: time.Since(began)}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	t.cpu = schedule(b, c.receiver.cmd.Process.Pid) - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	namespace("").must(b, "cmp", from, c.to)
	if err := os.Remove(c.to); err != nil {
		b.Fatal(err)
	}
	return t
}

// peaks is the most memory that the two sides had, in MiB.
type peaks struct{ agent, monitor float64 }

// follow copies a file by following it: from the agent's start to the last byte.
// What of the copy is not durable then counts for the processors. Afterwards the
// monitor knows nothing of the file.
func (l *lone) follow(b *testing.B, from string, size int64, p *peaks) turn {
	b.Helper()
	writeFile(b, filepath.Join(l.agentHome, "conf", "agent.xml"), agentXML(l.agentAt, l.monitorAt, from))
	copied := filepath.Join(l.home, "logs", "127.0.0.1", filepath.Base(from))
	before := schedule(b, l.serve.cmd.Process.Pid)
	began := time.Now()
	l.agent = namespace("").start(b, agentPath(), "run", "--home", l.agentHome)
	waitSize(b, copied, size, func() {})
	t := turn{wall: time.Since(began)}
	time.Sleep(time.Second) // until all of it is durable
	t.cpu = schedule(b, l.serve.cmd.Process.Pid) - before + schedule(b, l.agent.cmd.Process.Pid)
	p.agent = max(p.agent, float64(memory(b, l.agent.cmd.Process.Pid, "VmHWM"))/1024)
	p.monitor = max(p.monitor, float64(memory(b, l.serve.cmd.Process.Pid, "VmHWM"))/1024)
	namespace("").must(b, "cmp", from, copied)
	l.agent.kill9()
	l.serve.stop(b)
	for _, path := range []string{copied, filepath.Join(filepath.Dir(copied), "."+filepath.Base(from)+".dtc")} {
		if err := os.Remove(path); err != nil {
			b.Fatal(err)
		}
	}
	l.restart(b)
	return t
}

// restart starts the service, and waits until it listens.
func (l *lone) restart(b *testing.B) {
	b.Helper()
	l.serve = namespace("").start(b, dtcPath(), "serve", "--home", l.home)
	eventually(b, l.serve.log.String, func() bool {
		return namespace("").run(b, dtcPath(), "reload", "--home", l.home).code == 0
	})
}

// BenchmarkFollowGiB pairs the copy of 1 GiB, from the agent's cold start to the
// last byte, with a plain TLS copy of the same file by two processes: read, send
// in frames of 256 KiB, append.
func BenchmarkFollowGiB(b *testing.B) {
	const size, rounds = 1 << 30, 7
	dir := b.TempDir()
	file := filepath.Join(dir, "big.log")
	numberedLines(b, file, size)
	l := newLone(b)
	l.agent.kill9()
	plain := newBare(b, dir)
	for b.Loop() {
		var p peaks
		var bares, ours []turn
		for i := range rounds + 1 {
			settle(b)
			a := plain.copy(b, file, size)
			settle(b)
			o := l.follow(b, file, size, &p)
			if i > 0 { // the first is for warming up
				bares, ours = append(bares, a), append(ours, o)
			}
		}
		b.ReportMetric(size/1e6/medianOf(bares, wallOf), "bare-MB/s")
		b.ReportMetric(size/1e6/medianOf(ours, wallOf), "dtc-MB/s")
		rates, cpus := quotients(bares, ours, wallOf), quotients(ours, bares, cpuOf)
		b.ReportMetric(rates[len(rates)/2], "rate-dtc/bare")
		b.ReportMetric(rates[0], "rate-dtc/bare-least")
		b.ReportMetric(medianOf(ours, cpuOf), "dtc-cpu-s/GiB")
		b.ReportMetric(medianOf(bares, cpuOf), "bare-cpu-s/GiB")
		b.ReportMetric(cpus[len(cpus)/2], "cpu-dtc/bare")
		b.ReportMetric(p.agent, "agent-peak-MiB")
		b.ReportMetric(p.monitor, "monitor-peak-MiB")
	}
}

// rsyslog is a sender and a receiver of Debian's rsyslog, over TLS.
type rsyslog struct {
	dir, driver, certs string
	port               uint16
}

// The configurations follow rsyslog's own advice for speed: no parsing, the
// message as it is, big batches, big buffers, buffered output.
const (
	rsyslogReceiver = `global(workDirectory="%[1]s/receiver" net.enableDNS="off" maxMessageSize="64k"
  defaultNetstreamDriver="%[2]s" defaultNetstreamDriverCAFile="%[3]s" defaultNetstreamDriverCertFile="%[3]s" defaultNetstreamDriverKeyFile="%[4]s")
main_queue(queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="4096" queue.workerThreads="1")
module(load="imtcp" streamDriver.name="%[2]s" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="store" parser="rsyslog.rfc5424" queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="4096") {
  action(type="omfile" file="%[1]s/copy" template="raw" ioBufferSize="256k" flushOnTXEnd="off" asyncWriting="on" flushInterval="1")
}
input(type="imtcp" address="127.0.0.1" port="%[5]d" ruleset="store" supportOctetCountedFraming="off")
`
	rsyslogSender = `global(workDirectory="%[1]s/sender" net.enableDNS="off" maxMessageSize="64k"
  defaultNetstreamDriver="%[2]s" defaultNetstreamDriverCAFile="%[3]s")
module(load="imfile" mode="inotify")
template(name="raw" type="string" string="%%msg%%\n")
ruleset(name="send" queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="4096") {
  action(type="omfwd" target="127.0.0.1" port="%[5]d" protocol="tcp" template="raw" streamDriver="%[2]s" streamDriverMode="1" streamDriverAuthMode="anon")
}
input(type="imfile" file="%[6]s" tag="app" ruleset="send")
`
)

// copy has a file sent, from the sender's start to the last byte.
func (r *rsyslog) copy(b *testing.B, from string, size int64) turn {
	b.Helper()
	for _, sub := range []string{"sender", "receiver"} {
		if err := os.MkdirAll(filepath.Join(r.dir, sub), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	conf := func(name, text string) []string {
		path := filepath.Join(r.dir, name+".conf")
		args := []any{r.dir, r.driver, filepath.Join(r.certs, "cert.pem"), filepath.Join(r.certs, "key.pem"), r.port, from}
		if name == "receiver" {
			args = args[:5]
		}
		writeFile(b, path, fmt.Sprintf(text, args...))
		return []string{"-n", "-f", path, "-i", filepath.Join(r.dir, name+".pid")}
	}
	receiver := namespace("").start(b, "rsyslogd", conf("receiver", rsyslogReceiver)...)
	eventually(b, receiver.log.String, func() bool { return listens(r.port) })
	before := schedule(b, receiver.cmd.Process.Pid)
	began := time.Now()
	sender := namespace("").start(b, "rsyslogd", conf("sender", rsyslogSender)...)
	copied := filepath.Join(r.dir, "copy")
	waitSize(b, copied, size-1<<20, func() {}) // it keeps its last buffer back
	wall := time.Since(began)
	cpu := schedule(b, receiver.cmd.Process.Pid) - before + schedule(b, sender.cmd.Process.Pid)
	waitSize(b, copied, size, func() {})
	sender.kill9()
	receiver.kill9()
	namespace("").must(b, "cmp", from, copied)
	for _, path := range []string{copied, filepath.Join(r.dir, "sender"), filepath.Join(r.dir, "receiver")} {
		if err := os.RemoveAll(path); err != nil {
			b.Fatal(err)
		}
	}
	return turn{wall: time.Duration(float64(wall) * float64(size) / float64(size-1<<20)), cpu: cpu}
}

// listens tells whether somebody does on a port of the loopback, without
// connecting there.
func listens(port uint16) bool {
	return strings.Contains(readFile("/proc/net/tcp"), fmt.Sprintf("0100007F:%04X 00000000:0000 0A", port))
}

// BenchmarkFollowRsyslog pairs the copy of 256 MiB of lines of 128 bytes with
// rsyslog's over TLS, with either of its two drivers.
func BenchmarkFollowRsyslog(b *testing.B) {
	const size, rounds = 256 << 20, 3
	dir := b.TempDir()
	file := filepath.Join(dir, "app.log")
	numberedLines(b, file, size)
	l := newLone(b)
	l.agent.kill9()
	certs := b.TempDir()
	namespace("").must(b, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", "/CN=localhost", "-keyout", filepath.Join(certs, "key.pem"), "-out", filepath.Join(certs, "cert.pem"))
	for b.Loop() {
		var p peaks
		ours := map[string][]turn{}
		theirs := map[string][]turn{}
		for range rounds {
			for _, driver := range []string{"gtls", "ossl"} {
				r := &rsyslog{dir: dir, driver: driver, certs: certs, port: freePort(b)}
				theirs[driver] = append(theirs[driver], r.copy(b, file, size))
				ours[driver] = append(ours[driver], l.follow(b, file, size, &p))
			}
		}
		for _, driver := range []string{"gtls", "ossl"} {
			rates, cpus := quotients(theirs[driver], ours[driver], wallOf), quotients(theirs[driver], ours[driver], cpuOf)
			b.ReportMetric(size/1e6/medianOf(theirs[driver], wallOf), driver+"-MB/s")
			b.ReportMetric(rates[len(rates)/2], "rate-dtc/"+driver)
			b.ReportMetric(cpus[len(cpus)/2], "cpu-"+driver+"/dtc")
		}
		b.ReportMetric(size/1e6/medianOf(append(ours["gtls"], ours["ossl"]...), wallOf), "dtc-MB/s")
	}
}
