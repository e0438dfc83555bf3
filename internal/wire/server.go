package wire

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"dtc"
)

// Server answers all protocols on one listener. What is nil is not offered.
// The fields must not change while it serves.
type Server struct {
	// TLS proves the peer of every connection, but for [ProtoJoin]. Its
	// NextProtos are the protocols that are offered.
	TLS *tls.Config

	// Identify returns the peer that TLS has proven. Its connection is cut when
	// its certificate ends.
	Identify func(tls.ConnectionState) (dtc.Peer, error)

	// Agent answers the queries of monitors, and what only reads of them those of
	// operators and viewers.
	Agent Agent

	// Trust takes what a monitor hands over to an agent, and returns how it stands
	// with that then. It needs Agent.
	Trust func(ctx context.Context, grant dtc.TrustGrant) (dtc.TrustState, error)

	// Renew returns what an agent, an operator or a viewer lacks that is in that
	// state. Only an agent may be given a certificate.
	Renew func(ctx context.Context, peer dtc.Peer, state dtc.TrustState) (dtc.TrustGrant, error)

	// Command carries out a verb for an operator or a viewer, as a [ControlHandler]
	// does. It says itself which of them may.
	Command func(ctx context.Context, peer dtc.Peer, verb string, request json.RawMessage, emit func(any) error) error

	// Log receives from agents. The link is closed when it returns; it should
	// return soon after ctx is done.
	Log func(ctx context.Context, peer dtc.Peer, link *Link) error

	// Join decides about a request for a certificate from remote, whom nothing
	// has proven. The text of an error that is a [*dtc.Error] is told to the
	// person who joins, that of another is not.
	Join func(ctx context.Context, remote netip.Addr, req JoinRequest) (JoinReply, error)

	// Known says of an address whether one of the fleet is there: connections from
	// it are let in before strangers while too many have not proven themselves, as
	// are those from where some peer has proven itself. It must not block. nil: none
	// is known.
	Known func(netip.Addr) bool

	// Denied is told of each attempt of a proven peer to do what its role may not,
	// see [Refusals].
	Denied func(peer dtc.Peer, what string)

	Logger *slog.Logger

	limits limits // zero: those of defaultLimits

	mu   sync.Mutex
	runs map[*run]struct{} // every Serve and ServeConn that has not returned
}

// limits bound what peers can make a server hold.
type limits struct {
	unproven   int           // connections that have not proven themselves
	perSource  int           // of these, from one address
	perMonitor int           // proven connections of one monitor
	perAgent   int           // proven connections of one agent
	perCaller  int           // of one agent over which it calls
	callBytes  int           // that an agent may say over one of these
	calling    time.Duration // for all that it says over it
	handshake  time.Duration // for a connection to prove itself
	join       time.Duration // for all of joining
	stall      time.Duration // for a peer to take one message
	grace      time.Duration // for handlers to end by themselves after ctx
	stop       time.Duration // after ctx for all to be over
}

func defaultLimits() limits {
	return limits{
		unproven: 256, perSource: 16, perMonitor: 256, perAgent: 16, perCaller: 4, callBytes: 256 << 10, calling: time.Minute,
		handshake: handshakeTimeout, join: joinTimeout, stall: stallTimeout, grace: 500 * time.Millisecond, stop: 2500 * time.Millisecond,
	}
}

// Serve accepts connections from ln until ctx is done, and closes ln. Then it
// ends every call and connection within three seconds and returns nil. An error
// means that it cannot accept any more, or that a handler did not end.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := s.start(ctx)
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	err := r.acceptAll(ctx, ln)
	ln.Close()
	cancel()
	return errors.Join(err, r.finish(ctx))
}

// ServeConn answers the calls on one connection that is proven already, whoever
// opened it, until it ends or ctx is done. The connection must tell its TLS
// state, as [tls.Conn] and what [Dialer.Dial] returns do.
func (s *Server) ServeConn(ctx context.Context, c net.Conn) error {
	defer c.Close()
	proven, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return fmt.Errorf("serve %s: the connection is not TLS", c.RemoteAddr())
	}
	state := proven.ConnectionState()
	peer, err := s.Identify(state)
	if err != nil {
		return fmt.Errorf("serve %s: %w", c.RemoteAddr(), err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := s.start(ctx)
	pc := newPeerConn(r, c, peer, time.Now())
	pc.ends = proofEnds(state)
	if !r.add(pc) {
		err = fmt.Errorf("serve %s: too many connections of the peer %s", c.RemoteAddr(), peer.ID)
	} else {
		r.feed(pc)
		select {
		case <-pc.done:
		case <-ctx.Done():
		}
	}
	cancel()
	return errors.Join(err, r.finish(ctx))
}

// Disconnect closes the open connections of the peers that match, and those
// of them that are about to be opened: it must be called after the
// verification refuses these peers.
func (s *Server) Disconnect(match func(dtc.Peer) bool) {
	s.disconnect(func(c *peerConn) bool { return match(c.peer) })
}

// Recheck is [Server.Disconnect] by what a connection has proven: those are
// closed for which check has an error.
func (s *Server) Recheck(check func(tls.ConnectionState) error) {
	s.disconnect(func(c *peerConn) bool {
		proven, ok := c.Conn.(interface{ ConnectionState() tls.ConnectionState })
		return ok && check(proven.ConnectionState()) != nil
	})
}

func (s *Server) disconnect(match func(*peerConn) bool) {
	s.mu.Lock()
	runs := make([]*run, 0, len(s.runs))
	for r := range s.runs {
		runs = append(runs, r)
	}
	s.mu.Unlock()
	for _, r := range runs {
		r.peers.disconnect(match)
	}
}

// run is one Serve or ServeConn.
type run struct {
	*Server
	limits limits
	tls    *tls.Config
	door   *door
	joins  *joinLimiter
	http   *http.Server
	queue  *connQueue
	work   sync.WaitGroup // all goroutines but those of http
	calls  calls          // handlers that http has started
	peers  peerConns
	told   quiet
}

func (s *Server) start(ctx context.Context) *run {
	r := &run{Server: s, limits: s.limits, queue: newConnQueue(), joins: newJoinLimiter()}
	if s.TLS != nil { // ServeConn needs none
		r.tls = s.TLS.Clone()
		r.tls.DynamicRecordSizingDisabled = true // full records from the start
	}
	if r.limits == (limits{}) {
		r.limits = defaultLimits()
	}
	r.door = newDoor(r.limits.unproven, r.limits.perSource, s.Known)
	r.peers.init(r.limits)
	r.http = r.newHTTP(ctx)
	r.work.Go(func() {
		_ = r.http.Serve(r.queue) // it always ends with ErrServerClosed
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		s.runs = map[*run]struct{}{}
	}
	s.runs[r] = struct{}{}
	return r
}

// finish ends everything after ctx is done. Handlers first get a moment to end
// by themselves, so that a peer is told what happened to its call.
func (r *run) finish(ctx context.Context) error {
	began := time.Now()
	fresh := context.WithoutCancel(ctx)
	grace, cancel := context.WithTimeout(fresh, r.limits.grace)
	defer cancel()
	_ = r.http.Shutdown(grace) // whoever is not finished then is cut off
	r.peers.wait(grace)
	r.http.Close()
	r.queue.Close()
	r.peers.closeAll()

	r.mu.Lock()
	delete(r.runs, r)
	r.mu.Unlock()
	last, cancel := context.WithDeadline(fresh, began.Add(r.limits.stop))
	defer cancel()
	return r.ended(last)
}

// ended waits for the goroutines. One of them keeps it from blocking for ever
// on a handler that does not heed its context.
func (r *run) ended(ctx context.Context) error {
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		r.work.Wait()
		<-r.calls.close()
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("stop serving: a handler did not end in time")
	}
}

// acceptAll admits connections until ctx is done. An error of the system (too
// many open files) passes by; one of the listener does not.
func (r *run) acceptAll(ctx context.Context, ln net.Listener) error {
	pause := time.Duration(0)
	for {
		raw, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				raw.Close()
			}
			return nil
		case err == nil:
			pause = 0
			r.admit(ctx, raw)
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept connections: %w", err)
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			r.Logger.Warn("cannot accept connections", "error", err, "retry_in", pause)
			wait(ctx, pause)
		}
	}
}

// wait returns after d or when ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
