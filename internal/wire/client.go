package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"

	"dtc"
)

// Client asks one agent over one connection, which it keeps, and opens again
// with the next call when it is lost. Any number of goroutines may use it. All
// errors are a [*dtc.Error].
type Client struct {
	dial func(context.Context) (net.Conn, error)
	turn chan struct{} // the right to dial
	end  chan struct{} // closed by Close

	mu     sync.Mutex
	conn   *session // nil: none
	closed bool
}

// session is one connection of a client.
type session struct {
	*http.ClientConn
	conn *heard
}

// NewClient returns a client over the connections that dial opens: proven ones,
// on which the other side serves [ProtoRPC]. Who has opened them is not its
// business. It opens none before the first call.
func NewClient(dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{dial: dial, turn: make(chan struct{}, 1), end: make(chan struct{})}
}

// Close closes the connection and ends the calls in progress. Later calls fail.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	close(c.end)
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}

// errClosed is the error of a call on a closed client.
var errClosed = &dtc.Error{Kind: dtc.KindUnavailable, Err: errors.New("the connection was closed on this side")}

// attempt is what a call and the connection below it tell each other.
type attempt struct {
	client *Client
	limit  int64 // bytes of an answer; 0: none
	reused bool  // the connection had been used before: it may have died unnoticed
}

// call runs do, and once more on a new connection if the kept one proves dead.
// do reports whether it has given anything to the caller, who must not get it
// twice. An answer of more than limit bytes is an error; 0: there is no limit.
func (c *Client) call(ctx context.Context, limit int64, do func(context.Context) (given bool, err error)) error {
	try := attempt{client: c, limit: limit}
	ctx = context.WithValue(ctx, attemptKey{}, &try)
	given, err := do(ctx)
	if err != nil && !given && try.reused && !connect.IsWireError(err) &&
		dtc.KindOf(fromCall(ctx, err)) == dtc.KindUnavailable {
		_, err = do(ctx)
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*emitError](err); ok {
		return e.err
	}
	return fromCall(ctx, err)
}

// emitError is an error of the caller's own function, which ended a call.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// body is an answer. It tells errors of the connection from those of what came
// over it, and ends one that is too long: the library would go on reading it.
type body struct {
	io.ReadCloser
	limit, read int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.read += int64(n); b.limit > 0 && b.read > b.limit {
		return 0, &dtc.Error{Kind: dtc.KindOther, Err: fmt.Errorf("the answer is larger than the %d MiB that are possible", b.limit>>20)}
	}
	if err != nil && err != io.EOF { //nolint:errorlint // readers compare with it, so it must stay what it is
		err = lost(err)
	}
	return n, err
}

// session returns the open connection, or opens one: callers one after another,
// so that there is never a second.
func (c *Client) session(ctx context.Context) (s *session, reused bool, err error) {
	if s, err := c.open(); s != nil || err != nil {
		return s, true, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, false, fromContext(ctx)
	case <-c.end:
		return nil, false, errClosed
	}
	if s, err := c.open(); s != nil || err != nil {
		return s, true, err
	}
	s, err = c.connect(ctx)
	return s, false, err
}

// open returns the connection that is there, nil if there is none.
func (c *Client) open() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if c.conn != nil && c.conn.Err() != nil {
		c.conn.Close()
		c.conn = nil
	}
	return c.conn, nil
}

// drop closes a connection that has failed a request, unless others go on over
// it. After the peer's goodbye it takes no more requests some time before Err
// says so: a request that is made again would only find the same one.
func (c *Client) drop(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == s && s.InFlight() == 0 {
		s.Close()
		c.conn = nil
	}
}

// connect opens the connection. Close ends it.
func (c *Client) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opened := make(chan struct{})
	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer close(opened)
	watcher.Go(func() {
		select {
		case <-c.end:
			cancel(errClosed)
		case <-opened:
		}
	})

	raw, err := c.dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fromContext(ctx)
		}
		return nil, failed(err)
	}
	s, err := newSession(ctx, raw)
	if err != nil {
		return nil, lost(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		s.Close()
		return nil, errClosed
	}
	c.conn = s
	return s, nil
}

// newSession speaks HTTP/2 over an established connection.
func newSession(ctx context.Context, raw net.Conn) (*session, error) {
	conn := &heard{Conn: raw}
	cc, err := shared().transport.NewClientConn(context.WithValue(ctx, connKey{}, conn), "http", "agent:80")
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("speak HTTP/2: %w", err)
	}
	return &session{ClientConn: cc, conn: conn}, nil
}

// heard remembers the first error of reading. HTTP/2 does not tell it to a
// request that comes after it, and it says why the peer has refused us.
type heard struct {
	net.Conn
	err atomic.Pointer[error]
}

func (c *heard) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// why returns the error of a request that has failed with err.
func (s *session) why(err error) error {
	if first := s.conn.err.Load(); first != nil && classify(*first) == dtc.KindCertificate {
		err = *first
	}
	return lost(err)
}
