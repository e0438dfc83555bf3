package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

// When the agent asks the monitor itself for what is new of whom to trust: a
// monitor that asks this agent hands it over in asking, and is given the time to.
const (
	trustEvery = 10 * time.Minute
	trustFirst = 15 * time.Second
	trustRetry = time.Minute
	trustRound = 10 * time.Second // for one call
	trustMost  = 4                // calls of one contact: what is taken may make something else wanted
)

// trust is what the agent proves itself with and judges others by, and what
// hangs on it.
type trust struct {
	creds    *ca.Credentials
	refusals wire.Refusals // of what was not told to the monitor yet
	met      chan struct{} // has an element when the monitor was met since renew looked

	mu      sync.Mutex
	asked   time.Time     // guarded by mu; when the monitor handed over last
	server  *wire.Server  // guarded by mu; nil while nothing listens
	changed chan struct{} // guarded by mu; closed when something was handed over
	failed  string        // guarded by mu; what was wrong with it last, as it was logged
}

// loadTrust reads it from the home's folder.
func loadTrust(dir string) (*trust, error) {
	creds, err := ca.Load(dir, dtc.RoleAgent)
	if err != nil {
		return nil, err
	}
	return &trust{creds: creds, met: make(chan struct{}, 1), changed: make(chan struct{})}, nil
}

// current returns a channel that is closed when something new is handed over.
func (t *trust) current() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// serving notes the server whose connections are judged again by what is new.
func (t *trust) serving(srv *wire.Server) {
	t.mu.Lock()
	t.server = srv
	t.mu.Unlock()
}

// renewed closes what is open to peers that are not trusted any more.
func (t *trust) renewed() {
	t.mu.Lock()
	srv := t.server
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()
	if srv != nil {
		srv.Recheck(t.creds.Recheck)
	}
}

// refuse reports whether a peer is on the list of revoked certificates, and
// notes its attempt.
func (a *Agent) refuse(peer dtc.Peer) bool {
	if !a.trust.creds.Revoked(peer) {
		return false
	}
	a.denied(peer, "connect with a revoked certificate")
	return true
}

// denied notes what a peer with a certificate of the fleet was refused. The
// monitor makes an event of it.
func (a *Agent) denied(peer dtc.Peer, what string) {
	if a.trust.refusals.Note(peer, what) {
		a.log.Warn("refused", "peer", peer.ID, "role", string(peer.Role), "what", what)
	}
}

// take takes what the monitor hands over, proven, and says how it stands then.
func (a *Agent) take(_ context.Context, grant dtc.TrustGrant) (dtc.TrustState, error) {
	t := a.trust
	var taken []string
	var err error
	a.do(func() { taken, err = t.creds.Take(grant) })
	t.mu.Lock()
	t.asked = time.Now()
	told := err != nil && t.failed == err.Error()
	if t.failed = ""; err != nil {
		t.failed = err.Error()
	}
	t.mu.Unlock()
	if err != nil {
		if !told { // the same again and again is one line
			a.log.Error("what the monitor handed over is not taken", "error", err)
		}
		return dtc.TrustState{}, err
	}
	for _, line := range taken {
		a.log.Info("the monitor handed over what is new", "now", "this agent "+line)
	}
	if len(taken) > 0 {
		t.renewed()
	}
	state, err := t.creds.State()
	state.Refusals = t.refusals.Take()
	return state, err
}

// renew asks the monitor of monitor_host where none asks this agent: at each
// contact, and now and then.
func (a *Agent) renew(ctx context.Context) error {
	for pause := trustFirst; ctx.Err() == nil; {
		timer := time.NewTimer(pause)
		pause = trustRetry
		select {
		case <-ctx.Done():
		case <-timer.C:
			pause = a.askIfDue(ctx)
		case <-a.trust.met:
			pause = trustFirst // for the monitor to ask first
			if cfg, _ := a.config(); !cfg.LocalHost.IsValid() {
				pause = a.askIfDue(ctx)
			}
		}
		timer.Stop()
	}
	return nil
}

// askIfDue asks the monitor if it handed over nothing for a while, and returns
// when to look again.
func (a *Agent) askIfDue(ctx context.Context) time.Duration {
	cfg, _ := a.config()
	a.trust.mu.Lock()
	left := trustEvery - time.Since(a.trust.asked)
	a.trust.mu.Unlock()
	switch {
	case !cfg.MonitorHost.IsValid():
		return trustEvery
	case left > 0:
		return left
	}
	if err := a.ask(ctx, cfg.MonitorHost); err != nil {
		a.log.Debug("ask the monitor whom to trust", "monitor", cfg.MonitorHost, "error", err)
		return trustRetry
	}
	return trustEvery
}

// connected notes a contact with the monitor.
func (t *trust) connected() {
	select {
	case t.met <- struct{}{}:
	default:
	}
}

// ask asks the monitor for what is new, until nothing is.
func (a *Agent) ask(ctx context.Context, to netip.AddrPort) error {
	d := wire.Dialer{TLS: a.trust.creds.ToMonitor(), Connect: silentAfter}
	client := wire.NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, to, wire.ProtoRPC) })
	defer client.Close()
	var grant dtc.TrustGrant
	for range trustMost {
		state, err := a.take(ctx, grant)
		if err != nil {
			return err
		}
		round, cancel := context.WithTimeout(ctx, trustRound)
		grant, err = client.Renew(round, state)
		cancel()
		if err != nil {
			return err
		}
		if grant.Empty() {
			return nil
		}
	}
	return nil
}

// guard closes a connection when its peer is not trusted any more, until ctx is
// done.
func (a *Agent) guard(ctx context.Context, conn net.Conn) {
	if err := wire.Guard(ctx, conn, a.trust.current, a.trust.creds.Recheck); err != nil {
		a.log.Warn("connection closed: the peer is not trusted any more", "peer", conn.RemoteAddr().String(), "error", err)
	}
}

// notAccepted says what to do where the monitor does not accept this agent.
func notAccepted(err error) error {
	if errors.Is(err, wire.ErrDates) {
		return fmt.Errorf("the monitor does not accept this host's certificate: %w", err)
	}
	return fmt.Errorf("the monitor does not accept this host's certificate, it was revoked or is over; join again with a token of 'dtc invite': %w", err)
}
