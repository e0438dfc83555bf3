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
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dtc"
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

	// Do calls its argument where a confined agent may change files below
	// conf/tls and state/, and bind a socket: few threads may. nil: right here.
	Do func(func())

	// Reloading is called when the configuration is being read again; what it
	// returns, when that is over. nil: nobody wants to know.
	Reloading func() (over func())
}

// Agent is one running agent.
type Agent struct {
	opts    Options
	log     *slog.Logger
	trust   *trust
	info    dtc.Info
	status  *status.Collector
	watcher *watch.Watcher
	shipper *ship.Shipper
	asked   chan struct{} // has one element when a question was answered since trim looked
	free    func()        // gives unused memory back to the system

	reloading sync.Mutex // one change of the configuration at a time; before mu

	mu      sync.Mutex
	cfg     config.Agent  // guarded by mu
	changed chan struct{} // guarded by mu; closed when cfg is replaced
	attempt *attempt      // guarded by mu; to listen on cfg.LocalHost
}

// New prepares an agent. It fails where nothing could work: no certificate, an
// unreadable key, a certificate out of its time.
func New(opts Options) (_ *Agent, err error) {
	if opts.Home, err = filepath.Abs(opts.Home); err != nil {
		return nil, err
	}
	trust, err := loadTrust(filepath.Join(opts.Home, "conf", "tls"))
	if err != nil {
		return nil, err
	}
	boot, err := status.BootID()
	if err != nil {
		return nil, fmt.Errorf("read the id of this boot: %w", err)
	}
	if opts.Do == nil {
		opts.Do = func(f func()) { f() }
	}
	if opts.Reloading == nil {
		opts.Reloading = func() func() { return func() {} }
	}
	a := &Agent{
		opts:    opts,
		log:     opts.Logger,
		trust:   trust,
		info:    dtc.Info{Version: opts.Version, Boot: boot, Run: newRunID()},
		cfg:     opts.Config,
		changed: make(chan struct{}),
		attempt: newAttempt(),
		asked:   make(chan struct{}, 1),
		free:    freeMemory,
	}
	a.status = status.New(status.Options{})
	a.watcher = watch.New(watch.Options{
		Run: a.info.Run, Dir: filepath.Join(opts.Home, "state", "watch"), Logger: opts.Logger, Do: opts.Do,
	})
	a.shipper = ship.New(ship.Options{
		Files:  a.shipFiles(opts.Config),
		Scan:   opts.Config.ScanFileTime,
		Boot:   boot,
		Logger: opts.Logger,

		CheckAlias: config.CheckAlias,
	})
	return a, nil
}

// newRunID returns an id that no other run of an agent has.
func newRunID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}

// Run runs the agent until ctx is done or a part of it fails for good.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.alone(ctx); err != nil {
		return err
	}
	actors := []func(context.Context) error{a.control, a.trim, a.warn, a.renew}
	if a.has(PartStatus) {
		actors = append(actors, a.answer)
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

// warnEvery is how often the end of the certificate is looked at.
const warnEvery = 24 * time.Hour

func (a *Agent) warn(ctx context.Context) error {
	for {
		for _, w := range a.trust.creds.Warnings(time.Now()) {
			a.log.Warn("certificate ends soon", "detail", w)
		}
		if !sleep(ctx, warnEvery) {
			return nil
		}
	}
}

// do calls f where the agent may change its files and bind a socket.
func (a *Agent) do(f func()) { a.opts.Do(f) }

func (a *Agent) has(part string) bool {
	return len(a.opts.Parts) == 0 || slices.Contains(a.opts.Parts, part)
}

// Reload reads the configuration again and applies all of it. On an error of
// the file the running configuration stays. It returns when the new local_host
// is listened on; that this cannot be is an error too, but all else is applied,
// and it is tried again.
func (a *Agent) Reload(ctx context.Context) error {
	defer a.opts.Reloading()()
	moving, err := a.reload()
	if err != nil || moving == nil {
		return err
	}
	return moving.wait(ctx)
}

// reload is Reload that does not wait for the new local_host, but returns the
// attempt to listen there; nil if it is the old one.
func (a *Agent) reload() (moving *attempt, err error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	cfg, err := a.opts.Load()
	if err != nil {
		return nil, fmt.Errorf("%w\nreload: the running configuration stays", err)
	}
	a.shipper.Configure(a.shipFiles(cfg), cfg.ScanFileTime)
	a.mu.Lock()
	if cfg.LocalHost != a.cfg.LocalHost && a.has(PartStatus) {
		moving = newAttempt()
		a.attempt = moving
	}
	a.cfg = cfg
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	a.log.Info("configuration applied")
	return moving, nil
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

// SocketPath returns the path of the agent's local socket.
func SocketPath(home string) string { return filepath.Join(home, "state", "agent.sock") }

// VerbReload has the agent read its configuration again.
const VerbReload = "reload"

// alone fails if another agent runs in this home: the two would take the
// streams from one another.
func (a *Agent) alone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := wire.Control(ctx, SocketPath(a.opts.Home), "", nil, nil); err == nil {
		return fmt.Errorf("run the agent in %s: %w; stop that one, or name another home with --home", a.opts.Home, wire.ErrInUse)
	}
	return nil
}

// control answers on the local socket: reload.
func (a *Agent) control(ctx context.Context) error {
	path := SocketPath(a.opts.Home)
	var err error
	a.do(func() { // it makes the socket again when that is removed: the whole time
		err = wire.ServeControl(ctx, path, func(ctx context.Context, verb string, _ json.RawMessage, _ func(any) error) error {
			switch verb {
			case VerbReload:
				return a.Reload(ctx)
			case VerbAlive:
				return a.alive(ctx)
			default:
				return fmt.Errorf("the agent does not know the command %q: is it of another version?", verb)
			}
		}, a.log)
	})
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
