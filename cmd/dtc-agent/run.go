package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dtc/internal/agent"
	"dtc/internal/config"
	"dtc/internal/confine"
	"dtc/internal/service"

	"github.com/spf13/cobra"
)

func newRunCommand(a *app) *cobra.Command {
	var only []string
	var format string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the foreground",
		Long: `Run the agent in the foreground until SIGTERM or SIGINT; SIGHUP or
"dtc-agent reload" reads the configuration again. It logs to standard error.

Exit status: 0 ended by a signal, 1 it could not run, 2 wrong arguments or
configuration.`,
		Example: "  dtc-agent run --home /opt/dtc\n  dtc-agent run --only status",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return service.RunAs(c.Context(), serviceName, func(ctx context.Context) error {
				return a.runAgent(ctx, only, format)
			})
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "parts to run: status (answers and watches), log (ships files)")
	c.Flags().StringVar(&format, "log-format", "text", "of the program's own log: text or json")
	completeFlags(c, map[string]cobra.CompletionFunc{
		"only": completeWords(agent.PartStatus, agent.PartLog), "log-format": completeWords("text", "json"),
	})
	return c
}

func (a *app) runAgent(ctx context.Context, only []string, format string) error {
	for _, part := range only {
		if !slices.Contains([]string{agent.PartStatus, agent.PartLog}, part) {
			return usagef("--only %q: not a part of the agent, expected status or log", part)
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
	notifier := a.notifier(log)
	var keepers confine.Keepers
	ag, err := agent.New(agent.Options{
		Home: a.homeDir(), Config: cfg, Load: a.loadConfig,
		Parts: only, Version: version, Logger: log, Do: keepers.Do, Reloading: notifier.Reloading,
	})
	if errors.Is(err, fs.ErrNotExist) {
		return usageError(err)
	}
	if err != nil {
		return err
	}
	stop := onHangup(func() {
		if err := ag.Reload(ctx); err != nil {
			for line := range strings.Lines(err.Error()) {
				log.Error("reload", "error", strings.TrimSpace(line))
			}
		}
	})
	defer stop()
	log.Info("dtc-agent starts", "version", version, "pid", os.Getpid())
	if err := a.confine(&keepers, log); err != nil {
		return err
	}
	defer keepers.Close()
	if err := notifier.Run(ctx, ag); err != nil {
		return err
	}
	log.Info("dtc-agent stopped")
	return nil
}

// notifier returns who tells the service manager how the agent is; nil where it
// was not started by one that wants to know.
func (a *app) notifier(log *slog.Logger) *service.Notifier {
	n, err := service.NewNotifier(a.getenv, log)
	if err != nil {
		log.Warn("the service manager is told nothing", "error", err)
	}
	return n
}

// confine lets this process change nothing but the home's state/ and conf/tls from
// now on, and says what holds.
func (a *app) confine(keepers *confine.Keepers, log *slog.Logger) error {
	home, err := filepath.Abs(a.homeDir())
	if err != nil {
		return err
	}
	state := filepath.Join(home, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		log.Warn("cannot make the folder of what is to outlive the agent", "folder", state, "error", err)
	}
	held := keepers.Confine(state, filepath.Join(home, "conf", "tls"))
	for _, lack := range held.Lacks {
		log.Warn("not confined", "what", lack)
	}
	if !held.Seccomp {
		return nil // it was said, or the system is not one where a program can do that
	}
	log.Info("confined", "landlock", held.Landlock, "seccomp", held.Seccomp, "capabilities", strings.Join(held.Capabilities, " "))
	return nil
}

// loadConfig reads agent.xml. Its faults are the user's: exit status 2.
func (a *app) loadConfig() (config.Agent, error) {
	cfg, err := config.LoadAgent(a.configPath())
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, usagef("read %s: no such file; name the agent's home with --home or $DTC_HOME, or make one: 'dtc init' and 'dtc invite' on the monitor, then 'dtc-agent join' here", a.configPath())
	}
	if err != nil {
		return cfg, usageError(err)
	}
	return cfg, nil
}

// logger returns the program's own log.
func (a *app) logger(format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(service.Log(serviceName, a.stderr), nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(service.Log(serviceName, a.stderr), nil)), nil
	default:
		return nil, usageError(fmt.Errorf("--log-format %q: expected text or json", format))
	}
}
