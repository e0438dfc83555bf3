package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc/internal/config"
	"dtc/internal/monitor"
	"dtc/internal/render"

	"github.com/spf13/cobra"
)

func newNotifyCommand(a *app) *cobra.Command {
	c := asGroup(&cobra.Command{
		Use:   "notify",
		Short: "Try who is told of what happens, and see what waits to be told",
		Long: `Try who is told of what happens, and see what waits to be told. Who is told of
what stands in the notify elements of monitor.xml; the service tells them.

Exit status: that of the command below.`,
		Example: "  dtc notify test\n  dtc notify ls",
	})
	c.AddCommand(newNotifyTestCommand(a), newNotifyListCommand(a))
	return c
}

func newNotifyTestCommand(a *app) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "test [NAME]",
		Short: "Send a test notice to all receivers, or to one",
		Long: `Send a test notice to all receivers of monitor.xml, or to the one of that name, at
once and without the service, and print a line on each: its name, the way, and how
long it took or what went wrong. A notify without a name is called by its way:
webhook, webhook-2 and so on.

Exit status: 0 all have taken it, 1 some or none did, 2 wrong arguments or
configuration.`,
		Example: "  dtc notify test\n  dtc notify test ops --config new-monitor.xml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%q is one argument too many", args[1])
			}
			return nil
		},
		ValidArgsFunction: a.completeReceivers,
		RunE:              func(c *cobra.Command, args []string) error { return a.notifyTest(c.Context(), args, timeout) },
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "for each receiver")
	completeFlags(c, map[string]cobra.CompletionFunc{"timeout": completeWords()})
	return c
}

func (a *app) notifyTest(ctx context.Context, names []string, timeout time.Duration) error {
	if timeout <= 0 {
		return usagef("notify test: --timeout %s: expected a time above 0, like 30s", timeout)
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	receivers := cfg.Receivers
	if len(receivers) == 0 {
		return usagef("%s: there is no notify in it, so that nobody is told of anything", a.configPath())
	}
	for _, name := range names {
		i := slices.IndexFunc(receivers, func(r config.Receiver) bool { return r.Name == name })
		if i < 0 {
			return usagef("notify test: no receiver is called %q%s", name, didYouMean(name, receiverNames(receivers)))
		}
		receivers = receivers[i : i+1]
	}
	return a.tryAll(ctx, receivers, timeout)
}

// tryAll tries all receivers side by side and prints how it went, in the order of
// the file.
func (a *app) tryAll(ctx context.Context, receivers []config.Receiver, timeout time.Duration) error {
	var status error
	tries := make([]func() (string, error), len(receivers))
	for i, r := range receivers {
		tries[i] = ahead(func() (string, error) { return a.tryOne(ctx, r, timeout) })
	}
	for i, r := range receivers {
		took, err := tries[i]()
		line := fmt.Sprintf("%s (%s): ", r.Name, r.Kind)
		if err != nil {
			line += strings.TrimPrefix(err.Error(), fmt.Sprintf("notify %q: ", r.Name)) // which stands before it
			status = &statusError{exitSome, nil}
		} else {
			line += "delivered in " + took
		}
		fmt.Fprintln(a.stdout, render.Escape(line))
	}
	return status
}

// tryOne sends one a test notice, and returns how long it took.
func (a *app) tryOne(ctx context.Context, r config.Receiver, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	if err := monitor.TestReceiver(ctx, a.homeDir(), r); err != nil {
		return "", err
	}
	return max(time.Since(began).Round(time.Millisecond), time.Millisecond).String(), nil
}

func receiverNames(receivers []config.Receiver) []string {
	names := make([]string, len(receivers))
	for i, r := range receivers {
		names[i] = r.Name
	}
	return names
}

func newNotifyListCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the receivers: what waits for each, when it last took a notice, what went wrong",
		Long: `List the receivers that the running service tells: name, way, how many notices
wait, how many were sent and given up on since it was started, when the last was
delivered, when the next try is, and the error of the last try if it failed.

With -o json it is one object a line: name, kind, waiting, oldest (when the oldest
that waits was made), delivered, next_try, sent, given_up, error.

Exit status: 0 listed, 1 no service runs or it tells nobody, 2 wrong arguments or no
home.`,
		Example: "  dtc notify ls\n  dtc notify ls -o json | jq 'select(.waiting > 0)'",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.notifyList(c.Context(), output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json (an object a line)")
	completeFlags(c, map[string]cobra.CompletionFunc{"output": completeWords("text", "json")})
	return c
}

func (a *app) notifyList(ctx context.Context, output string) error {
	if err := checkTextOrJSON(output, "receivers"); err != nil {
		return err
	}
	rows := [][]string{{"NAME", "KIND", "WAITING", "SENT", "GIVEN UP", "DELIVERED", "NEXT TRY", "ERROR"}}
	err := a.askService(ctx, "notify ls", monitor.VerbNotices, nil, func(m json.RawMessage) error {
		var s monitor.NoticeStatus
		if err := json.Unmarshal(m, &s); err != nil {
			return err
		}
		if output == "json" {
			return writeJSON(a.stdout, s)
		}
		next := localTime(s.Next)
		if !s.Trying.IsZero() {
			next = "now"
		}
		rows = append(rows, []string{
			render.Escape(s.Name), render.Escape(s.Kind), strconv.Itoa(s.Waiting), strconv.Itoa(s.Sent), strconv.Itoa(s.GivenUp),
			localTime(s.Delivered), next, render.Escape(cmp.Or(s.Error, "-")),
		})
		return nil
	})
	if err != nil || output == "json" {
		return err
	}
	a.printTable(rows)
	return nil
}

// localTime returns a time to read, to the second; "-" if it is zero.
func localTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// checkTextOrJSON refuses other forms of output.
func checkTextOrJSON(output, what string) error {
	if output != "text" && output != "json" {
		return usagef("-o %q is no format of %s: give text or json", output, what)
	}
	return nil
}
