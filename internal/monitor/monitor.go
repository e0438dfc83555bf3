// Package monitor puts the background service together: it watches processes
// on every host, receives followed log files, and answers the local commands
// of the operator.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/events"
	"dtc/internal/fleet"
	"dtc/internal/logs"
	"dtc/internal/notify"
	"dtc/internal/supervise"
	"dtc/internal/wire"
)

// Parts of the service, as --only names them.
const (
	PartProcess = "process" // watches processes
	PartLog     = "log"     // receives followed files
	PartNotify  = "notify"  // tells people what happened
)

// Options are the settings of a [Monitor].
type Options struct {
	Home       string // folder with conf/, logs/ and state/
	ConfigPath string // of monitor.xml: join adds hosts to it
	Config     config.Monitor
	Load       func() (config.Monitor, error) // reads the configuration again
	Parts      []string                       // PartProcess, PartLog, PartNotify; empty is all
	Version    string
	Logger     *slog.Logger

	// Reloading is called when the configuration is being read again; what it
	// returns, when that is over. nil: nobody wants to know.
	Reloading func() (over func())
}

// Monitor is one running service.
type Monitor struct {
	opts      Options
	log       *slog.Logger
	creds     *ca.Credentials
	authority *ca.Authority
	events    *events.Store
	memory    *events.Memory
	logs      *logs.Store      // nil without PartLog
	notifier  *notify.Notifier // nil without PartNotify; set by Run before it starts anything, with reloading held
	fleet     *fleet.Fleet
	outage    *outage
	trustees  *trustees
	refusals  wire.Refusals
	run       string        // id of this run, for the events it makes itself
	number    atomic.Uint64 // of the last of these events

	reloading sync.Mutex // one change of the configuration at a time

	mu      sync.Mutex
	cfg     config.Monitor // guarded by mu
	changed chan struct{}  // guarded by mu; closed when cfg is replaced
	server  *wire.Server   // guarded by mu; nil while nothing listens
	attempt *attempt       // guarded by mu; to listen on cfg.LocalHost
}

// New prepares the service. It fails where nothing could work: no certificate,
// a logs/ that cannot be written.
func New(opts Options) (*Monitor, error) {
	if opts.Reloading == nil {
		opts.Reloading = func() func() { return func() {} }
	}
	dir := filepath.Join(opts.Home, "conf", "tls")
	creds, err := ca.Load(dir, dtc.RoleMonitor)
	if err != nil {
		return nil, err
	}
	authority, err := ca.Open(dir)
	if err != nil {
		return nil, err
	}
	m := &Monitor{
		opts:      opts,
		log:       opts.Logger,
		creds:     creds,
		authority: authority,
		run:       events.NewRun(),
		cfg:       opts.Config,
		changed:   make(chan struct{}),
		attempt:   newAttempt(),
		trustees:  newTrustees(),
		refusals:  wire.Refusals{Told: true},
	}
	m.fleet, m.outage = fleet.New(m.dialHost), newOutage(m)
	dir = filepath.Join(opts.Home, "logs")
	m.memory, err = events.OpenMemory(filepath.Join(opts.Home, "state", "watch.json"), opts.Logger)
	if err != nil {
		return nil, err
	}
	if m.events, err = events.Open(dir, events.Options{Logger: opts.Logger, Recorded: m.recorded}); err != nil {
		return nil, err
	}
	m.memory.SyncFirst(func(ctx context.Context) error { return m.events.Sync(ctx) })
	if m.has(PartLog) {
		m.logs, err = logs.OpenStore(dir, logs.Options{
			Report:     m.report,
			Folder:     m.folder,
			Valid:      m.certified,
			CheckAlias: config.CheckAlias,
			Logger:     opts.Logger,
		})
		if err != nil {
			_ = m.events.Close() // the store's error tells more
			return nil, err
		}
		m.retain(&m.cfg)
	}
	return m, nil
}

// Run runs the service until ctx is done or a part of it fails for good.
func (m *Monitor) Run(ctx context.Context) error {
	defer m.close(ctx)
	if err := m.alone(ctx); err != nil {
		return err
	}
	actors := []func(context.Context) error{m.control, m.listen, m.warn, m.events.Run, m.tend, m.countRefusals}
	if m.has(PartNotify) {
		if err := m.openNotifier(ctx); err != nil {
			return err
		}
		actors = append(actors, m.notifier.Run)
	}
	if m.has(PartProcess) {
		actors = append(actors, m.watchHosts, m.memory.Run, m.outage.run)
	}
	if m.logs != nil {
		actors = append(actors, m.logs.Run)
	}
	err := supervise.Run(ctx, actors...)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// warnEvery is how often the ends of certificates are looked at.
const warnEvery = 24 * time.Hour

// warn tells of the own certificates and of the agents' that end soon.
func (m *Monitor) warn(ctx context.Context) error {
	for {
		now := time.Now()
		for _, w := range m.creds.Warnings(now) {
			m.log.Warn("certificate ends soon", "detail", w)
		}
		for _, r := range m.authority.Issued() {
			if left := r.Expires.Sub(now); r.Role == dtc.RoleAgent && r.Valid(now) && left < 30*24*time.Hour {
				m.log.Warn("an agent's certificate ends soon: let it join again", "name", r.Name, "ends", r.Expires)
			}
		}
		if !wait(ctx, warnEvery) {
			return nil
		}
	}
}

func (m *Monitor) close(ctx context.Context) {
	m.fleet.Close()
	// What the watches noted while the memory was being written for the last time.
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := m.memory.Run(done); err != nil {
		m.log.Error("remember the state of the hosts", "error", err)
	}
	if m.logs != nil {
		if err := m.logs.Close(); err != nil {
			m.log.Error("close the copies", "error", err)
		}
	}
	if err := m.events.Close(); err != nil {
		m.log.Error("close the event logs", "error", err)
	}
}

func (m *Monitor) has(part string) bool {
	return len(m.opts.Parts) == 0 || slices.Contains(m.opts.Parts, part)
}

// Reload reads the configuration again and applies all of it. On an error of
// the file the running configuration stays. It returns when the new local_host
// is listened on; that this cannot be is an error too, but all else is applied,
// and it is tried again.
func (m *Monitor) Reload(ctx context.Context) error {
	defer m.opts.Reloading()()
	m.reloading.Lock()
	attempt, err := m.reload()
	m.reloading.Unlock()
	if err != nil || attempt == nil {
		return err
	}
	return attempt.wait(ctx)
}

// reload is Reload for a caller that holds m.reloading. It does not wait for
// the new local_host, but returns the attempt; nil if it is the old one.
func (m *Monitor) reload() (*attempt, error) {
	cfg, configErr := m.opts.Load()
	if configErr == nil && m.notifier != nil { // before anything of a new host can happen
		configErr = m.notifier.Configure(notifyConfig(&cfg))
	}
	m.mu.Lock()
	before := m.cfg.Hosts
	var moving *attempt
	if configErr == nil {
		if cfg.LocalHost != m.cfg.LocalHost {
			moving = newAttempt()
			m.attempt = moving
		}
		m.cfg = cfg
		close(m.changed)
		m.changed = make(chan struct{})
	}
	m.mu.Unlock()
	// A mistake in the configuration must not keep a revoked agent in.
	err := m.trust(before)
	if configErr == nil {
		m.retain(&cfg)
	}
	if err != nil {
		return moving, errors.Join(configErr, err)
	}
	if configErr != nil {
		return nil, fmt.Errorf("%w\nreload: the running configuration stays", configErr)
	}
	m.log.Info("configuration applied", "hosts", len(cfg.Hosts))
	return moving, nil
}

// config returns the configuration in force and a channel that is closed when
// it is replaced.
func (m *Monitor) config() (config.Monitor, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg, m.changed
}

// revoked reports whether a peer with a valid certificate is refused all the
// same.
func (m *Monitor) revoked(peer dtc.Peer) bool { return !m.authority.Valid(peer) }

// certified tells whether an agent has a certificate that is neither revoked
// nor over.
func (m *Monitor) certified(id string) bool {
	now := time.Now()
	return slices.ContainsFunc(m.authority.Issued(), func(r ca.Record) bool { return r.ID == id && r.Valid(now) })
}

// trust takes up what the register says of certificates now, and closes what
// revoked agents still have open.
func (m *Monitor) trust(hosts []config.Host) error {
	if err := m.authority.Reload(); err != nil {
		return err
	}
	m.distrust(hosts)
	m.trustees.look()
	return m.apply()
}

// wait waits for d and reports whether ctx is good.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
