package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dtc/internal/top"
)

// topOptions are the flags of `dtc top`.
type topOptions struct {
	selectors []string
	every     time.Duration
	timeout   time.Duration
}

func newTopCommand(a *app) *cobra.Command {
	var o topOptions
	c := &cobra.Command{
		Use:   "top",
		Short: "Show the fleet live on one screen: load, memory, processes, open files",
		Long: `Show the fleet live on one screen: a line a host, and behind it the host's
processes and open files. Ctrl-C or q ends it. It needs a terminal: a program
reads 'dtc get STATUS -w -o jsonl'.

CPU is the share of all processors that neither idled nor waited for a disk, in
the last second or more; MEM is what free calls used. %CPU of a process is over
its life at first, as ps prints it, and over the time since the last answer from
then on. With NO_COLOR the screen has no colors; where the locale is not UTF-8
the bars are ASCII.

` + top.Help() + `
Exit status: 0 it was ended, 1 the terminal failed, 2 wrong arguments or
configuration, or no terminal.`,
		Example: "  dtc top\n  dtc top --host web --every 5s",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.top(c.Context(), o) },
	}
	f := c.Flags()
	f.StringArrayVar(&o.selectors, "host", nil, "only hosts that match `SEL`: a name, ip, ip:port, group, or a glob of one; may be repeated (default all)")
	f.DurationVar(&o.every, "every", 2*time.Second, "`D` between two questions to a host")
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "`D` for each host to answer")
	return c
}

func (o *topOptions) check() error {
	switch {
	case o.every < 100*time.Millisecond:
		return usagef("top: --every %s: expected a time of at least 100ms, like 2s", o.every)
	case o.timeout <= 0:
		return usagef("top: --timeout %s: expected a time above 0, like 5s", o.timeout)
	}
	return nil
}

func (a *app) top(ctx context.Context, o topOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	terminal, err := a.wholeTerminal()
	if err != nil {
		return err
	}
	hosts, fl, err := a.openFleet(ctx, o.selectors)
	if err != nil {
		return err
	}
	defer fl.Close()
	obeys, restore := obeySequences(a.stdout)
	defer restore()
	if !obeys {
		return usageError(errNoTerminal)
	}
	return top.Run(ctx, top.Options{Hosts: hosts, Asker: fl, Every: o.every, Timeout: o.timeout, Terminal: terminal})
}

// Why there is no screen.
var (
	errNoTerminal   = errors.New("top: standard input and output have to be a terminal: use 'dtc get STATUS -w', or -o jsonl with it")
	errDumbTerminal = errors.New("top: TERM=dumb is a terminal without cursor movements: set TERM to what it is, or use 'dtc get STATUS -w'")
)

// wholeTerminal returns the terminal that this program has for input and output,
// with what the environment says of it.
func (a *app) wholeTerminal() (t top.Terminal, err error) {
	in, ok := a.stdin.(*os.File)
	out, isFile := a.stdout.(*checkedFile)
	switch {
	case !ok || !isFile || !a.terminal || !term.IsTerminal(int(in.Fd())):
		return t, usageError(errNoTerminal)
	case a.getenv("TERM") == "dumb":
		return t, usageError(errDumbTerminal)
	}
	t = top.Terminal{
		In: in, Out: out.file,
		Color: a.getenv("NO_COLOR") == "", Unicode: a.unicode(),
		Suspend: suspend, OnSuspend: onSuspend,
	}
	for _, name := range []string{"TERM", "TERM_PROGRAM", "SSH_TTY", "WT_SESSION"} {
		if value := a.getenv(name); value != "" {
			t.Environ = append(t.Environ, name+"="+value)
		}
	}
	return t, nil
}

// unicode tells whether the terminal shows more than ASCII, as locale(7) says.
func (a *app) unicode() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(a.getenv(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return unicodeByDefault
}
