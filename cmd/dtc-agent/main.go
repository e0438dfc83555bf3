// Command dtc-agent runs on every monitored host: it answers the monitor's
// questions, watches processes for it and ships followed log files. It reads
// its host and changes nothing there.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "devel"

// Exit statuses that every command keeps to.
const (
	exitOK    = 0
	exitSome  = 1 // it did not work
	exitUsage = 2 // wrong arguments or configuration
)

// app is what every command is given: the program's surroundings.
type app struct {
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string

	home   string // of the flag --home, see homeDir
	config string // of the flag --config
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	a := &app{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// statusError is an error that ends the program with a status of its own.
// An err of nil has been told already.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// usageError marks err as a mistake of the user's: exit status 2.
func usageError(err error) error { return &statusError{exitUsage, err} }

// usagef is usageError with a format.
func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

// run is the program without its process: it returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	status := exitSome
	if s, ok := errors.AsType[*statusError](err); ok {
		status, err = s.status, s.err
	}
	if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(a.stderr, "dtc-agent: "+strings.TrimRight(line, "\n"))
		}
	}
	return status
}

// homeDir returns the home: --home, $DTC_HOME or the current folder.
func (a *app) homeDir() string {
	switch {
	case a.home != "":
		return a.home
	case a.getenv("DTC_HOME") != "":
		return a.getenv("DTC_HOME")
	default:
		return "."
	}
}

// configPath returns the path of agent.xml.
func (a *app) configPath() string {
	if a.config != "" {
		return a.config
	}
	return filepath.Join(a.homeDir(), "conf", "agent.xml")
}

// command returns the table of commands.
func (a *app) command() *cobra.Command {
	root := asGroup(&cobra.Command{
		Use:   "dtc-agent",
		Short: "Answer the monitor's questions about this host, watch its processes, ship its log files",
		Long: `Answer the monitor's questions about this host, watch its processes, ship its
log files. It starts no program and writes nothing outside its home.

Exit status of every command: 0 done, 1 it did not work, 2 wrong arguments or
configuration.`,
		Example:       "  dtc-agent join 10.0.0.5:7700 --token dtc1_… --listen :7701\n  dtc-agent run --home /opt/dtc",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	})
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.home, "home", "", "folder with conf/ and state/ (default $DTC_HOME, else the current folder)")
	root.PersistentFlags().StringVar(&a.config, "config", "", "another agent.xml than conf/agent.xml of the home")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRunCommand(a), newJoinCommand(a), newConfigCommand(a), newReloadCommand(a), newServiceCommand(a), newDoctorCommand(a), newVersionCommand(a),
		newCompletionCommand(a), newManCommand())
	root.CompletionOptions.DisableDefaultCmd = true // ours has an example
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	completePaths(root)
	root.SetHelpCommand(newHelpCommand())
	checkArgs(root)
	return root
}
