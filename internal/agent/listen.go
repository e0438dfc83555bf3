package agent

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

// service answers the questions of a monitor: what each of the agent's parts
// has of the interface.
type service struct{ a *Agent }

var _ wire.Agent = service{}

func (s service) Info(context.Context) (dtc.Info, error) { return s.a.info, nil }

func (s service) Get(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
	defer s.a.noteAsked()
	return s.a.status.Get(ctx, q, emit)
}

func (s service) Watch(ctx context.Context, asker string, want dtc.Watching, emit func(dtc.Sighting) error) error {
	s.a.noteAsked() // to begin takes memory, as an answer does; what follows takes little
	return s.a.watcher.Watch(ctx, asker, want, emit)
}

func (s service) Check(ctx context.Context, asker string, pids []int, rules []string) ([]dtc.Sighting, error) {
	return s.a.watcher.Check(ctx, asker, pids, rules)
}

func (s service) Preview(ctx context.Context, want dtc.Watching) ([]dtc.RuleMatches, error) {
	return s.a.watcher.Preview(ctx, want)
}

func (s service) Acknowledge(ctx context.Context, asker, run string, number uint64) error {
	return s.a.watcher.Acknowledge(ctx, asker, run, number)
}

// answer watches processes and answers questions until ctx is done. Then the
// watches have their last word, and only after it their connections end.
func (a *Agent) answer(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	serving, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	return supervise.Run(ctx,
		func(context.Context) error {
			defer hangUp()
			return a.watcher.Run(ctx)
		},
		func(context.Context) error {
			defer stop()
			return supervise.Run(serving, a.status.Run, a.listen)
		},
	)
}

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
func (a *Agent) attempted(at netip.AddrPort, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cfg.LocalHost != at {
		return
	}
	select {
	case <-a.attempt.done:
	default:
		a.attempt.err = err
		close(a.attempt.done)
	}
}

// listen answers on local_host, whatever that is at the moment.
func (a *Agent) listen(ctx context.Context) error {
	first := true
	return a.eachConfig(ctx, func(c config.Agent) netip.AddrPort { return c.LocalHost }, func(ctx context.Context, at netip.AddrPort) error {
		started := first
		first = false
		if !at.IsValid() {
			a.attempted(at, nil)
			return nil // only ships logs
		}
		patience := time.Duration(0)
		if started {
			patience = wire.TakenTime
		}
		for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
			ln, err := wire.ListenPatiently(ctx, patience, func() (ln net.Listener, err error) {
				var lc net.ListenConfig
				a.do(func() { ln, err = lc.Listen(ctx, "tcp", at.String()) })
				return ln, err
			}, func(err error) {
				a.log.Warn("local_host is still taken, trying again", "for", patience, "error", err)
			})
			if err == nil {
				a.attempted(at, nil)
				return a.serve(ctx, ln)
			}
			if ctx.Err() != nil {
				return nil
			}
			err = fmt.Errorf("listen on local_host: %w; set another in agent.xml, or end what has it", err)
			a.attempted(at, err)
			if started {
				return err
			}
			// After a reload the old address is gone already: the agent
			// stays up and takes the new one as soon as it can.
			a.log.Error("nobody can ask this agent, trying again", "error", err)
			if !sleep(ctx, wait) {
				return nil
			}
		}
	})
}

// known reports whether the monitor is configured to be at an address: one that
// asks may be elsewhere, but if anyone is let in before others it is that one.
func (a *Agent) known(ip netip.Addr) bool {
	cfg, _ := a.config()
	return cfg.MonitorHost.Addr().Unmap() == ip
}

func (a *Agent) serve(ctx context.Context, ln net.Listener) error {
	a.log.Info("listening", "address", ln.Addr().String())
	srv := &wire.Server{
		TLS:      a.trust.creds.ServerTLS(a.refuse, "", wire.ProtoRPC),
		Identify: ca.Identify,
		Agent:    service{a},
		Trust:    a.take,
		Known:    a.known,
		Denied:   a.denied,
		Logger:   a.log,
	}
	a.trust.serving(srv)
	defer a.trust.serving(nil)
	err := srv.Serve(ctx, ln)
	if ctx.Err() != nil {
		return nil // a call that did not end in time must not end the agent, which only moves
	}
	return err
}
