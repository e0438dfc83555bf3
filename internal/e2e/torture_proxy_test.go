//go:build linux

package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is the link between agent and monitor.
type proxy struct {
	tb   testing.TB
	ln   net.Listener
	to   string
	port uint16
	wg   sync.WaitGroup

	mu     sync.Mutex
	change *sync.Cond // of anything below
	held   [2]bool    // bytes to the monitor, to the agent, do not arrive
	rate   int64      // bytes a second each way; 0: as fast as it goes
	refuse bool
	left   int64 // bytes until every connection is cut; negative: no such cut
	pipes  map[*pipe]bool
	over   bool

	cuts int
	made int
}

// pipe is one connection through the proxy.
type pipe struct {
	ends [2]net.Conn // the agent's, the monitor's
	half bool        // the monitor's is gone, and the agent does not hear of it
}

func newProxy(tb testing.TB, to string) *proxy {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{tb: tb, ln: ln, to: to, port: uint16(ln.Addr().(*net.TCPAddr).Port), left: -1, pipes: map[*pipe]bool{}}
	p.change = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		p.set(func() { p.over = true })
		ln.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) address() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

// set changes how the link is.
func (p *proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.change.Broadcast()
}

func (p *proxy) accept() {
	for {
		a, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.refuse || p.over
		p.made++
		p.mu.Unlock()
		if refuse {
			reset(a)
			continue
		}
		p.wg.Go(func() { p.connect(a) })
	}
}

func (p *proxy) connect(a net.Conn) {
	b, err := net.Dial("tcp", p.to)
	if err != nil {
		reset(a)
		return
	}
	k := &pipe{ends: [2]net.Conn{a, b}}
	p.set(func() { p.pipes[k] = true })
	if p.over {
		k.cut()
	}
	p.wg.Go(func() { p.carry(k, 0) })
	p.carry(k, 1)
	p.set(func() { delete(p.pipes, k) })
}

// carry moves the bytes of one direction: 0 to the monitor.
func (p *proxy) carry(k *pipe, way int) {
	from, to := k.ends[way], k.ends[1-way]
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.pass(way, int64(n)) {
			to.Write(buf[:rand.IntN(n+1)]) // a frame is cut anywhere
			break
		}
		if _, err := to.Write(buf[:n]); err != nil {
			break
		}
	}
	p.mu.Lock()
	half := k.half
	p.mu.Unlock()
	if !half {
		k.cut()
	} else if way == 0 {
		io.Copy(io.Discard, from) // until the agent gives it up
		k.cut()
	}
}

// pass waits until n bytes may go one way, and reports false if the connection
// is cut instead.
func (p *proxy) pass(way int, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.held[way] && !p.over {
		p.change.Wait()
	}
	if p.left >= 0 {
		if p.left -= n; p.left < 0 {
			p.cuts++
			for k := range p.pipes {
				k.cut()
			}
			p.left = -1
			return false
		}
	}
	if rate := p.rate; rate > 0 {
		p.mu.Unlock()
		time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		p.mu.Lock()
	}
	return !p.over
}

// cut breaks every connection.
func (p *proxy) cut() {
	p.set(func() {
		p.cuts++
		for k := range p.pipes {
			k.cut()
		}
	})
}

// halfOpen breaks every connection so that the monitor hears of it, and the agent
// does not.
func (p *proxy) halfOpen() {
	p.set(func() {
		p.cuts++
		for k := range p.pipes {
			k.half = true
			reset(k.ends[1])
		}
	})
}

// heal makes the link whole.
func (p *proxy) heal() {
	p.set(func() { p.held, p.rate, p.refuse, p.left = [2]bool{}, 0, false, -1 })
}

func (k *pipe) cut() {
	reset(k.ends[0])
	reset(k.ends[1])
}

// reset closes a connection so that the other side has an error.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}
