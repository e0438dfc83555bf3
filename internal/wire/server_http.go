package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path"
	"sync"
	"time"

	"connectrpc.com/connect"

	"dtc"
)

// newHTTP returns the server of the connections that are fed to it. They are
// proven, so it sees no TLS, and HTTP/2 is all that it speaks.
func (r *run) newHTTP(ctx context.Context) *http.Server {
	mux := http.NewServeMux()
	options := connect.WithHandlerOptions(
		connect.WithReadMaxBytes(maxRequest),
		connect.WithCompression("gzip", nil, nil), // it costs more than a LAN, and is one more way to send a bomb
		connect.WithRequestGate(r.allow),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, p any) error {
			r.panicked(spec.Procedure, p)
			return connect.NewError(connect.CodeInternal, errors.New("internal error"))
		}),
	)
	if r.Agent != nil {
		mux.Handle(NewAgentServiceHandler(&agentServer{agent: r.Agent, trust: r.Trust}, options))
	}
	if r.Renew != nil || r.Command != nil {
		mux.Handle(NewMonitorServiceHandler(&monitorServer{renew: r.Renew, command: r.Command}, options))
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           r.calls.count(r.limitWrites(http.MaxBytesHandler(mux, maxRequest+1024))), // connect would read a longer one to its end
		Protocols:         &protocols,
		ReadHeaderTimeout: handshakeTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(r.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          64,
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			MaxDecoderHeaderTableSize:     4 << 10,
			MaxEncoderHeaderTableSize:     4 << 10,
			// Twice the client's, so that it alone pings, and so that this timer wakes
			// an idle agent in no other moments.
			SendPingTimeout:  2 * pingEvery,
			PingTimeout:      deadTimeout * 2 / 10,
			WriteByteTimeout: deadTimeout,
		},
	}
}

// allow is the gate of every RPC.
func (r *run) allow(ctx context.Context, spec connect.Spec, _ connect.Peer, _ http.Header) (context.Context, error) {
	peer := peerOf(ctx)
	if mayCall(peer.Role, spec.Procedure) {
		return ctx, nil
	}
	r.denied(peer, "call "+path.Base(spec.Procedure))
	return nil, connect.NewError(connect.CodePermissionDenied, errors.New(dtc.KindDenied.String()))
}

type (
	peerKey   struct{}
	writerKey struct{}
)

func withPeer(ctx context.Context, c net.Conn) context.Context {
	if pc, ok := c.(*peerConn); ok {
		ctx = context.WithValue(ctx, peerKey{}, pc.peer)
	}
	return ctx
}

// peerOf returns who asks. Nobody has no role, and so may nothing.
func peerOf(ctx context.Context) dtc.Peer {
	peer, _ := ctx.Value(peerKey{}).(dtc.Peer)
	return peer
}

// calls counts the handlers that run, for the end of a run.
type calls struct {
	mu    sync.Mutex
	n     int
	over  bool
	ended chan struct{}
}

// count returns next with every call counted.
func (c *calls) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !c.begin() {
			return
		}
		defer c.end()
		next.ServeHTTP(w, req)
	})
}

func (c *calls) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.n++
	}
	return !c.over
}

func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.over {
		close(c.ended)
	}
}

// close begins no further call, and returns a channel that is closed when none
// runs any more. It is called once.
func (c *calls) close() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.ended = make(chan struct{})
	if c.n == 0 {
		close(c.ended)
	}
	return c.ended
}

// writeLimit limits how long the peer of one call may take for a message.
type writeLimit struct {
	response *http.ResponseController
	each     time.Duration
}

// limitWrites gives the handlers of next their writeLimit.
func (r *run) limitWrites(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		limit := writeLimit{http.NewResponseController(w), r.limits.stall}
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), writerKey{}, limit)))
	})
}

// extend gives the peer of a call a while to take what is sent next. Without it
// one that never reads would hold the call, and what it has collected, for ever.
func extend(ctx context.Context) {
	if limit, ok := ctx.Value(writerKey{}).(writeLimit); ok {
		_ = limit.response.SetWriteDeadline(time.Now().Add(limit.each)) // HTTP/2 always has deadlines
	}
}

// sending is extend for what send sends, and no longer: HTTP/2 resets a stream
// whose deadline passes, even when there is nothing to be written.
func sending(ctx context.Context, send func() error) error {
	extend(ctx)
	err := send()
	if limit, ok := ctx.Value(writerKey{}).(writeLimit); ok && err == nil {
		_ = limit.response.SetWriteDeadline(time.Time{})
	}
	return err
}

// connQueue is the listener by which connections reach the HTTP server.
type connQueue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newConnQueue() *connQueue {
	return &connQueue{conns: make(chan net.Conn), done: make(chan struct{})}
}

// feed hands a connection to the HTTP server, whose it is from then on.
func (r *run) feed(c *peerConn) {
	select {
	case r.queue.conns <- c:
	case <-r.queue.done:
		c.Close()
	}
}

// Accept returns the next connection.
func (q *connQueue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *connQueue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr returns an address that nothing uses.
func (q *connQueue) Addr() net.Addr { return &net.TCPAddr{} }
