package monitor

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/supervise"
	"dtc/internal/wire"
)

// watchHosts keeps one watch for every configured host.
func (m *Monitor) watchHosts(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := m.recallDeaths(ctx); err != nil && ctx.Err() == nil {
		m.log.Error("read the process logs; an end may be told twice", "error", err)
	}
	running := map[netip.AddrPort]*hostWatch{}
	for {
		cfg, changed := m.config()
		wanted := map[netip.AddrPort]bool{}
		for _, h := range cfg.Hosts {
			wanted[h.Address] = true
			if w := running[h.Address]; w != nil {
				w.update(h)
				continue
			}
			hostCtx, stop := context.WithCancel(ctx)
			w := &hostWatch{m: m, stop: stop, host: h, changed: make(chan struct{}), targets: map[int]*target{}}
			w.recall()
			running[h.Address] = w
			wg.Go(func() { w.run(hostCtx) })
		}
		for at, w := range running {
			if !wanted[at] {
				w.stop()
				delete(running, at)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// target is what the monitor knows of one watched pid.
type target struct {
	known dtc.ProcessID // zero: never seen alive
	boot  string        // of the host, when seen
	name  string
	told  dtc.State // the last state in the log, of this run of the monitor
}

// hostWatch watches the processes of one host, over as many connections as it
// takes.
type hostWatch struct {
	m    *Monitor
	stop context.CancelFunc

	mu      sync.Mutex
	host    config.Host     // guarded by mu
	changed chan struct{}   // guarded by mu; closed when host is replaced
	targets map[int]*target // guarded by mu; by pid
	down    bool            // guarded by mu; unreachable has been told
	boot    string          // guarded by mu; of the host, "" if not known yet
}

func (w *hostWatch) update(h config.Host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.host = h
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *hostWatch) current() (config.Host, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host, w.changed
}

func (w *hostWatch) run(ctx context.Context) {
	h, _ := w.current()
	w.m.fleet.Keep(ctx, fleet.Host{Name: h.Name, Address: h.Address, Groups: h.Groups}, fleet.Keeper{Up: w.up, Down: w.lost})
}

// up watches over one connection until that breaks or ctx is done.
func (w *hostWatch) up(ctx context.Context, client *wire.Client, info dtc.Info) error {
	w.found(info)
	for ctx.Err() == nil {
		h, changed := w.current()
		acks := newAcks(w.m, client, config.FolderName(h.Address.Addr()))
		err := supervise.Run(ctx,
			func(ctx context.Context) error { // ends when the configuration changes
				select {
				case <-ctx.Done():
				case <-changed:
				}
				return nil
			},
			func(ctx context.Context) error {
				return client.Watch(ctx, w.wanted(h.PIDs), func(s dtc.Sighting) error {
					if err := w.saw(s, check{}); err != nil {
						return err
					}
					acks.add(s)
					return nil
				})
			},
			func(ctx context.Context) error { return w.routine(ctx, client) },
			acks.run,
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted lists what the agent shall watch: all pids but those whose end has
// been told.
func (w *hostWatch) wanted(pids []int) []dtc.WatchTarget {
	w.mu.Lock()
	defer w.mu.Unlock()
	configured := map[int]bool{}
	var list []dtc.WatchTarget
	for _, pid := range pids {
		configured[pid] = true
		t := w.targets[pid]
		if t == nil {
			t = &target{}
			w.targets[pid] = t
		}
		if t.told != dtc.StateDead {
			list = append(list, dtc.WatchTarget{PID: pid, Known: t.known, KnownBoot: t.boot})
		}
	}
	for pid := range w.targets {
		if !configured[pid] {
			delete(w.targets, pid) // watched from new if it comes back
		}
	}
	return list
}

// routine asks for every watched process at each detect_interval_time.
func (w *hostWatch) routine(ctx context.Context, client *wire.Client) error {
	h, _ := w.current()
	tick := time.NewTicker(h.DetectInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var pids []int
		for _, t := range w.wanted(h.PIDs) {
			pids = append(pids, t.PID)
		}
		if len(pids) == 0 {
			continue
		}
		callCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
		seen, err := client.Check(callCtx, pids)
		cancel()
		if err != nil {
			return err
		}
		for _, s := range seen {
			if err := w.saw(s, check{routine: true}); err != nil {
				return err
			}
		}
	}
}

// check tells how a sighting came about.
type check struct{ routine bool }

// saw writes a sighting to the process log, unless it says nothing new.
func (w *hostWatch) saw(s dtc.Sighting, how check) error {
	now := time.Now()
	w.mu.Lock()
	h := w.host
	t := w.targets[s.Process.PID]
	if t == nil { // no longer configured; what was seen then is told all the same
		t = &target{}
	}
	before := *t
	w.mu.Unlock()

	same := before.told == s.State && (s.State != dtc.StateAlive || before.known == s.Process)
	if before.told == dtc.StateDead || (same && !how.routine) {
		return nil
	}
	e := dtc.Event{
		Time: now, Host: h.Name, Address: h.Address.String(), Kind: dtc.EventProcess,
		State: s.State, PID: s.Process.PID, Name: s.Name,
	}
	if e.Name == "" {
		e.Name = before.name
	}
	if s.Number != 0 {
		e.ID = sightingID(s)
	}
	if s.State == dtc.StateDead {
		e.Exit, e.Lived = &s.Exit, s.Lived
		if s.Age > time.Second {
			e.DiedAt = now.Add(-s.Age)
		}
	}
	if err := w.m.record(config.FolderName(h.Address.Addr()), e); err != nil {
		return err
	}
	w.mu.Lock()
	t.told = s.State
	if s.State == dtc.StateAlive {
		t.known, t.boot, t.name = s.Process, s.Boot, s.Name
	}
	w.mu.Unlock()
	if s.State != before.told {
		w.rememberProcess(e.Address, s)
	}
	return nil
}

// found notes that the agent answers: that it can be asked again, and whether
// its host has rebooted since.
func (w *hostWatch) found(info dtc.Info) {
	w.mu.Lock()
	h, down, boot := w.host, w.down, w.boot
	w.down, w.boot = false, info.Boot
	w.mu.Unlock()
	if down {
		w.tell(h, dtc.StateReachable, "")
	}
	if boot != "" && boot != info.Boot {
		w.tell(h, dtc.StateRebooted, "the host has started anew since it was last asked")
	}
	if down || boot != info.Boot {
		w.rememberState()
	}
}

// lost notes that the agent cannot be asked. It is one line, whatever the
// number of attempts, and says nothing of the host's processes.
func (w *hostWatch) lost(err error) {
	w.mu.Lock()
	h, down := w.host, w.down
	w.down = true
	w.mu.Unlock()
	if !down {
		w.tell(h, dtc.StateUnreachable, dtc.KindOf(err).String()+": "+err.Error())
		w.rememberState()
	}
}

func (w *hostWatch) tell(h config.Host, state dtc.State, reason string) {
	w.m.log.Info("host", "name", h.Name, "address", h.Address, "state", string(state), "reason", reason)
	err := w.m.record(config.FolderName(h.Address.Addr()), dtc.Event{
		Time: time.Now(), Host: h.Name, Address: h.Address.String(),
		Kind: dtc.EventHost, State: state, Reason: reason,
	})
	if err != nil {
		w.m.log.Error("record an event", "host", h.Name, "state", string(state), "error", err)
	}
}
