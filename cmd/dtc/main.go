// Command dtc is the monitor of a fleet: it asks the hosts, runs the background
// service and reads what that stored.
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

	"dtc/internal/render"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "devel"

// Exit statuses that every command keeps to.
const (
	exitOK    = 0
	exitSome  = 1 // some or all of it did not work
	exitUsage = 2 // wrong arguments or configuration
)

// app is what every command is given: the program's surroundings.
type app struct {
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	getenv   func(string) string
	terminal bool // stdout is one
	columns  int  // of the terminal, 0 if none
	rows     int

	home   string // of the flag --home, see homeDir
	config string // of the flag --config
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	out := &checkedFile{file: os.Stdout}
	a := &app{stdin: os.Stdin, stdout: out, stderr: os.Stderr, getenv: os.Getenv}
	if fd := int(os.Stdout.Fd()); term.IsTerminal(fd) {
		a.terminal = true
		a.columns, a.rows, _ = term.GetSize(fd) // 0, 0 is fine: nothing is cut then
	}
	code := a.run(ctx, os.Args[1:])
	if code == exitOK && out.err != nil {
		fmt.Fprintln(a.stderr, "dtc: write the output:", out.err)
		code = exitSome
	}
	stop()
	os.Exit(code)
}

// checkedFile is a file that remembers that a write failed, for the commands
// that print and do not look.
type checkedFile struct {
	file *os.File
	err  error // of the first write that failed
}

// Fd is for who asks the terminal for its size.
func (f *checkedFile) Fd() uintptr { return f.file.Fd() }

func (f *checkedFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	if err != nil && f.err == nil {
		f.err = err
	}
	return n, err
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
	root := a.command(args)
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
			fmt.Fprintln(a.stderr, "dtc: "+render.Escape(strings.TrimRight(line, "\n")))
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

// configPath returns the path of monitor.xml.
func (a *app) configPath() string {
	if a.config != "" {
		return a.config
	}
	return filepath.Join(a.homeDir(), "conf", "monitor.xml")
}

// builder makes one command. Under its name it is found without the others.
type builder struct {
	name  string
	build func(*app) *cobra.Command
}

// builders is the table of commands.
func builders() []builder {
	return []builder{
		{"get", newGetCommand},
		{"hosts", newHostsCommand},
		{"top", newTopCommand},
		{"logs", newLogsCommand},
		{"events", newEventsCommand},
		{"watch", newWatchCommand},
		{"notify", newNotifyCommand},
		{"silence", newSilenceCommand},
		{"serve", newServeCommand},
		{"reload", newReloadCommand},
		{"service", newServiceCommand},
		{"doctor", newDoctorCommand},
		{"config", newConfigCommand},
		{"init", newInitCommand},
		{"invite", newInviteCommand},
		{"issue", newIssueCommand},
		{"revoke", newRevokeCommand},
		{"forget", newForgetCommand},
		{"ca", newCACommand},
		{"demo", newDemoCommand},
		{"demo-process", newDemoProcessCommand},
		{"version", newVersionCommand},
		{"completion", newCompletionCommand},
		{"man", newManCommand},
	}
}

// command returns the root of the commands. If args begin with the name of
// one, only that one is made: all of them take a twentieth of the time that an
// answer from a host takes.
func (a *app) command(args []string) *cobra.Command {
	root := asGroup(&cobra.Command{
		Use:   "dtc",
		Short: "Ask the hosts of a LAN, watch their processes, follow their log files",
		Long: `Ask the hosts of a LAN, watch their processes, follow their log files.

Exit status of every command: 0 done, 1 some or all of it did not work, 2 wrong
arguments or configuration.`,
		Example:       "  dtc init --home /opt/dtc\n  dtc get process --host web1\n  dtc events -f",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	})
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetIn(a.stdin)
	root.PersistentFlags().StringVar(&a.home, "home", a.home, "folder with conf/, logs/ and state/ (default $DTC_HOME, else the current folder)")
	root.PersistentFlags().StringVar(&a.config, "config", a.config, "another monitor.xml than conf/monitor.xml of the home")
	root.SetFlagErrorFunc(flagError)
	for _, b := range builders() {
		if len(args) > 0 && args[0] == b.name {
			root.AddCommand(b.build(a))
			return a.finish(root)
		}
	}
	for _, b := range builders() {
		root.AddCommand(b.build(a))
	}
	root.AddCommand(newGetAliasCommands(a)...)
	return a.finish(root)
}

// finish adds what belongs to the root once its commands are there.
func (*app) finish(root *cobra.Command) *cobra.Command {
	root.CompletionOptions.DisableDefaultCmd = true // ours has an example
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	completePaths(root)
	root.SetHelpCommand(newHelpCommand())
	checkArgs(root)
	return root
}
