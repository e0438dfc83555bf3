// Package agent puts the agent together: one listener that answers a monitor's
// questions and watches processes for it, and one connection that carries the
// followed files to the monitor. It reads its host and writes nothing outside
// its home.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/ship"
	"dtc/internal/status"
	"dtc/internal/supervise"
	"dtc/internal/watch"
	"dtc/internal/wire"
)

// Parts of the agent, as --only names them.
const (
	PartStatus = "status" // answers and watches
	PartLog    = "log"    // ships the followed files
)

// Options are the settings of an [Agent].
type Options struct {
	Home    string // folder with conf/ and state/
	Config  config.Agent
	Load    func() (config.Agent, error) // reads the configuration again, for Reload
	Parts   []string                     // PartStatus, PartLog; empty is all
	Version string
	Logger  *slog.Logger
}

// Agent is one running agent.
type Agent struct {
	opts    Options
	log     *slog.Logger
	creds   *ca.Credentials
	info    dtc.Info
	status  *status.Collector
	watcher *watch.Watcher
	shipper *ship.Shipper
	asked   chan struct{} // has one element when a question was answered since trim looked

	mu      sync.Mutex
	cfg     config.Agent  // guarded by mu
	changed chan struct{} // guarded by mu; closed when cfg is replaced
}

// New prepares an agent. It fails where nothing could work: no certificate, an
// unreadable key, a certificate out of its time.
func New(opts Options) (*Agent, error) {
	creds, err := ca.Load(filepath.Join(opts.Home, "conf", "tls"), dtc.RoleAgent)
	if err != nil {
		return nil, err
	}
	boot, err := status.BootID()
	if err != nil {
		return nil, fmt.Errorf("read the id of this boot: %w", err)
	}
	a := &Agent{
		opts:    opts,
		log:     opts.Logger,
		creds:   creds,
		info:    dtc.Info{Version: opts.Version, Boot: boot, Run: newRunID()},
		cfg:     opts.Config,
		changed: make(chan struct{}),
		asked:   make(chan struct{}, 1),
	}
	a.status = status.New(status.Options{})
	a.watcher = watch.New(watch.Options{Run: a.info.Run, Logger: opts.Logger})
	a.shipper = ship.New(ship.Options{
		Files:  a.shipFiles(opts.Config),
		Scan:   opts.Config.ScanFileTime,
		Boot:   boot,
		Logger: opts.Logger,
	})
	return a, nil
}

// newRunID returns an id that no other run of an agent has.
func newRunID() string {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never returns an error
	return hex.EncodeToString(b[:])
}

// Run runs the agent until ctx is done or a part of it fails for good.
func (a *Agent) Run(ctx context.Context) error {
	for _, w := range a.creds.Warnings(time.Now()) {
		a.log.Warn("certificate ends soon", "detail", w)
	}
	actors := []func(context.Context) error{a.control, a.trim}
	if a.has(PartStatus) {
		actors = append(actors, a.status.Run, a.watcher.Run, a.listen)
	}
	if a.has(PartLog) {
		actors = append(actors, a.shipper.Run, a.connect)
	}
	err := supervise.Run(ctx, actors...)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (a *Agent) has(part string) bool {
	if len(a.opts.Parts) == 0 {
		return true
	}
	for _, p := range a.opts.Parts {
		if p == part {
			return true
		}
	}
	return false
}

// Reload reads the configuration again and applies all of it. On an error the
// running configuration stays.
func (a *Agent) Reload() error {
	cfg, err := a.opts.Load()
	if err != nil {
		return err
	}
	a.shipper.Configure(a.shipFiles(cfg), cfg.ScanFileTime)
	a.mu.Lock()
	a.cfg = cfg
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	a.log.Info("configuration applied")
	return nil
}

// config returns the configuration in force and a channel that is closed when
// it is replaced.
func (a *Agent) config() (config.Agent, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg, a.changed
}

// shipFiles makes the configured paths absolute: a relative one is relative to
// the home.
func (a *Agent) shipFiles(cfg config.Agent) []ship.File {
	files := make([]ship.File, len(cfg.Files))
	for i, f := range cfg.Files {
		path := f.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(a.opts.Home, path)
		}
		files[i] = ship.File{Path: path, Alias: f.Alias, FromEnd: f.FromEnd}
	}
	return files
}

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

// control answers on the local socket: reload.
func (a *Agent) control(ctx context.Context) error {
	path := filepath.Join(a.opts.Home, "state", "agent.sock")
	err := wire.ServeControl(ctx, path, func(_ context.Context, verb string, _ json.RawMessage, _ func(any) error) error {
		if verb != "reload" {
			return fmt.Errorf("unknown command %q", verb)
		}
		return a.Reload()
	}, a.log)
	if err != nil && ctx.Err() == nil {
		if errors.Is(err, wire.ErrInUse) {
			return err
		}
		// Everything else works without it; SIGHUP still reloads.
		a.log.Warn("no local control socket: reload by signal only", "path", path, "error", err)
		<-ctx.Done()
	}
	return nil
}
