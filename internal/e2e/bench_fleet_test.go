//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/status"
	"dtc/internal/wire"
)

// farm is many agents in this process, each with a port of its own, and the home
// of a monitor that knows them all. They have one certificate.
type farm struct {
	home  string
	tls   *tls.Config
	agent wire.Agent
	work  *sync.WaitGroup
}

// crop is what becomes of the question to a host of a farm.
type crop int

const (
	answers   crop = iota // within the second
	refuses               // nothing listens
	silent                // takes the connection and says nothing
	breaksOff             // says half a handshake
	mute                  // takes the question and does not answer
)

// newFarm starts as many agents as there are crops.
func newFarm(tb testing.TB, crops []crop) *farm {
	tb.Helper()
	f := &farm{home: tb.TempDir(), work: &sync.WaitGroup{}}
	certificate := tb.TempDir()
	namespace("").must(tb, dtcPath(), "init", "--home", f.home)
	namespace("").must(tb, dtcPath(), "issue", "farm", "--ip", "127.0.0.1", "--out", certificate, "--home", f.home)
	credentials, err := ca.Load(filepath.Join(certificate, "conf", "tls"), dtc.RoleAgent)
	if err != nil {
		tb.Fatal(err)
	}
	f.tls = credentials.ServerTLS(nil, "", wire.ProtoRPC)
	collector := status.New(status.Options{})
	f.agent = farmer{collector}
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(func() {
		cancel()
		f.work.Wait()
	})
	f.work.Go(func() { _ = collector.Run(ctx) })
	hosts := make([]string, len(crops))
	for i, c := range crops {
		hosts[i] = fmt.Sprintf("<remote_host><ip_port>%s</ip_port><name>h%04d</name></remote_host>", f.plant(ctx, tb, c), i)
	}
	writeFile(tb, filepath.Join(f.home, "conf", "monitor.xml"), "<monitor>"+strings.Join(hosts, "\n")+"</monitor>")
	time.Sleep(1100 * time.Millisecond) // the figures of the processors cover a second
	return f
}

// plant starts one agent and returns where.
func (f *farm) plant(ctx context.Context, tb testing.TB, c crop) string {
	tb.Helper()
	if c == refuses {
		return boundOnly(tb)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	at := ln.Addr().String()
	s := &wire.Server{TLS: f.tls, Identify: ca.Identify, Agent: f.agent, Logger: slog.New(slog.DiscardHandler)}
	switch c {
	case mute:
		s.Agent = nobody{}
	case silent, breaksOff:
		f.work.Go(func() { f.hang(ctx, ln, c) })
		context.AfterFunc(ctx, func() { ln.Close() })
		return at
	default:
	}
	f.work.Go(func() { _ = s.Serve(ctx, ln) })
	return at
}

// boundOnly returns an address that refuses connections and that nobody else gets
// meanwhile.
func boundOnly(tb testing.TB) string {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		tb.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}

// hang takes connections and leaves them hanging.
func (f *farm) hang(ctx context.Context, ln net.Listener, c crop) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		if c == breaksOff {
			f.work.Go(func() { _ = tls.Server(&halfWriter{Conn: conn, end: ctx.Done()}, f.tls).HandshakeContext(ctx) })
		}
	}
}

// halfWriter is a connection on which nothing is sent after the first bytes.
type halfWriter struct {
	net.Conn

	end <-chan struct{}
}

func (w *halfWriter) Write(b []byte) (int, error) {
	_, _ = w.Conn.Write(b[:len(b)/2])
	<-w.end
	return 0, net.ErrClosed
}

// farmer answers for all agents of a farm.
type farmer struct{ *status.Collector }

func (farmer) Info(context.Context) (dtc.Info, error) { return dtc.Info{Version: "farm"}, nil }

func (farmer) Watch(context.Context, string, dtc.Watching, func(dtc.Sighting) error) error {
	return nil
}

func (farmer) Check(context.Context, string, []int, []string) ([]dtc.Sighting, error) {
	return nil, nil
}
func (farmer) Acknowledge(context.Context, string, string, uint64) error { return nil }
func (farmer) Preview(context.Context, dtc.Watching) ([]dtc.RuleMatches, error) {
	return nil, nil
}

// nobody answers nothing.
type nobody struct{ farmer }

func (nobody) Get(ctx context.Context, _ dtc.Query, _ func(*dtc.Report) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// asked is what it took to ask a farm.
type asked struct {
	wall, cpu time.Duration // of the program
	peak      float64       // of its memory, in MiB
	answered  int           // hosts
	said      string        // the end of what it says of them
}

// ask runs the program from a cold start.
func (f *farm) ask(tb testing.TB, args ...string) (a asked) {
	tb.Helper()
	// time(1) is small, and so what it starts begins small: a child of this
	// process would count this one's memory as its own.
	out := filepath.Join(tb.TempDir(), "time")
	cmd := exec.CommandContext(tb.Context(), "time", append([]string{"-q", "-f", "%M %U %S", "-o", out, dtcPath(), "get", "--home", f.home}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	_ = cmd.Run() // its status says whether all answered
	a.wall = time.Since(began)
	var kib, user, system float64
	if _, err := fmt.Sscan(readFile(out), &kib, &user, &system); err != nil {
		tb.Fatalf("time(1): %v\n%s", err, stderr.String())
	}
	a.said = tail(stderr.String(), 20)
	a.peak, a.cpu = kib/1024, time.Duration((user+system)*float64(time.Second))
	if _, err := fmt.Sscanf(stderr.String(), "%d of", &a.answered); err != nil {
		tb.Fatalf("%v\n%s", err, tail(stderr.String(), 5))
	}
	return a
}

// askOften asks a farm n times, of which as many hosts are to answer, and
// reports the medians.
func (f *farm) askOften(b *testing.B, n, answered int, args ...string) (wall []time.Duration) {
	b.Helper()
	var cpu []time.Duration
	var peak []float64
	for b.Loop() {
		for range n {
			a := f.ask(b, args...)
			if a.answered != answered {
				b.Errorf("%d hosts answered, not %d\n%s", a.answered, answered, a.said)
			}
			wall, cpu, peak = append(wall, a.wall), append(cpu, a.cpu), append(peak, a.peak)
		}
	}
	report(b, cpu, "dtc-cpu")
	b.ReportMetric(slices.Sorted(slices.Values(peak))[len(peak)/2], "dtc-peak-MiB")
	return wall
}

// BenchmarkThousandAgents asks 1,000 agents for cpu, from a cold start of the
// program. This process, which has all the agents, takes its share of the
// processors.
func BenchmarkThousandAgents(b *testing.B) {
	f := newFarm(b, make([]crop, 1000))
	report(b, f.askOften(b, 7, 1000, "cpu"), "1000-agents")
}

// BenchmarkDeadAmongThousand is the same with 50 hosts that refuse and 50 that
// hang, in three ways, wherever they stand in the list. It prints what it takes
// beyond the timeout.
func BenchmarkDeadAmongThousand(b *testing.B) {
	const timeout = 3 * time.Second
	for _, order := range []string{"first", "last", "mixed"} {
		b.Run(order, func(b *testing.B) {
			wall := newFarm(b, sown(order)).askOften(b, 5, 900, "cpu", "--timeout", timeout.String())
			for i := range wall {
				wall[i] -= timeout
			}
			report(b, wall, "beyond-timeout")
		})
	}
}

// sown returns 900 hosts that answer, 50 that refuse and 50 that hang.
func sown(order string) []crop {
	good, bad := make([]crop, 900), make([]crop, 100)
	for i := range bad {
		bad[i] = refuses
		if i%2 == 1 {
			bad[i] = []crop{silent, breaksOff, mute}[i/2%3]
		}
	}
	switch order {
	case "first":
		return append(bad, good...)
	case "last":
		return append(good, bad...)
	}
	var mixed []crop
	for i, c := range bad {
		mixed = append(append(mixed, good[i*9:i*9+9]...), c)
	}
	return mixed
}

// BenchmarkTwentyHosts pairs the processes of 20 hosts from a cold start with 20
// ssh at once and with pssh.
func BenchmarkTwentyHosts(b *testing.B) {
	const n = 20
	home := newAgents(b, n)
	ssh := newSSH(b)
	list := filepath.Join(b.TempDir(), "hosts")
	writeFile(b, list, strings.Repeat("127.0.0.1\n", n))
	many := []string{"sh", "-c", `for i in $(seq 20); do ssh "$@" 127.0.0.1 ps aux >/dev/null & done; wait`, "sh"}
	pssh := []string{"parallel-ssh", "-h", list, "-p", strconv.Itoa(n), "-i"}
	for _, arg := range ssh {
		many, pssh = append(many, arg), append(pssh, "-X", arg)
	}
	contest(b, 5, []string{"dtc", "20-ssh", "pssh"}, []string{dtcPath(), "get", "process", "--home", home}, many, append(pssh, "ps aux"))
}

// newAgents starts n agents as processes, on addresses of the loopback, and
// returns the home of their monitor.
func newAgents(tb testing.TB, n int) (home string) {
	tb.Helper()
	home = tb.TempDir()
	root := namespace("")
	root.must(tb, dtcPath(), "init", "--home", home)
	for i := range n {
		dir, ip := tb.TempDir(), netip.AddrFrom4([4]byte{127, 0, 77, byte(i + 1)})
		root.must(tb, dtcPath(), "issue", fmt.Sprintf("h%d", i), "--ip", ip.String(), "--listen", fmt.Sprintf("%s:%d", ip, freePort(tb)), "--out", dir, "--home", home)
		root.start(tb, agentPath(), "run", "--home", dir)
	}
	eventually(tb, func() string { return "the agents to answer" }, func() bool {
		return root.run(tb, dtcPath(), "get", "platform", "--home", home).code == 0
	})
	return home
}
