package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/agent"
	"dtc/internal/doctor"

	"github.com/spf13/cobra"
)

func newDoctorCommand(a *app) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check what commonly goes wrong, and say what to do",
		Long: `Check what commonly goes wrong with this home and this machine: configuration,
certificate, the service, ports, the way to the monitor, followed files, limits,
disk space, rights, kernel. A line for each says ok, warn or bad, what was found,
and what to do. Nothing is changed.

Rights and limits are those of the user who runs it: run it as the agent's.

Exit status: 0 nothing is bad, 1 something is, 2 wrong arguments.`,
		Example: "  sudo dtc-agent doctor --home /opt/dtc-agent\n  dtc-agent doctor -o json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), format) },
	}
	c.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	completeFlags(c, map[string]cobra.CompletionFunc{"output": completeWords("text", "json")})
	return c
}

// doctorTime is how long the checks have together.
const doctorTime = 5 * time.Second

func (a *app) doctor(ctx context.Context, format string) error {
	if format != "text" && format != "json" {
		return usagef("doctor: -o %q: expected text or json", format)
	}
	home, err := filepath.Abs(a.homeDir())
	if err != nil {
		return err
	}
	s, err := a.aService("")
	if err != nil {
		return err
	}
	cfg, err := a.loadConfig()
	tls, socket := filepath.Join(home, "conf", "tls"), agent.SocketPath(home)
	checks := []doctor.Check{
		doctor.Config(a.configPath(), err),
		doctor.Certificates(tls, dtc.RoleAgent),
		doctor.Running(socket, s, "start it with 'dtc-agent run', or as a service with 'dtc-agent service install'"),
		doctor.Folders(0, filepath.Join(home, "state")),
	}
	if err == nil {
		checks = append(checks,
			doctor.Port(cfg.LocalHost, socket),
			doctor.ToMonitor(tls, cfg.MonitorHost),
			doctor.Files(home, cfg.Files))
	}
	checks = append(checks, doctor.Machine()...)
	return a.tellFindings(doctor.Run(ctx, doctorTime, checks), format)
}

// tellFindings prints what was found.
func (a *app) tellFindings(found []doctor.Finding, format string) error {
	tell := func() error { return doctor.Print(a.stdout, found, a.colored()) }
	if format == "json" {
		tell = func() error { return doctor.PrintJSON(a.stdout, found) }
	}
	if err := tell(); err != nil {
		return err
	}
	if doctor.Worst(found) == doctor.Bad {
		return &statusError{exitSome, nil}
	}
	return nil
}

// colored tells whether standard output is a terminal that is to be colored.
func (a *app) colored() bool {
	f, ok := a.stdout.(*os.File)
	if !ok || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
