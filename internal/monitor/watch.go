package monitor

import (
	"context"
	"net/netip"
	"sync"

	"dtc/internal/config"
)

// watchHosts keeps one watch for every configured host.
func (m *Monitor) watchHosts(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := m.recallEvents(ctx); err != nil && ctx.Err() == nil {
		m.log.Error("read the process logs; an end may be told twice", "error", err)
	}
	running := map[netip.AddrPort]*hostWatch{}
	for {
		cfg, changed := m.config()
		wanted := map[netip.AddrPort]config.Host{}
		for _, h := range cfg.Hosts {
			wanted[h.Address] = h
		}
		m.dropHosts(running, wanted)
		for at, h := range wanted {
			if w := running[at]; w != nil {
				w.update(h)
				continue
			}
			hostCtx, stop := context.WithCancel(ctx)
			w := newHostWatch(m, h, stop)
			running[at] = w
			wg.Go(func() {
				defer close(w.done)
				w.run(hostCtx)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// dropHosts ends the watches of hosts that are no longer wanted, and forgets
// what was known of them: who comes back is watched from new.
func (m *Monitor) dropHosts(running map[netip.AddrPort]*hostWatch, wanted map[netip.AddrPort]config.Host) {
	var gone []netip.AddrPort
	for at, w := range running {
		if _, ok := wanted[at]; !ok {
			w.stop()
			gone = append(gone, at)
		}
	}
	for _, at := range gone {
		<-running[at].done
		delete(running, at)
		m.fleet.Forget(at)
		m.outage.worked(at)
	}
	m.memory.Forget(func(address string) bool {
		at, err := netip.ParseAddrPort(address)
		_, ok := wanted[at]
		return err == nil && ok
	})
}
