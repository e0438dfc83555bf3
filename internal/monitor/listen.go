package monitor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/supervise"
	"dtc/internal/wire"
)

// attemptTime is how long a reload waits for the new local_host: the old
// listener's connections need up to three seconds to end.
const attemptTime = 5 * time.Second

// attempt is the first try to listen on a local_host.
type attempt struct {
	done chan struct{}
	err  error // written before done is closed
}

func newAttempt() *attempt { return &attempt{done: make(chan struct{})} }

// wait returns how the attempt ended. Where that takes long it is no failure:
// the log tells the rest.
func (t *attempt) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	select {
	case <-t.done:
		if t.err != nil {
			return fmt.Errorf("%w\nreload: all else is applied, and this is tried again", t.err)
		}
		return nil
	case <-ctx.Done():
		return nil
	}
}

// attempted notes how listening at an address went.
func (m *Monitor) attempted(at netip.AddrPort, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.LocalHost != at {
		return
	}
	select {
	case <-m.attempt.done:
	default:
		m.attempt.err = err
		close(m.attempt.done)
	}
}

// listen receives logs and joins on local_host, whatever that is at the moment.
func (m *Monitor) listen(ctx context.Context) error {
	for first := true; ctx.Err() == nil; first = false {
		cfg, changed := m.config()
		patience := time.Duration(0)
		if first {
			patience = wire.TakenTime
		}
		if err := m.listenOn(ctx, cfg.LocalHost, changed, patience); err != nil {
			if first {
				return err
			}
			// The old address is gone already: stay up, and take the new one
			// as soon as it is to be had.
			m.log.Error("no agent can connect, trying again", "error", err)
			again, cancel := context.WithTimeout(ctx, time.Second)
			select {
			case <-again.Done():
			case <-changed:
			}
			cancel()
		}
	}
	return nil
}

// listenOn serves at one address until the configuration names another. One
// that is still taken is tried again for a while.
func (m *Monitor) listenOn(ctx context.Context, at netip.AddrPort, changed <-chan struct{}, patience time.Duration) error {
	moved := func(ctx context.Context) error { // ends when local_host changes
		for cfg := (config.Monitor{LocalHost: at}); cfg.LocalHost == at; {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
			cfg, changed = m.config()
		}
		return nil
	}
	if !at.IsValid() {
		m.attempted(at, nil)
		return moved(ctx)
	}
	var lc net.ListenConfig
	ln, err := wire.ListenPatiently(ctx, patience, func() (net.Listener, error) {
		return lc.Listen(ctx, "tcp", at.String())
	}, func(err error) {
		m.log.Warn("local_host is still taken, trying again", "for", patience, "error", err)
	})
	if ctx.Err() != nil && ln == nil {
		return nil
	}
	if err != nil {
		err = fmt.Errorf("listen on local_host: %w; set another in %s, or end what has it", err, m.opts.ConfigPath)
		m.attempted(at, err)
		return err
	}
	m.log.Info("listening", "address", ln.Addr().String())
	srv := &wire.Server{
		TLS:      m.creds.ServerTLS(m.refuse, wire.ProtoJoin, wire.ProtoRPC, wire.ProtoLog),
		Identify: ca.Identify,
		Join:     m.join,
		Renew:    m.renew,
		Command:  m.command,
		Known:    m.authority.Knows,
		Denied:   m.denied,
		Logger:   m.log,
	}
	if m.logs != nil {
		srv.Log = func(ctx context.Context, peer dtc.Peer, link *wire.Link) error {
			return m.logs.Serve(ctx, peer, link)
		}
	}
	m.setServer(srv)
	defer m.setServer(nil)
	m.attempted(at, nil)
	return supervise.Run(ctx, moved, func(ctx context.Context) error { return srv.Serve(ctx, ln) })
}

func (m *Monitor) setServer(srv *wire.Server) {
	m.mu.Lock()
	m.server = srv
	m.mu.Unlock()
}
