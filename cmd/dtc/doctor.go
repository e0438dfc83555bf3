package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/doctor"
	"dtc/internal/fleet"
	"dtc/internal/logs"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newDoctorCommand(a *app) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check what commonly goes wrong, and say what to do",
		Long: `Check what commonly goes wrong with this home, this machine and the way to each
host: configuration, certificates, the service, ports, hosts and their clocks,
limits, disk space. A line for each says ok, warn or bad, what was found, and what
to do. Nothing is changed. 'dtc-agent doctor' does the same on a host.

Exit status: 0 nothing is bad, 1 something is, 2 wrong arguments.`,
		Example: "  dtc doctor\n  dtc doctor -o json",
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
	s, err := a.aService("")
	if err != nil {
		return err
	}
	cfg, err := a.loadConfig()
	checks := []doctor.Check{
		doctor.Config(a.configPath(), err),
		doctor.Certificates(a.tlsDir(), a.role()),
	}
	if !a.away() {
		checks = append(checks,
			doctor.Register(a.tlsDir()),
			doctor.Running(a.socket(), s, "start it with 'dtc serve', or as a service with 'dtc service install'"),
			doctor.Folders(logs.DefaultFloorPercent, filepath.Join(s.Home, "logs"), filepath.Join(s.Home, "state")))
	}
	if err == nil {
		if !a.away() {
			checks = append(checks, doctor.Port(cfg.LocalHost, a.socket()))
		}
		checks = append(checks, doctor.Descriptors(len(cfg.Hosts)), a.reachHosts(cfg))
	}
	return a.tellFindings(doctor.Run(ctx, doctorTime, checks), format)
}

// reachHosts asks each host who it is and what its clock says.
func (a *app) reachHosts(cfg config.Monitor) doctor.Check {
	return doctor.Check{Name: "hosts", Look: func(ctx context.Context) []doctor.Finding {
		if len(cfg.Hosts) == 0 {
			return []doctor.Finding{{Level: doctor.Warn, Finding: "no host is configured", Advice: "'dtc invite' prints the line that joins one"}}
		}
		hosts, fl, err := a.openFleet(ctx, nil)
		if err != nil {
			return nil // what keeps it from asking has a line of its own
		}
		defer fl.Close()
		found := make([][]doctor.Finding, len(hosts))
		fl.Each(ctx, hosts, doctorTime*4/5, func(ctx context.Context, i int, c *wire.Client) {
			found[i] = reachHost(ctx, hosts[i], c)
		})
		return slices.Concat(found...)
	}}
}

func reachHost(ctx context.Context, h fleet.Host, c *wire.Client) []doctor.Finding {
	info, err := c.Info(ctx)
	if err != nil {
		return []doctor.Finding{doctor.Reach(h.Name, h.Address, "dtc-agent", err)}
	}
	found := []doctor.Finding{{Level: doctor.OK, Finding: fmt.Sprintf("%s at %s answers, version %s", h.Name, h.Address, info.Version)}}
	var at time.Time
	before := time.Now()
	err = c.Get(ctx, dtc.Query{Status: dtc.StatusMemory}, func(r *dtc.Report) error {
		if at = r.CollectedAt; at.IsZero() {
			return errors.New("it does not say what its clock says")
		}
		return r.Err
	})
	if err != nil {
		return append(found, doctor.Finding{Level: doctor.Warn, Finding: fmt.Sprintf("%s at %s: %v", h.Name, h.Address, err), Advice: "see the agent's log there"})
	}
	return append(found, doctor.Clock(h.Name, at, before, time.Now()))
}

// tellFindings prints what was found.
func (a *app) tellFindings(found []doctor.Finding, format string) error {
	tell := func() error {
		return doctor.Print(a.stdout, found, a.terminal && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb")
	}
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
