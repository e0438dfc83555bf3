package wire

import (
	"context"
	"crypto/tls"
	"net"
)

// Turn lets the handshakes of many connections compute in turns: a thousand at
// once would all be slow, and who measures how long a host takes would measure
// that.
type Turn interface {
	// Take waits for the turn. It returns without one when the call is over.
	Take()

	// Give ends the turn, if there is one. Until the next Take the peer is waited for.
	Give()
}

type turnKey struct{}

// WithTurn returns a context in which [Dialer.Dial] takes turns. All calls of t
// come from Dial's goroutine, a Take and a Give in turns.
func WithTurn(ctx context.Context, t Turn) context.Context {
	return context.WithValue(ctx, turnKey{}, t)
}

// shakeHands proves the peer, in turns if ctx has some.
func shakeHands(ctx context.Context, raw net.Conn, cfg *tls.Config) (*tls.Conn, error) {
	t, ok := ctx.Value(turnKey{}).(Turn)
	if !ok {
		c := tls.Client(raw, cfg)
		return c, c.HandshakeContext(ctx)
	}
	below := &turning{Conn: raw, turn: t}
	c := tls.Client(below, cfg)
	t.Take()
	defer func() {
		t.Give()
		below.turn = nil
	}()
	return c, c.HandshakeContext(ctx)
}

// turning is a connection that gives the turn while it waits for the peer, until
// the handshake is over.
type turning struct {
	net.Conn

	turn Turn // nil after the handshake
}

func (c *turning) Read(b []byte) (int, error) {
	if c.turn == nil {
		return c.Conn.Read(b)
	}
	c.turn.Give()
	defer c.turn.Take()
	return c.Conn.Read(b)
}
