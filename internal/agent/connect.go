package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/wire"
)

// Pauses between attempts to reach the monitor, and to listen again after a
// reload named an address that is not to be had.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// service answers the questions of a monitor: what each of the agent's parts
// has of the interface.
type service struct{ a *Agent }

var _ wire.Agent = service{}

func (s service) Info(context.Context) (dtc.Info, error) { return s.a.info, nil }

func (s service) Get(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
	defer s.a.noteAsked()
	return s.a.status.Get(ctx, q, emit)
}

func (s service) Watch(ctx context.Context, asker string, targets []dtc.WatchTarget, emit func(dtc.Sighting) error) error {
	return s.a.watcher.Watch(ctx, asker, targets, emit)
}

func (s service) Check(ctx context.Context, asker string, pids []int) ([]dtc.Sighting, error) {
	return s.a.watcher.Check(ctx, asker, pids)
}

func (s service) Acknowledge(ctx context.Context, asker, run string, number uint64) error {
	return s.a.watcher.Acknowledge(ctx, asker, run, number)
}

// listen answers on local_host, whatever that is at the moment.
func (a *Agent) listen(ctx context.Context) error {
	first := true
	return a.eachConfig(ctx, func(c config.Agent) netip.AddrPort { return c.LocalHost }, func(ctx context.Context, at netip.AddrPort) error {
		started := first
		first = false
		if !at.IsValid() {
			return nil // only ships logs
		}
		for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
			var lc net.ListenConfig
			ln, err := lc.Listen(ctx, "tcp", at.String())
			switch {
			case err == nil:
				return a.serve(ctx, ln)
			case ctx.Err() != nil:
				return nil
			case started:
				return fmt.Errorf("listen on local_host %s: %w", at, err)
			}
			// After a reload the old address is gone already: the agent
			// stays up and takes the new one as soon as it can.
			a.log.Error("cannot listen on local_host", "address", at, "error", err)
			if !sleep(ctx, wait) {
				return nil
			}
		}
	})
}

func (a *Agent) serve(ctx context.Context, ln net.Listener) error {
	a.log.Info("listening", "address", ln.Addr().String())
	srv := &wire.Server{
		TLS:      a.creds.ServerTLS(nil, "", wire.ProtoRPC),
		Identify: ca.Identify,
		Agent:    service{a},
		Denied: func(peer dtc.Peer, what string) {
			a.log.Warn("refused", "peer", peer.ID, "role", string(peer.Role), "what", what)
		},
		Logger: a.log,
	}
	return srv.Serve(ctx, ln)
}

// connect keeps one connection to the monitor and ships over it.
func (a *Agent) connect(ctx context.Context) error {
	return a.eachConfig(ctx, func(c config.Agent) netip.AddrPort { return c.MonitorHost }, func(ctx context.Context, to netip.AddrPort) error {
		if !to.IsValid() {
			return nil
		}
		told := ""
		for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
			began := time.Now()
			err := a.session(ctx, to)
			if ctx.Err() != nil {
				return nil
			}
			if time.Since(began) > lastRetry {
				wait, told = firstRetry, ""
			}
			// The same failure again and again is one line.
			if text := fmt.Sprint(err); text != told {
				a.log.Warn("no connection to the monitor; files wait where they are", "monitor", to, "error", text)
				told = text
			}
			if !sleep(ctx, wait/2+rand.N(wait)) { //nolint:gosec // jitter, no secret
				return nil
			}
		}
		return nil
	})
}

func (a *Agent) session(ctx context.Context, to netip.AddrPort) error {
	d := wire.Dialer{TLS: a.creds.ToMonitor()}
	dialCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	conn, err := d.Dial(dialCtx, to, wire.ProtoLog)
	cancel()
	if err != nil {
		return err
	}
	link := wire.NewLink(conn)
	defer link.Close() //nolint:errcheck // the session's own error tells more
	a.log.Info("connected to the monitor", "monitor", to)
	if err = a.shipper.Serve(ctx, link); err == nil {
		err = errors.New("the monitor closed the connection")
	}
	return err
}

// sleep waits for d and reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
