package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/service"

	"github.com/spf13/cobra"
)

// serviceName is what the service manager calls this program.
const serviceName = "dtc-agent"

func newServiceCommand(a *app) *cobra.Command {
	c := asGroup(&cobra.Command{
		Use:   "service",
		Short: "Have this machine start the program and keep it running",
		Long: `Have this machine's service manager (systemd, launchd, Windows' own) start
the agent with the machine, and again whenever it ends.

Exit status: 0 done, 1 it did not work, 2 wrong arguments or configuration.`,
		Example: "  sudo dtc-agent service install --home /opt/dtc-agent\n  dtc-agent service status",
	})
	c.AddCommand(newServiceInstallCommand(a), newServiceUninstallCommand(a), newServiceStatusCommand(a),
		newServiceStartCommand(a), newServiceStopCommand(a), newServiceUnitCommand(a))
	return c
}

func newServiceInstallCommand(a *app) *cobra.Command {
	var user string
	c := &cobra.Command{
		Use:   "install",
		Short: "Make a service of the program with this home, and start it",
		Long: `Make a service of this program, where it lies now, with the home named, and
start it. The configuration is checked first. It is safe to repeat.

With systemd it is locked up: it sees the machine and may write to its own home
alone ('dtc-agent service unit' prints the unit file). It runs as the owner of the
home, or as --user.

Exit status: 0 it runs, 1 it does not, or this is not root, 2 wrong arguments or
configuration.`,
		Example: "  sudo dtc-agent service install --home /opt/dtc-agent",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.installService(c.Context(), user) },
	}
	c.Flags().StringVar(&user, "user", "", "whom it runs as (default the owner of the home)")
	return c
}

// aService returns this program as a service with its home.
func (a *app) aService(user string) (service.Service, error) {
	if a.config != "" {
		return service.Service{}, usagef("service: --config names a file that a service does not read: it reads conf/agent.xml of its home")
	}
	home, err := filepath.Abs(a.homeDir())
	if err != nil {
		return service.Service{}, err
	}
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return service.Service{}, fmt.Errorf("find this program: %w", err)
	}
	return service.Service{Name: serviceName, Exec: program, Home: home, User: user}, nil
}

func (a *app) installService(ctx context.Context, user string) error {
	s, err := a.aService(user)
	if err != nil {
		return err
	}
	if _, err := a.loadConfig(); err != nil {
		return err
	}
	if _, err := ca.Load(filepath.Join(s.Home, "conf", "tls"), dtc.RoleAgent); err != nil {
		return fmt.Errorf("service install: %w", err)
	}
	told, err := s.Install(ctx)
	return a.tellService("install", told, err)
}

// tellService prints what was done, and gives the error its name.
func (a *app) tellService(what string, told []string, err error) error {
	for _, line := range told {
		fmt.Fprintln(a.stdout, line)
	}
	if err != nil {
		return fmt.Errorf("service %s: %w", what, err)
	}
	return nil
}

func newServiceUninstallCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Stop the service and take it away; the home stays",
		Long: `Stop the service and take it away. The home stays with all that is in it. It is
safe to repeat.

Exit status: 0 it is no service, 1 it did not work, or this is not root, 2 wrong
arguments.`,
		Example: "  sudo dtc-agent service uninstall",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.aService("")
			if err != nil {
				return err
			}
			told, err := s.Uninstall(c.Context())
			return a.tellService("uninstall", told, err)
		},
	}
}

func newServiceStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the service runs, since when, with which pid and home",
		Long: `Say whether the service runs, since when, with which pid and home, and whether
it starts with the machine.

Exit status: 0 it runs, 1 it does not, or it cannot be told, 2 wrong arguments.`,
		Example: "  dtc-agent service status",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.serviceStatus(c.Context()) },
	}
}

func (a *app) serviceStatus(ctx context.Context) error {
	s, err := a.aService("")
	if err != nil {
		return err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return fmt.Errorf("service status: %w", err)
	}
	if !st.Installed {
		return fmt.Errorf("service status: %s is not installed as a service: 'dtc-agent service install' does that", serviceName)
	}
	line := serviceName + ": " + st.State
	if !st.Since.IsZero() {
		line += fmt.Sprintf(" since %s (%s)", st.Since.Format("2006-01-02 15:04:05 -0700"), time.Since(st.Since).Round(time.Second))
	}
	if st.PID > 0 {
		line += fmt.Sprintf(", pid %d", st.PID)
	}
	if st.Home != "" {
		line += ", home " + printable(st.Home)
	}
	if st.Boots {
		line += ", starts with the machine"
	} else {
		line += ", does not start with the machine"
	}
	fmt.Fprintln(a.stdout, line)
	if !st.Running {
		return &statusError{exitSome, errors.New("service status: it does not run: 'dtc-agent service start' starts it")}
	}
	return nil
}

func newServiceStartCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "start",
		Short: "Start the service",
		Long: `Start the service and wait until it is up. One that runs goes on.

Exit status: 0 it runs, 1 it does not, or this is not root, 2 wrong arguments.`,
		Example: "  sudo dtc-agent service start",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.driveService(c.Context(), "start", "runs", service.Service.Start)
		},
	}
}

func newServiceStopCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop the service until it is started or the machine is",
		Long: `Stop the service and wait until it has ended. It starts again with the machine,
or with 'dtc-agent service start'.

Exit status: 0 it has ended, 1 it has not, or this is not root, 2 wrong arguments.`,
		Example: "  sudo dtc-agent service stop",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.driveService(c.Context(), "stop", "is stopped", service.Service.Stop)
		},
	}
}

func (a *app) driveService(ctx context.Context, what, done string, do func(service.Service, context.Context) error) error {
	s, err := a.aService("")
	if err != nil {
		return err
	}
	if err := do(s, ctx); err != nil {
		return fmt.Errorf("service %s: %w", what, err)
	}
	fmt.Fprintln(a.stdout, serviceName, done)
	return nil
}

func newServiceUnitCommand(a *app) *cobra.Command {
	var program, user string
	c := &cobra.Command{
		Use:   "unit",
		Short: "Print the unit file for systemd",
		Long: `Print the unit file for systemd that 'service install' writes, for this program
and home or for others.

Exit status: 0 printed, 2 wrong arguments.`,
		Example: "  dtc-agent service unit --exec /usr/bin/dtc-agent --home /var/lib/dtc-agent",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.printUnit(program, user) },
	}
	c.Flags().StringVar(&program, "exec", "", "the program (default this one, where it lies)")
	c.Flags().StringVar(&user, "user", "", "whom it runs as (default root)")
	return c
}

func (a *app) printUnit(program, user string) error {
	s, err := a.aService(user)
	if err != nil {
		return err
	}
	if program != "" {
		s.Exec, s.Home = program, a.homeDir() // of another system, perhaps: as they are
	}
	unit, err := s.Unit()
	if err != nil {
		return usageError(fmt.Errorf("service unit: %w", err))
	}
	fmt.Fprint(a.stdout, unit)
	return nil
}
