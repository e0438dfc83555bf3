//go:build linux

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

var (
	attackConnections = flag.Int("attack.connections", 500, "hostile connections to each side")
	attackAtOnce      = flag.Int("attack.at-once", 250, "of them at a time")
)

// What an attack may cost, whatever it is.
const (
	attackMemory = 32 << 20
	attackHold   = 30 * time.Second       // an attacker holds what he has for so long
	attackPause  = time.Second            // from the beginning of one connection to that of the next
	attackLate   = 20 * time.Second       // fails the test; what is promised is printed
	attackQuery  = 20 * time.Millisecond  // between two honest queries
	attackNew    = 200 * time.Millisecond // between two honest new connections
)

// asker is an honest peer of one side.
type asker struct {
	name string
	open func(context.Context) (conversation, error)
}

// conversation is an open connection of an asker.
type conversation struct {
	ask func(context.Context) error
	end func() error
}

// askers returns an honest peer of the agent, which asks it for something, and
// one of the monitor, an agent that is about to ship logs.
func (l *lone) askers(tb testing.TB) (ofAgent, ofMonitor asker) {
	tb.Helper()
	monitor, err := ca.Load(filepath.Join(l.home, "conf", "tls"), dtc.RoleMonitor)
	if err != nil {
		tb.Fatal(err)
	}
	honest := l.issue(tb, "honest", "127.0.0.77")
	ofAgent = asker{"agent", func(context.Context) (conversation, error) {
		c := wire.NewClient(func(ctx context.Context) (net.Conn, error) {
			return wire.Dialer{TLS: monitor.ToAgents(nil)}.Dial(ctx, netip.MustParseAddrPort(l.agentAt), wire.ProtoRPC)
		})
		return conversation{func(ctx context.Context) error {
			return c.Get(ctx, dtc.Query{Status: dtc.StatusMemory}, func(*dtc.Report) error { return nil })
		}, c.Close}, nil
	}}
	ofMonitor = asker{"monitor", func(ctx context.Context) (conversation, error) {
		conn, err := wire.Dialer{TLS: honest.ToMonitor()}.Dial(ctx, netip.MustParseAddrPort(l.monitorAt), wire.ProtoLog)
		if err != nil {
			return conversation{}, err
		}
		link := wire.NewLink(conn)
		until := func(f *dtc.Frame, kind dtc.FrameKind) error {
			if err := errors.Join(link.Send(f), link.Flush()); err != nil {
				return err
			}
			var got dtc.Frame
			for got.Kind != kind {
				if err := link.Recv(&got); err != nil {
					return err
				}
			}
			return nil
		}
		err = until(&dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boot"}, dtc.FrameReady)
		return conversation{func(context.Context) error {
			return until(&dtc.Frame{Kind: dtc.FramePing, ID: 7}, dtc.FramePong)
		}, link.Close}, err
	}}
	return ofAgent, ofMonitor
}

// waits are how long an honest peer waited.
type waits struct{ queries, arrivals []time.Duration }

// honest asks over one connection, and over a new one now and then, until ctx is
// done. Every question must be answered.
func (a asker) honest(ctx context.Context, t *testing.T) (w waits) {
	t.Helper()
	within := func(took *[]time.Duration, do func(context.Context) error) bool {
		began := time.Now()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), attackLate)
		defer cancel()
		err := do(limited)
		if err != nil {
			t.Errorf("ask the %s: %v after %s", a.name, err, time.Since(began))
		}
		*took = append(*took, time.Since(began))
		return err == nil
	}
	once := func(ctx context.Context) error {
		c, err := a.open(ctx)
		if err != nil {
			return err
		}
		return errors.Join(c.ask(ctx), c.end())
	}
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		c, err := a.open(ctx)
		if err != nil {
			t.Errorf("ask the %s: %v", a.name, err)
			return
		}
		defer c.end()
		for ctx.Err() == nil && within(&w.queries, c.ask) {
			time.Sleep(attackQuery)
		}
	})
	for ctx.Err() == nil && within(&w.arrivals, once) {
		time.Sleep(attackNew)
	}
	both.Wait()
	return w
}

// quantile returns what so many of all are at most.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(10 * time.Microsecond)
}

// usage is what a process holds.
type usage struct {
	peak int64 // bytes of RSS at most since forget
	now  int64
	fds  int
}

func usageOf(tb testing.TB, d *daemon) (u usage) {
	tb.Helper()
	dir := "/proc/" + strconv.Itoa(d.cmd.Process.Pid)
	for line := range strings.Lines(readFile(dir + "/status")) {
		for name, to := range map[string]*int64{"VmHWM:": &u.peak, "VmRSS:": &u.now} {
			if text, ok := strings.CutPrefix(line, name); ok {
				kib, err := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
				if err != nil {
					tb.Fatal(err)
				}
				*to = kib << 10
			}
		}
	}
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		tb.Fatal(err)
	}
	u.fds = len(fds)
	return u
}

// forget has the kernel forget the peak so far: see proc_pid_clear_refs(5).
func forget(tb testing.TB, d *daemon) {
	tb.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.cmd.Process.Pid), []byte("5"), 0); err != nil {
		tb.Fatal(err)
	}
}

// goroutines ends a process and returns what its goroutines did.
func goroutines(tb testing.TB, d *daemon) []string {
	tb.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		tb.Fatal(err)
	}
	<-d.done
	_, dump, _ := strings.Cut(d.log.String(), "SIGQUIT")
	return slices.DeleteFunc(strings.Split(dump, "\n\n"), func(s string) bool { return !strings.HasPrefix(s, "goroutine ") })
}

// attacked is a program that is attacked, and an honest peer of it.
type attacked struct {
	asker
	d  *daemon
	at string
}

func (l *lone) sides(tb testing.TB) []attacked {
	tb.Helper()
	ofAgent, ofMonitor := l.askers(tb)
	return []attacked{{ofAgent, l.agent, l.agentAt}, {ofMonitor, l.serve, l.monitorAt}}
}

// TestHostileConnections has strangers from many addresses, and from few, hold
// whatever they may, on both sides: honest peers are answered and let in all the
// while, it costs little, and nothing is left of it.
func TestHostileConnections(t *testing.T) {
	l := newLone(t)
	sides := l.sides(t)
	for _, sources := range []int64{1000, 8} {
		var both sync.WaitGroup
		for _, s := range sides {
			both.Go(func() {
				s.endure(t, func() string { return attack(t, s.at, sources) })
			})
		}
		both.Wait()
	}
	for _, s := range sides {
		left := goroutines(t, s.d)
		t.Logf("%s: %d goroutines at the end", s.name, len(left))
		if len(left) == 0 || len(left) > 200 || slices.ContainsFunc(left, func(g string) bool { return strings.Contains(g, "wire.(*run).handshake") }) {
			t.Errorf("the %s has %d goroutines:\n%s", s.name, len(left), strings.Join(left, "\n\n"))
		}
	}
}

// endure attacks a program, asks it meanwhile, and looks at what that costs and
// what is left of it.
func (s attacked) endure(t *testing.T, attack func() string) {
	t.Helper()
	quiet, cancel := context.WithTimeout(t.Context(), time.Second)
	before := s.honest(quiet, t)
	cancel()
	base := usageOf(t, s.d)
	forget(t, s.d)
	ctx, stop := context.WithCancel(t.Context())
	var hostile sync.WaitGroup
	var told string
	hostile.Go(func() {
		defer stop()
		told = attack()
	})
	during := s.honest(ctx, t)
	hostile.Wait()
	grown := usageOf(t, s.d).peak - base.now
	t.Logf("%s: %s", s.name, told)
	t.Logf("  queries p50 %s p99 %s max %s of %d (before: p50 %s p99 %s)",
		quantile(during.queries, 0.5), quantile(during.queries, 0.99), quantile(during.queries, 1), len(during.queries),
		quantile(before.queries, 0.5), quantile(before.queries, 0.99))
	t.Logf("  new connections p50 %s p99 %s max %s of %d (before: p99 %s)", quantile(during.arrivals, 0.5),
		quantile(during.arrivals, 0.99), quantile(during.arrivals, 1), len(during.arrivals), quantile(before.arrivals, 0.99))
	t.Logf("  RSS %.1f MiB before, at most %+.1f MiB", float64(base.now)/(1<<20), float64(grown)/(1<<20))
	if grown > attackMemory {
		t.Errorf("the %s grew by %d MiB", s.name, grown>>20)
	}
	for began := time.Now(); usageOf(t, s.d).fds > base.fds+2; time.Sleep(10 * time.Millisecond) { // a socket or two of the fleet's own
		if time.Since(began) > patience {
			t.Errorf("the %s had %d descriptors, and has %d", s.name, base.fds, usageOf(t, s.d).fds)
			return
		}
	}
}

// attack opens hostile connections, and says how that went.
func attack(t *testing.T, at string, sources int64) string {
	t.Helper()
	var next, refused, failed, open, most atomic.Int64
	began := time.Now()
	with := &weapons{hello: clientHello(t), leaf: leaf(t, nil, "monitor", began.Add(time.Hour))}
	var all sync.WaitGroup
	for worker := range *attackAtOnce {
		all.Go(func() {
			// Not all in one moment: that is the attackers' own processor time, of
			// which this machine has no other.
			time.Sleep(attackPause * time.Duration(worker) / time.Duration(*attackAtOnce))
			for {
				i := next.Add(1) - 1
				if i >= int64(*attackConnections) {
					return
				}
				since := time.Now()
				d := net.Dialer{LocalAddr: hostileAddress(i % sources), Timeout: attackHold}
				conn, err := d.Dial("tcp", at)
				if err != nil {
					failed.Add(1)
					continue
				}
				most.Store(max(most.Load(), open.Add(1)))
				held := with.hold(conn, int(i))
				open.Add(-1)
				if held < attackPause/2 {
					refused.Add(1)
				}
				if held >= attackHold {
					t.Errorf("connection %d was held for %s", i, held)
				}
				time.Sleep(attackPause - min(time.Since(since), attackPause))
			}
		})
	}
	all.Wait()
	return fmt.Sprintf("%d hostile connections from %d addresses in %s, at most %d at a time, %d refused at once, %d never came about",
		*attackConnections, sources, time.Since(began).Round(time.Second), most.Load(), refused.Load(), failed.Load())
}

// hostileAddress is one of many that are nobody's.
func hostileAddress(n int64) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, 1, byte(n/250), byte(1+n%250))}
}

// weapons is what attackers bring.
type weapons struct {
	hello []byte          // the first message of a handshake
	leaf  tls.Certificate // that no CA of the fleet signed
}

// hold does with a connection what a hostile peer may, of many kinds, and returns
// how long the other side let it.
func (w *weapons) hold(conn net.Conn, kind int) time.Duration {
	defer conn.Close()
	began := time.Now()
	_ = conn.SetDeadline(began.Add(attackHold))
	insecure := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ProtoRPC}}
	switch kind % 8 {
	case 0: // says nothing
	case 1:
		_, _ = conn.Write(noise(4096))
	case 2: // half a handshake
		_, _ = conn.Write(w.hello)
	case 3: // the beginning of a record that never ends, byte by byte
		for _, b := range []byte("\x16\x03\x01\x40\x00\x01\x00\xff\xf0") {
			if _, err := conn.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	case 4: // a certificate of 200 KiB
		other := tls.Certificate{PrivateKey: w.leaf.PrivateKey}
		for range 400 {
			other.Certificate = append(other.Certificate, w.leaf.Certificate[0])
		}
		insecure.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &other, nil }
		_ = tls.Client(conn, insecure).Handshake()
	case 5: // joins, and says how much it is going to say
		insecure.NextProtos = []string{wire.ProtoJoin}
		if c := tls.Client(conn, insecure); c.Handshake() == nil {
			_, _ = c.Write(binary.BigEndian.AppendUint32(nil, 16<<10))
		}
	case 6: // never reads
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(1)
		}
		_, _ = conn.Write(w.hello)
		for _, err := conn.Write([]byte("\x14\x03\x03\x00\x01\x01")); err == nil; _, err = conn.Write([]byte("\x14\x03\x03\x00\x01\x01")) {
			time.Sleep(200 * time.Millisecond)
		}
		return time.Since(began)
	case 7: // much at once
		for _, err := conn.Write(noise(1 << 16)); err == nil && time.Since(began) < attackHold; _, err = conn.Write(noise(1 << 16)) {
		}
	}
	_, _ = io.Copy(io.Discard, conn)
	return time.Since(began)
}

// clientHello is the first message of a handshake.
func clientHello(tb testing.TB) []byte {
	tb.Helper()
	mine, its := net.Pipe()
	defer mine.Close()
	b := make([]byte, 4096)
	var said sync.WaitGroup
	said.Go(func() {
		n, err := its.Read(b)
		if err != nil {
			tb.Error(err)
		}
		b = b[:n]
		its.Close()
	})
	_ = tls.Client(mine, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ProtoRPC}}).Handshake() // nobody answers
	said.Wait()
	return b
}
