package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"dtc/internal/logs"
	"dtc/internal/monitor"
	"dtc/internal/service"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newServeCommand(a *app) *cobra.Command {
	var only []string
	var format string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the background service in the foreground: process watch, log receiver, notices, joining",
		Long: `Run the background service in the foreground until SIGTERM or SIGINT; SIGHUP
or "dtc reload" reads the configuration again. It logs to standard error.

It watches the monitor_process and monitor_pid of monitor.xml, receives the logs
that agents follow, tells the receivers of the notify elements what happens, and
lets hosts join.

Exit status: 0 ended by a signal, 1 it could not run, 2 wrong arguments or
configuration.`,
		Example: "  dtc serve --home /opt/dtc\n  dtc serve --only process",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return service.RunAs(c.Context(), serviceName, func(ctx context.Context) error { return a.serve(ctx, only, format) })
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "parts to run: process (watches processes), log (receives files), notify (tells people)")
	c.Flags().StringVar(&format, "log-format", "text", "of the program's own log: text or json")
	completeFlags(c, map[string]cobra.CompletionFunc{
		"only":       completeWords(monitor.PartProcess, monitor.PartLog, monitor.PartNotify),
		"log-format": completeWords("text", "json"),
	})
	return c
}

func (a *app) serve(ctx context.Context, only []string, format string) error {
	if err := a.mustBeHere("serve"); err != nil {
		return err
	}
	for _, part := range only {
		if !slices.Contains([]string{monitor.PartProcess, monitor.PartLog, monitor.PartNotify}, part) {
			return usagef("--only %q: not a part of the service, expected process, log or notify", part)
		}
	}
	log, err := a.logger(format)
	if err != nil {
		return err
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if _, err := a.openAuthority(); err != nil {
		return err // says what is missing of the home
	}
	a.awaitCopies(ctx, log)
	notifier := a.notifier(log)
	m, err := monitor.New(monitor.Options{
		Home: a.homeDir(), ConfigPath: a.configPath(), Config: cfg, Load: a.loadConfig,
		Parts: only, Version: version, Logger: log, Reloading: notifier.Reloading,
	})
	if errors.Is(err, fs.ErrNotExist) {
		return usageError(err)
	}
	if err != nil {
		return err
	}
	stop := onHangup(func() {
		if err := m.Reload(ctx); err != nil {
			for line := range strings.Lines(err.Error()) {
				log.Error("reload", "error", strings.TrimSpace(line))
			}
		}
	})
	defer stop()
	log.Info("dtc serve starts", "version", version, "pid", os.Getpid(), "hosts", len(cfg.Hosts))
	if err := notifier.Run(ctx, m); err != nil {
		return err
	}
	log.Info("dtc serve stopped")
	return nil
}

// awaitCopies waits a moment for a service that has the copies and does not
// answer: one that was killed has its files until the system has closed them all.
func (a *app) awaitCopies(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, wire.TakenTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for told := false; logs.Held(a.logsDir()) && wire.Control(ctx, a.socket(), "", nil, nil) != nil; told = true {
		if !told {
			log.Warn("another service has the copies still, waiting for its end", "for", wire.TakenTime)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// notifier returns who tells the service manager how the service is; nil where it
// was not started by one that wants to know.
func (a *app) notifier(log *slog.Logger) *service.Notifier {
	n, err := service.NewNotifier(a.getenv, log)
	if err != nil {
		log.Warn("the service manager is told nothing", "error", err)
	}
	return n
}

// logger returns the program's own log.
func (a *app) logger(format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(service.Log(serviceName, a.stderr), nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(service.Log(serviceName, a.stderr), nil)), nil
	default:
		return nil, usagef("--log-format %q: expected text or json", format)
	}
}

func newReloadCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running service read its configuration again",
		Long: `Have the running service read its configuration again and apply all of it: hosts,
what is watched, who is told, maintenance. A file with a mistake is reported and the
running configuration stays.

Exit status: 0 applied, 1 no service runs, the file has a mistake or the new
local_host cannot be listened on, 2 no home or wrong arguments.`,
		Example: "  dtc reload --home /opt/dtc",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := a.control(c.Context(), monitor.VerbReload, nil, nil)
			if errors.Is(err, wire.ErrNoService) {
				if !exists(a.configPath()) {
					return a.noHome(a.configPath())
				}
				return fmt.Errorf("reload: no service runs in the home %s: start it with 'dtc serve', or name its home with --home", a.homeDir())
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "configuration applied")
			return nil
		},
	}
}
