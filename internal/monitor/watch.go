package monitor

import (
	"context"
	"net/netip"
	"reflect"
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
	}
	m.memory.Forget(func(address string) bool {
		at, err := netip.ParseAddrPort(address)
		_, ok := wanted[at]
		return err == nil && ok
	})
}

// target is what the monitor knows of one watched pid.
type target struct {
	known dtc.ProcessID // zero: never seen alive
	boot  string        // of the host, when seen
	name  string
	ended dtc.ProcessID // whose end an earlier run of the monitor told
	told  dtc.State     // the last state in the log, of this run of the monitor
}

// hostWatch watches the processes of one host, over as many connections as it
// takes.
type hostWatch struct {
	m    *Monitor
	stop context.CancelFunc
	done chan struct{} // closed when run is over

	checked time.Time // of the last routine check; of the routine alone

	// writing is held while a sighting is looked at and written: the watch and
	// the routine check see the same processes. It comes before mu.
	writing sync.Mutex

	mu      sync.Mutex
	host    config.Host     // guarded by mu
	changed chan struct{}   // guarded by mu; closed when host is replaced
	targets map[int]*target // guarded by mu; by pid
	down    bool            // guarded by mu; unreachable has been told
	boot    string          // guarded by mu; of the host, "" if not known yet
}

func newHostWatch(m *Monitor, h config.Host, stop context.CancelFunc) *hostWatch {
	w := &hostWatch{
		m: m, stop: stop, done: make(chan struct{}), checked: time.Now(),
		host: h, changed: make(chan struct{}), targets: map[int]*target{},
	}
	w.recall()
	return w
}

// update takes up what the configuration says of the host now. Where that is
// the same, the watch goes on undisturbed.
func (w *hostWatch) update(h config.Host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.host
	before.Line = h.Line
	if reflect.DeepEqual(before, h) {
		return
	}
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
	if err := w.found(info); err != nil {
		return err
	}
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
				return client.Watch(ctx, dtc.Watching{Targets: w.wanted(h.PIDs)}, func(s dtc.Sighting) error {
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
			want := dtc.WatchTarget{PID: pid, Known: t.known}
			if t.known != (dtc.ProcessID{}) {
				want.KnownBoot = t.boot
			}
			list = append(list, want)
		}
	}
	for pid := range w.targets {
		if !configured[pid] { // watched from new if it comes back
			delete(w.targets, pid)
			w.m.memory.DropProcess(w.host.Address.String(), pid)
		}
	}
	return list
}

// settle is how long a watch is given to begin before a routine check that is
// due asks for its processes.
const settle = time.Second

// routine asks for every watched process at each detect_interval_time. Neither
// a lost connection nor a reload puts the next check off.
func (w *hostWatch) routine(ctx context.Context, client *wire.Client) error {
	h, _ := w.current()
	for {
		if !wait(ctx, max(settle, time.Until(w.checked.Add(h.DetectInterval)))) {
			return nil
		}
		w.checked = time.Now()
		if err := w.checkAll(ctx, client, h.PIDs); err != nil {
			return err
		}
	}
}

// checkAll does one routine check.
func (w *hostWatch) checkAll(ctx context.Context, client *wire.Client, configured []int) error {
	var pids []int
	for _, t := range w.wanted(configured) {
		pids = append(pids, t.PID)
	}
	if len(pids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	seen, err := client.Check(ctx, pids, nil)
	if err != nil {
		return err
	}
	for _, s := range seen {
		if err := w.saw(s, check{routine: true}); err != nil {
			return err
		}
	}
	return nil
}

// check tells how a sighting came about.
type check struct{ routine bool }

// saw writes a sighting to the process log, unless it says nothing new.
func (w *hostWatch) saw(s dtc.Sighting, how check) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	now := time.Now()
	w.mu.Lock()
	h := w.host
	t := w.targets[s.Process.PID]
	if t == nil { // no longer configured; what was seen then is told all the same
		t = &target{}
	}
	if s.State == dtc.StateDead && s.Process == t.ended && s.Boot == t.boot {
		t.told = dtc.StateDead // by an earlier run: its zombie is still there
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
func (w *hostWatch) found(info dtc.Info) error {
	w.mu.Lock()
	h, down, boot := w.host, w.down, w.boot
	w.mu.Unlock()
	if down {
		if err := w.tell(h, dtc.StateReachable, ""); err != nil {
			return err
		}
	}
	if boot != "" && boot != info.Boot {
		if err := w.tell(h, dtc.StateRebooted, "the host has started anew since it was last asked"); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.down, w.boot = false, info.Boot
	w.mu.Unlock()
	if down || boot != info.Boot {
		w.rememberState()
	}
	return nil
}

// lost notes that the agent cannot be asked. It is one line, whatever the
// number of attempts, and says nothing of the host's processes.
func (w *hostWatch) lost(err error) {
	w.mu.Lock()
	h, down := w.host, w.down
	w.mu.Unlock()
	if down || w.tell(h, dtc.StateUnreachable, dtc.KindOf(err).String()+": "+err.Error()) != nil {
		return // what is not written has not been told: reachable will not be, either
	}
	w.mu.Lock()
	w.down = true
	w.mu.Unlock()
	w.rememberState()
}

func (w *hostWatch) tell(h config.Host, state dtc.State, reason string) error {
	w.m.log.Info("host", "name", h.Name, "address", h.Address, "state", string(state), "reason", reason)
	err := w.m.record(config.FolderName(h.Address.Addr()), dtc.Event{
		Time: time.Now(), Host: h.Name, Address: h.Address.String(),
		Kind: dtc.EventHost, State: state, Reason: reason,
	})
	if err != nil {
		w.m.log.Error("record an event", "host", h.Name, "state", string(state), "error", err)
	}
	return err
}
