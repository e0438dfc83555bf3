package wire

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"dtc"
)

// admit takes a connection through its handshake in a goroutine of its own, or
// closes it at once when too many are unproven.
func (r *run) admit(ctx context.Context, raw net.Conn) {
	source := remoteIP(raw)
	v := r.door.enter(raw, source, time.Now())
	if v == nil {
		raw.Close()
		if r.told.once("crowd") {
			r.Logger.Warn("connections closed: too many have not proven themselves", "remote", raw.RemoteAddr().String())
		}
		return
	}
	r.work.Go(func() {
		leave := sync.OnceFunc(func() { r.door.leave(v) })
		defer leave()
		r.receive(ctx, raw, func() {
			leave()
			r.door.proved(source)
		})
	})
}

// receive proves a connection and serves it. It calls proven when the
// connection has proven itself.
func (r *run) receive(ctx context.Context, raw net.Conn, proven func()) {
	since := time.Now()
	noticeDeath(raw)
	c, err := r.handshake(ctx, raw)
	if err != nil {
		r.notProven(raw, err)
		return
	}
	proto := c.ConnectionState().NegotiatedProtocol
	if proto == ProtoJoin && r.Join != nil {
		r.serveJoin(ctx, c, since.Add(r.limits.join))
		return
	}
	peer, err := r.Identify(c.ConnectionState())
	if err != nil {
		r.Logger.Debug("connection not proven", "remote", raw.RemoteAddr().String(), "error", err)
		c.Close()
		return
	}
	proven()
	pc := newPeerConn(r, c, peer, since)
	pc.ends = proofEnds(c.ConnectionState())
	if proto == ProtoRPC && peer.Role == dtc.RoleAgent {
		pc.allow(r.limits)
	}
	if !r.add(pc) {
		c.Close()
		return
	}
	switch {
	case proto == ProtoRPC && (r.Agent != nil || r.Renew != nil || r.Command != nil):
		r.feed(pc)
	case proto == ProtoLog && r.Log != nil:
		r.serveLog(ctx, pc)
	default:
		pc.Close()
	}
}

func (r *run) handshake(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, r.limits.handshake)
	defer cancel()
	below := &sober{Conn: raw, left: handshakeBytes}
	c := tls.Server(below, r.tls)
	err := c.HandshakeContext(limited)
	if err == nil {
		below.left = -1
		return c, nil
	}
	if limited.Err() == nil {
		linger(raw)
	}
	raw.Close()
	return nil, err
}

// linger lets the peer read the alert that says why it was refused. Closing
// with its bytes unread would reset the connection, and the alert with it.
func linger(raw net.Conn) {
	if tcp, ok := raw.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		_ = raw.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.CopyN(io.Discard, raw, 64<<10)
	}
}

// serveLog hands the connection of an agent to Log.
func (r *run) serveLog(ctx context.Context, pc *peerConn) {
	defer pc.Close()
	if pc.peer.Role != dtc.RoleAgent {
		r.denied(pc.peer, "send logs")
		return
	}
	defer r.recovered("log")
	link := NewLink(pc)
	defer link.Close()
	if err := r.Log(ctx, pc.peer, link); err != nil && ctx.Err() == nil {
		r.Logger.Info("log connection ended", "peer", pc.peer.ID, "remote", pc.RemoteAddr().String(), "error", err)
	}
}

func (r *run) denied(peer dtc.Peer, what string) {
	if r.Denied != nil {
		r.Denied(peer, what)
	}
}

// quiet keeps what peers can cause again and again from filling a log.
type quiet struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// once reports whether nothing has been said of key in the last minute. Of more
// than a thousand keys at once it says nothing.
func (q *quiet) once(key string) bool {
	const keys = 1000
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.said) >= keys {
		maps.DeleteFunc(q.said, func(_ string, at time.Time) bool { return now.Sub(at) >= time.Minute })
	}
	at, known := q.said[key]
	if known && now.Sub(at) < time.Minute || len(q.said) >= keys {
		return false
	}
	if q.said == nil {
		q.said = map[string]time.Time{}
	}
	q.said[key] = now
	return true
}

// recovered ends a connection whose handler panics, and it alone.
func (r *run) recovered(what string) {
	if p := recover(); p != nil {
		r.panicked(what, p)
	}
}

func (r *run) panicked(what string, value any) {
	r.Logger.Error("a handler failed: this is a bug", "handler", what, "panic", value)
	r.Logger.Debug("where it failed", "stack", string(debug.Stack()))
}

// remoteIP returns the address by which sources are counted. A host has a whole
// /64 of IPv6 to itself.
func remoteIP(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

func sourceOf(ip netip.Addr) netip.Addr {
	if ip.Is6() && !ip.Is4In6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// peerConn is the open connection of a proven peer. It tells nobody that it is
// TLS: net/http then speaks HTTP/2 over it with prior knowledge.
type peerConn struct {
	net.Conn
	peer  dtc.Peer
	since time.Time // it was accepted
	ends  time.Time // when the peer's certificate does
	run   *run
	once  sync.Once
	done  chan struct{} // closed with the connection
	over  *time.Timer   // cuts the connection at ends; guarded by peerConns.mu
	calls bool          // an agent's that calls: of these there are few
}

// allow gives an agent that calls what its calls take, and no more: it may ask
// for next to nothing, and whoever owns its host could keep a processor busy with
// what the protocol below lets anybody say.
func (c *peerConn) allow(l limits) {
	c.calls = true
	if over, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		if below, ok := over.NetConn().(*sober); ok {
			below.left = l.callBytes
		}
	}
	if end := time.Now().Add(l.calling); c.ends.IsZero() || end.Before(c.ends) {
		c.ends = end
	}
}

func newPeerConn(r *run, c net.Conn, peer dtc.Peer, since time.Time) *peerConn {
	return &peerConn{Conn: c, peer: peer, since: since, run: r, done: make(chan struct{})}
}

// proofEnds returns when what a connection has proven of its peer ends: a
// connection that is kept for long must not outlive the peer's certificate.
func proofEnds(state tls.ConnectionState) time.Time {
	if len(state.PeerCertificates) == 0 {
		return time.Time{}
	}
	return state.PeerCertificates[0].NotAfter
}

// Close closes the connection and forgets it.
func (c *peerConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		c.run.peers.remove(c)
		close(c.done)
	})
	return err
}

// cut ends the connection without a word. Close would first try to say goodbye,
// for seconds if the peer reads nothing.
func (c *peerConn) cut() {
	if over, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		over.NetConn().Close()
	}
	c.Close()
}

// add counts a connection as open, unless there are too many of its peer or it
// has just been disconnected.
func (r *run) add(c *peerConn) bool {
	ok := r.peers.add(c)
	if !ok && r.told.once(c.peer.ID) {
		r.Logger.Warn("connection of a peer closed: revoked, or too many are open", "peer", c.peer.ID, "remote", c.RemoteAddr().String())
	}
	return ok
}

// peerConns are the open connections of proven peers.
type peerConns struct {
	mu      sync.Mutex
	limits  limits
	open    map[*peerConn]struct{}
	perPeer map[string]int
	revoked []revocation
	empty   chan struct{} // closed while nothing is open
}

// revocation is kept for longer than a handshake can last that began before it.
type revocation struct {
	at    time.Time
	match func(*peerConn) bool
}

func (p *peerConns) init(l limits) {
	p.limits, p.open, p.perPeer = l, map[*peerConn]struct{}{}, map[string]int{}
	p.empty = make(chan struct{})
	close(p.empty)
}

// counted is what a connection counts as one of. No id has a space.
func (c *peerConn) counted() string {
	if c.calls {
		return c.peer.ID + " calls"
	}
	return c.peer.ID
}

func (p *peerConns) add(c *peerConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limits.perAgent
	switch {
	case c.peer.Role == dtc.RoleMonitor:
		limit = p.limits.perMonitor
	case c.calls:
		limit = p.limits.perCaller
	}
	if p.perPeer[c.counted()] >= limit {
		return false
	}
	for _, r := range p.revoked {
		if c.since.Before(r.at) && r.match(c) {
			return false
		}
	}
	if len(p.open) == 0 {
		p.empty = make(chan struct{})
	}
	p.open[c] = struct{}{}
	p.perPeer[c.counted()]++
	if !c.ends.IsZero() {
		c.over = time.AfterFunc(time.Until(c.ends), c.cut)
	}
	return true
}

func (p *peerConns) remove(c *peerConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.open[c]; !ok {
		return
	}
	delete(p.open, c)
	if c.over != nil {
		c.over.Stop()
	}
	if p.perPeer[c.counted()]--; p.perPeer[c.counted()] == 0 {
		delete(p.perPeer, c.counted())
	}
	if len(p.open) == 0 {
		close(p.empty)
	}
}

func (p *peerConns) disconnect(match func(*peerConn) bool) {
	now := time.Now()
	p.mu.Lock()
	live := p.revoked[:0]
	for _, r := range p.revoked {
		if now.Sub(r.at) < 2*p.limits.handshake {
			live = append(live, r)
		}
	}
	p.revoked = append(live, revocation{now, match})
	p.mu.Unlock()
	p.closeIf(match)
}

func (p *peerConns) closeAll() { p.closeIf(func(*peerConn) bool { return true }) }

func (p *peerConns) closeIf(match func(*peerConn) bool) {
	p.mu.Lock()
	var closing []*peerConn
	for c := range p.open {
		if match(c) {
			closing = append(closing, c)
		}
	}
	p.mu.Unlock()
	for _, c := range closing {
		c.cut()
	}
}

// wait returns when nothing is open or ctx is done.
func (p *peerConns) wait(ctx context.Context) {
	p.mu.Lock()
	empty := p.empty
	p.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
}
