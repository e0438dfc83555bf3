package wire

import (
	"context"
	"crypto/tls"
	"net"
)

// Guard judges the peer of an open connection that was dialed, now and whenever
// the channel closes that changed returns, and closes the connection when check
// has an error, which it returns. It returns nil when ctx is done.
func Guard(ctx context.Context, c net.Conn, changed func() <-chan struct{}, check func(tls.ConnectionState) error) error {
	proven, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	for ok && ctx.Err() == nil {
		next := changed() // before the look, so that no change is missed
		if err := check(proven.ConnectionState()); err != nil {
			c.Close()
			return err
		}
		select {
		case <-ctx.Done():
		case <-next:
		}
	}
	return nil
}
