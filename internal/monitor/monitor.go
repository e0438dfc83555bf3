// Package monitor puts the background service together: it watches processes
// on every host, receives followed log files, and answers the local commands
// of the operator.
package monitor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
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
	"dtc/internal/supervise"
	"dtc/internal/wire"
)

// Parts of the service, as --only names them.
const (
	PartProcess = "process" // watches processes
	PartLog     = "log"     // receives followed files
)

// Options are the settings of a [Monitor].
type Options struct {
	Home       string // folder with conf/, logs/ and state/
	ConfigPath string // of monitor.xml: join adds hosts to it
	Config     config.Monitor
	Load       func() (config.Monitor, error) // reads the configuration again
	Parts      []string                       // PartProcess, PartLog; empty is all
	Version    string
	Logger     *slog.Logger
}

// Monitor is one running service.
type Monitor struct {
	opts      Options
	log       *slog.Logger
	creds     *ca.Credentials
	authority *ca.Authority // nil without the CA's key: nobody can join then
	events    *events.Store
	memory    *events.Memory
	logs      *logs.Store // nil without PartLog
	fleet     *fleet.Fleet
	run       string        // id of this run, for the events it makes itself
	number    atomic.Uint64 // of the last of these events

	reloading sync.Mutex // one change of the configuration at a time

	mu      sync.Mutex
	cfg     config.Monitor // guarded by mu
	changed chan struct{}  // guarded by mu; closed when cfg is replaced
	server  *wire.Server   // guarded by mu; nil while nothing listens
}

// New prepares the service. It fails where nothing could work: no certificate,
// a logs/ that cannot be written.
func New(opts Options) (*Monitor, error) {
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
		run:       newRunID(),
		cfg:       opts.Config,
		changed:   make(chan struct{}),
	}
	m.fleet = fleet.New(m.dialHost)
	dir = filepath.Join(opts.Home, "logs")
	m.memory, err = events.OpenMemory(filepath.Join(opts.Home, "state", "watch.json"), opts.Logger)
	if err != nil {
		return nil, err
	}
	if m.events, err = events.Open(dir, events.Options{Logger: opts.Logger}); err != nil {
		return nil, err
	}
	if m.has(PartLog) {
		m.logs, err = logs.OpenStore(dir, logs.Options{
			Report:     m.report,
			Folder:     m.folder,
			CheckAlias: config.CheckAlias,
			Logger:     opts.Logger,
		})
		if err != nil {
			_ = m.events.Close() // the store's error tells more
			return nil, err
		}
	}
	return m, nil
}

// newRunID returns an id that no other run of a monitor has.
func newRunID() string {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never returns an error
	return hex.EncodeToString(b[:])
}

// Run runs the service until ctx is done or a part of it fails for good.
func (m *Monitor) Run(ctx context.Context) error {
	defer m.close()
	for _, w := range m.creds.Warnings(time.Now()) {
		m.log.Warn("certificate ends soon", "detail", w)
	}
	actors := []func(context.Context) error{m.control, m.listen}
	if m.has(PartProcess) {
		actors = append(actors, m.watchHosts, m.memory.Run)
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

func (m *Monitor) close() {
	m.fleet.Close()
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

// Reload reads the configuration again and applies all of it. On an error the
// running configuration stays.
func (m *Monitor) Reload() error {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	return m.reload()
}

// reload is Reload for a caller that holds m.reloading.
func (m *Monitor) reload() error {
	// First what protects the fleet: a mistake in the configuration must not
	// keep a revoked agent in.
	if err := m.authority.Reload(); err != nil {
		return err
	}
	m.dropRevoked()
	cfg, err := m.opts.Load()
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.cfg = cfg
	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()
	m.log.Info("configuration applied", "hosts", len(cfg.Hosts))
	return nil
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

// dropRevoked closes what revoked agents still have open.
func (m *Monitor) dropRevoked() {
	m.mu.Lock()
	srv := m.server
	m.mu.Unlock()
	if srv != nil {
		srv.Disconnect(m.revoked)
	}
	now := time.Now()
	state := map[netip.Addr]bool{} // of each ip: whether a valid certificate has it
	for _, r := range m.authority.Issued() {
		for _, ip := range r.IPs {
			state[ip] = state[ip] || r.Valid(now)
		}
	}
	cfg, _ := m.config()
	for _, h := range cfg.Hosts {
		if valid, known := state[h.Address.Addr()]; known && !valid {
			m.fleet.Forget(h.Address)
		}
	}
}

// listen receives logs and joins on local_host, whatever that is at the moment.
func (m *Monitor) listen(ctx context.Context) error {
	for first := true; ctx.Err() == nil; first = false {
		cfg, changed := m.config()
		if err := m.listenOn(ctx, cfg.LocalHost, changed); err != nil {
			if first {
				return err
			}
			// The old address is gone already: stay up, and take the new one
			// as soon as it is to be had.
			m.log.Error("cannot listen", "error", err)
			if !wait(ctx, time.Second, nil) {
				return nil
			}
		}
	}
	return nil
}

// listenOn serves at one address until the configuration names another.
func (m *Monitor) listenOn(ctx context.Context, at netip.AddrPort, changed <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
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
		return moved(ctx)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return fmt.Errorf("listen on local_host %s: %w", at, err)
	}
	m.log.Info("listening", "address", ln.Addr().String())
	srv := &wire.Server{
		TLS:      m.creds.ServerTLS(m.revoked, wire.ProtoJoin, wire.ProtoRPC, wire.ProtoLog),
		Identify: ca.Identify,
		Join:     m.join,
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
	return supervise.Run(ctx, moved, func(ctx context.Context) error { return srv.Serve(ctx, ln) })
}

func (m *Monitor) setServer(srv *wire.Server) {
	m.mu.Lock()
	m.server = srv
	m.mu.Unlock()
}

// wait waits for d, or less if wake comes, and reports whether ctx is good.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
