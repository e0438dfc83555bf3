package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"dtc"

	"dtc/internal/config"
	"dtc/internal/wire"
)

// Pauses between attempts to reach the monitor, and to listen again after a
// reload has named an address that is not to be had.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
	// A monitor that nothing comes from is tried more often: a try costs a few
	// packets, and nobody is there whom all hosts of a fleet could press.
	silentRetry = 500 * time.Millisecond
	silentAfter = 3 * time.Second
)

// eachConfig calls run with a context that ends when the value that pick takes
// from the configuration changes, and then again with the new one.
func (a *Agent) eachConfig(ctx context.Context, pick func(config.Agent) netip.AddrPort, run func(context.Context, netip.AddrPort) error) error {
	for ctx.Err() == nil {
		cfg, changed := a.config()
		value := pick(cfg)
		part, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			defer cancel()
			for {
				select {
				case <-part.Done():
					return
				case <-changed:
				}
				if cfg, changed = a.config(); pick(cfg) != value {
					return
				}
			}
		})
		err := run(part, value)
		if err == nil {
			<-part.Done()
		}
		cancel()
		wg.Wait()
		if err != nil {
			return err
		}
	}
	return nil
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
			if kind := dtc.KindOf(err); kind == dtc.KindTimeout || kind == dtc.KindNoRoute {
				wait = min(wait, silentRetry)
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
	d := wire.Dialer{TLS: a.trust.creds.ToMonitor(), Connect: silentAfter}
	dialCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	conn, err := d.Dial(dialCtx, to, wire.ProtoLog)
	cancel()
	if err != nil {
		return err
	}
	link := wire.NewLink(conn)
	var guards sync.WaitGroup
	defer guards.Wait()
	guarding, end := context.WithCancel(ctx)
	defer end()
	defer link.Close()
	guards.Go(func() { a.guard(guarding, conn) })
	// With TLS 1.3 the monitor judges this side after the handshake: its first
	// frame says that it accepts.
	err = a.shipper.Serve(ctx, &greeted{Link: link, hello: func() {
		a.log.Info("connected to the monitor", "monitor", to)
		a.trust.connected()
	}})
	switch {
	case err == nil:
		return errors.New("the monitor closed the connection")
	case dtc.KindOf(err) == dtc.KindCertificate:
		return notAccepted(err)
	default:
		return err
	}
}

// greeted is a link that calls hello with the first frame that comes.
type greeted struct {
	*wire.Link
	hello func() // nil when it has been called
}

func (g *greeted) Recv(f *dtc.Frame) error {
	err := g.Link.Recv(f)
	if err == nil && g.hello != nil {
		g.hello()
		g.hello = nil
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
