package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/monitor"
	"dtc/internal/render"

	"github.com/spf13/cobra"
)

// silenceOptions are the arguments and flags of dtc silence.
type silenceOptions struct {
	hosts     []string
	length    string
	processes []string
	states    []string
	reason    string
}

func newSilenceCommand(a *app) *cobra.Command {
	var opt silenceOptions
	var more []string
	c := &cobra.Command{
		Use:   "silence SEL…",
		Short: "Have nobody told of what happens on some hosts, for a time",
		Long: `Have nobody told of what happens on some hosts, for a time. What happens stands in
'dtc events' all the same; what is wrong still when the time is over is told then.
SEL is a name, ip, ip:port or group of hosts, or a glob of one: '*' is all. A host
that is called ls or end is named with --host.

--process and --state narrow it: to processes (the name of a monitor_process, the
short name of a process, a pid, or a glob of one), and to these states. Silences
outlive the service. For times that come again there is the maintenance element of
monitor.xml.

Exit status: 0 silenced, 1 no service runs or it refused, 2 wrong arguments or
configuration.`,
		Example: `  dtc silence web1 --for 2h --reason 'new kernel'
  dtc silence '*' --for 30m --state unreachable
  dtc silence web --for 7d --process nginx --process 'php*'
  dtc silence ls
  dtc silence end 3f9a`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeHosts,
		RunE: func(c *cobra.Command, args []string) error {
			opt.hosts = slices.Concat(args, more)
			return a.silence(c.Context(), opt)
		},
	}
	f := c.Flags()
	f.StringVar(&opt.length, "for", "", "how long: 90m, 2h, 7d (required)")
	f.StringArrayVar(&more, "host", nil, "as SEL")
	f.StringArrayVar(&opt.processes, "process", nil, "only of this `NAME` of a monitor_process or a process, a pid, or a glob of one; may be repeated")
	f.StringArrayVar(&opt.states, "state", nil, "only of this `STATE`: dead, missing, unreachable, …; may be repeated")
	f.StringVar(&opt.reason, "reason", "", "why, for who lists the silences")
	completeFlags(c, map[string]cobra.CompletionFunc{
		"host": a.completeHosts, "process": a.completeRules, "state": completeWords(stateNames()...),
		"for": completeWords("30m", "2h", "1d"), "reason": completeWords(),
	})
	c.AddCommand(newSilenceListCommand(a), newSilenceEndCommand(a))
	return c
}

func (a *app) silence(ctx context.Context, opt silenceOptions) error {
	req, err := a.silenceRequest(opt)
	if err != nil {
		return err
	}
	return a.askService(ctx, "silence", monitor.VerbSilence, req, func(m json.RawMessage) error {
		var s monitor.Silence
		if err := json.Unmarshal(m, &s); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "silent until %s: %s; to end it before: dtc silence end %s\n",
			localTime(s.End), render.Escape(silenceAbout(&s)), render.Escape(s.ID))
		return nil
	})
}

// silenceRequest checks the arguments: a mistake in a host's name would silence
// nothing, and nobody would know.
func (a *app) silenceRequest(opt silenceOptions) (monitor.SilenceRequest, error) {
	req := monitor.SilenceRequest{Hosts: opt.hosts, Processes: opt.processes, States: opt.states, Reason: opt.reason}
	if len(opt.hosts) == 0 {
		return req, usagef("silence: SEL is missing: which hosts? '*' is all; see 'dtc silence --help'")
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return req, err
	}
	hosts, err := a.eventHosts(filepath.Join(a.homeDir(), "logs"))
	if err != nil {
		return req, err
	}
	selected, err := fleet.Select(hosts, opt.hosts)
	if err != nil {
		return req, usagef("silence: %w", err)
	}
	if err := checkStates(opt.states); err != nil {
		return req, err
	}
	if req.For, err = silenceLength(opt.length); err != nil {
		return req, err
	}
	a.doubtProcesses(opt.processes, cfg.Hosts, selected)
	return req, nil
}

// doubtProcesses tells of a name that no rule of the selected hosts has. It may
// be that of a process: what is watched by its pid, nobody knows the name of here.
func (a *app) doubtProcesses(names []string, configured []config.Host, selected []fleet.Host) {
	known := ruleNames(slices.DeleteFunc(slices.Clone(configured), func(h config.Host) bool {
		return !slices.ContainsFunc(selected, func(s fleet.Host) bool { return s.Address == h.Address })
	}))
	for _, name := range names {
		if _, err := strconv.Atoi(name); err == nil || slices.ContainsFunc(known, func(k string) bool { return dtc.MatchName(name, k) }) {
			continue
		}
		hint := ""
		if best := dtc.Nearest(name, known); best != "" {
			hint = fmt.Sprintf(" (there is %q)", best)
		}
		line := fmt.Sprintf("dtc: --process %q: no monitor_process of these hosts has that name%s; it stands for processes that are called so", name, hint)
		fmt.Fprintln(a.stderr, render.Escape(line))
	}
}

// ruleNames returns the names of all rules of some hosts, each once.
func ruleNames(hosts []config.Host) []string {
	var names []string
	for _, h := range hosts {
		for _, r := range h.Rules {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func checkStates(states []string) error {
	for _, s := range states {
		if !slices.Contains(stateNames(), s) {
			return usagef("--state %q: unknown state%s; expected one of %s", s, didYouMean(s, stateNames()), strings.Join(stateNames(), ", "))
		}
	}
	return nil
}

// maxSilence is for how long a silence may be: what is silent for longer is not
// to be watched.
const maxSilence = 366 * 24 * time.Hour

// silenceLength reads --for.
func silenceLength(s string) (time.Duration, error) {
	if s == "" {
		return 0, usagef("silence: --for is missing: how long? give a time like 90m, 2h or 7d")
	}
	d, err := parseLength(s)
	if err != nil || d <= 0 || d > maxSilence {
		return 0, usagef("--for %q: expected a time like 90m, 2h or 7d, at most 366d", s)
	}
	return d, nil
}

// parseLength reads a length of time, which may be in days.
func parseLength(s string) (time.Duration, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	return time.Duration(n) * 24 * time.Hour, err
}

// silenceAbout says what a silence is about: "process backup on all hosts".
func silenceAbout(s *monitor.Silence) string {
	hosts := strings.Join(s.Hosts, ", ")
	if slices.Contains(s.Hosts, "*") {
		hosts = "all hosts"
	}
	states := strings.Join(s.States, ", ")
	switch {
	case len(s.Processes) > 0 && states != "":
		return fmt.Sprintf("%s (%s) on %s", counted("process", "processes", s.Processes), states, hosts)
	case len(s.Processes) > 0:
		return counted("process", "processes", s.Processes) + " on " + hosts
	case states != "":
		return counted("state", "states", s.States) + " on " + hosts
	default:
		return hosts
	}
}

// counted names things, with the word for one or for several of them.
func counted(one, many string, names []string) string {
	if len(names) > 1 {
		one = many
	}
	return one + " " + strings.Join(names, ", ")
}
