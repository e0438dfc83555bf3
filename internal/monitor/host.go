package monitor

import (
	"context"
	"reflect"
	"sync"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/events"
	"dtc/internal/fleet"
	"dtc/internal/supervise"
	"dtc/internal/wire"
)

// hostWatch watches the processes of one host, over as many connections as it
// takes.
type hostWatch struct {
	m    *Monitor
	stop context.CancelFunc
	done chan struct{} // closed when run is over

	checked time.Time // of the last routine check; of the routine alone
	pace    pace

	// writing is held while a sighting is looked at and written: the watch and
	// the routine check see the same processes. It comes before mu.
	writing sync.Mutex

	mu      sync.Mutex
	host    config.Host           // guarded by mu
	former  config.Host           // guarded by mu; as it was before the last change
	changed chan struct{}         // guarded by mu; closed when host is replaced
	targets map[int]*target       // guarded by mu; by pid
	rules   map[string]*ruleWatch // guarded by mu; by name
	strange bool                  // guarded by mu; the agent told what it was not asked, and that has been logged
	failing bool                  // guarded by mu; the last event could not be recorded, and that has been logged
	state   events.HostState      // guarded by mu; as told
}

func newHostWatch(m *Monitor, h config.Host, stop context.CancelFunc) *hostWatch {
	w := &hostWatch{
		m: m, stop: stop, done: make(chan struct{}), checked: time.Now(), pace: newPace(time.Now()),
		host: h, changed: make(chan struct{}), targets: map[int]*target{}, rules: map[string]*ruleWatch{},
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
	before.Line, before.PIDLine, before.RuleLines = h.Line, h.PIDLine, h.RuleLines
	if reflect.DeepEqual(before, h) {
		return
	}
	w.former, w.host = w.host, h
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
				return client.Watch(ctx, w.wanted(h), func(s dtc.Sighting) error {
					if err := w.saw(ctx, s, check{}); err != nil {
						return err
					}
					acks.add(s)
					return nil
				})
			},
			func(ctx context.Context) error { return w.routine(ctx, client) },
			func(ctx context.Context) error { return w.keepTrust(ctx, client) },
			acks.run,
		)
		if err != nil {
			return err
		}
	}
	return nil
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
		if err := w.checkAll(ctx, client, h); err != nil {
			return err
		}
	}
}

// checkAll does one routine check.
func (w *hostWatch) checkAll(ctx context.Context, client *wire.Client, h config.Host) error {
	want := w.wanted(h)
	asked := map[subject]bool{}
	var pids []int
	for _, t := range want.Targets {
		pids = append(pids, t.PID)
		asked[subject{pid: t.PID}] = true
	}
	var names []string
	for _, r := range want.Rules {
		names = append(names, r.Name)
		asked[subject{rule: r.Name}] = true
	}
	if len(asked) == 0 {
		return nil
	}
	w.beginCheck()
	callCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	seen, err := client.Check(callCtx, pids, names)
	if err != nil {
		return err
	}
	how := check{routine: true, answered: map[subject]bool{}}
	for _, s := range seen {
		of := subject{rule: s.Rule}
		if s.Rule == "" {
			of.pid = s.Process.PID
		}
		if !asked[of] {
			continue
		}
		if err := w.saw(ctx, s, how); err != nil {
			return err
		}
	}
	return nil
}

// check tells how a sighting came about.
type check struct {
	routine  bool
	answered map[subject]bool // of a routine check: what it has said already
}

// subject is what a sighting is of: a watched pid, a process of a rule, or with
// pid 0 a rule as a whole.
type subject struct {
	rule string
	pid  int
}
