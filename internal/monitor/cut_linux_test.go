package monitor

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/config"
)

// noticed is within which a lost link is told: ten seconds, and some for a
// machine that is busy with other tests.
const noticed = 13 * time.Second

// wantUnreachable fails unless a host is told unreachable in time after since,
// and nothing of its processes.
func (f *fleetHome) wantUnreachable(name string, since time.Time, before ...string) {
	f.t.Helper()
	f.wantTold(name, append(before, "unreachable")...)
	f.read(func(e dtc.Event) {
		if e.Host != name || e.State != dtc.StateUnreachable {
			return
		}
		took := e.Time.Sub(since)
		f.t.Logf("%s: unreachable after %s: %s", name, took.Round(10*time.Millisecond), e.Reason)
		if took > noticed {
			f.t.Errorf("%s: the link was lost %s before it was told", name, took)
		}
	})
}

// proxy passes connections on until it is silenced: then it takes everything
// and gives nothing.
type proxy struct {
	ln     net.Listener
	to     string
	silent atomic.Bool
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, at, to netip.AddrPort) *proxy {
	t.Helper()
	p := &proxy{ln: listen(t, at), to: to.String()}
	p.wg.Go(func() {
		for {
			c, err := p.ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		p.ln.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) serve(c net.Conn) {
	p.keep(c)
	if p.silent.Load() {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	to, err := net.Dial("tcp", p.to)
	if err != nil {
		c.Close()
		return
	}
	p.keep(to)
	p.wg.Go(func() { p.pass(to, c) })
	p.pass(c, to)
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
}

// pass copies from one connection to the other.
func (p *proxy) pass(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.silent.Load() && n > 0 {
			_, _ = to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// A link that goes silent is told within ten seconds, whether anything was said
// on it lately or not.
func TestSilentLink(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	h := a.host(1)
	h.Address = freePort(t, loopback(11))
	p := newProxy(t, h.Address, a.at)
	f.set(config.Monitor{Hosts: []config.Host{h}})
	f.start(PartProcess)
	a.watch().emit(t, alive("run1", 1, 1))
	a.acknowledged(1)
	p.silent.Store(true)
	f.wantUnreachable("web1", time.Now(), "1 alive")
	p.silent.Store(false)
	p.cut()
	a.watch()
	f.wantTold("web1", "1 alive", "unreachable", "reachable")
}

// A cable that is pulled: nothing is acknowledged any more, and nobody says so.
func TestCutLink(t *testing.T) {
	t.Parallel()
	ns, far := newNamespace(t)
	f := newHome(t)
	a := f.newAgentAt("web1", netip.AddrPortFrom(far, 7701))
	a.startOn(ns.listen(t, a.at))
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	f.start(PartProcess)
	a.watch().emit(t, alive("run1", 1, 1))
	a.acknowledged(1)
	ns.link(t, "down")
	f.wantUnreachable("web1", time.Now(), "1 alive")
	ns.link(t, "up")
	f.wantTold("web1", "1 alive", "unreachable", "reachable")
}

// namespace is a network namespace at the other end of a cable.
type namespace struct{ name, near string }

func newNamespace(t *testing.T) (ns namespace, far netip.Addr) {
	t.Helper()
	ns = namespace{name: fmt.Sprintf("dtc-m%d", os.Getpid()), near: fmt.Sprintf("dtcm%d", os.Getpid())}
	there := ns.near + "b"
	t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "del", ns.name).Run() // and the cable with it
		_ = exec.Command("ip", "link", "del", ns.near).Run()
	})
	for _, line := range []string{
		"netns add " + ns.name,
		"link add " + ns.near + " type veth peer name " + there + " netns " + ns.name,
		"addr add 10.213.57.1/30 dev " + ns.near,
		"link set " + ns.near + " up",
		"-n " + ns.name + " addr add 10.213.57.2/30 dev " + there,
		"-n " + ns.name + " link set " + there + " up",
	} {
		ip(t, line)
	}
	return ns, netip.MustParseAddr("10.213.57.2")
}

func ip(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

func (ns namespace) link(t *testing.T, state string) {
	t.Helper()
	ip(t, "-n "+ns.name+" link set "+ns.near+"b "+state)
}

// listen listens inside.
func (ns namespace) listen(t *testing.T, at netip.AddrPort) net.Listener {
	t.Helper()
	type result struct {
		ln  net.Listener
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread goes with the goroutine
		fd, err := os.Open("/run/netns/" + ns.name)
		if err == nil {
			defer fd.Close()
			err = unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET)
		}
		var r result
		if r.err = err; err == nil {
			r.ln, r.err = net.Listen("tcp", at.String())
		}
		done <- r
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.ln
}
