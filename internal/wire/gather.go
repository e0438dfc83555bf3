package wire

import (
	"errors"
	"net"
	"os"
	"sync"
)

// gatherMost is how many records are gathered at most: those of a full Append.
const gatherMost = 16

// gathering is a connection below TLS. TLS hands its records over one by one;
// those of a long frame go to the system in one call here, which takes fewer
// packets and wakes the peer less often.
type gathering struct {
	net.Conn

	mu     sync.Mutex
	left   int // records that are to come to those held
	held   []byte
	renew  func() error // begins the time anew that the peer has
	unused int          // records since held was last needed
}

// gather has the next records wait for each other. Fewer must not come.
func (g *gathering) gather(records int, renew func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, g.renew, g.unused = min(records, gatherMost), renew, 0
}

func (g *gathering) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left == 0 {
		if g.unused++; g.unused > linkKeep {
			g.held = nil
		}
		return g.Conn.Write(b)
	}
	g.held = append(g.held, b...)
	if g.left--; g.left > 0 {
		return len(b), nil
	}
	if err := g.send(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// send writes what was held. A peer that takes a piece of it in time is slow,
// not dead.
func (g *gathering) send() error {
	b := g.held
	g.held = g.held[:0]
	for {
		n, err := g.Conn.Write(b)
		if n < linkPiece || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := g.renew(); err != nil {
			return err
		}
		b = b[n:]
	}
}
