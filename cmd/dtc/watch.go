package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

// previewOptions are the flags of dtc watch preview.
type previewOptions struct {
	hosts   []string
	output  string
	timeout time.Duration
}

func newWatchCommand(a *app) *cobra.Command {
	c := asGroup(&cobra.Command{
		Use:   "watch",
		Short: "See what the process watch would watch",
		Long: `See what the process watch would watch. The watch itself is a part of
'dtc serve', and 'dtc events' shows what it saw.

Exit status: that of the command below.`,
		Example: "  dtc watch preview",
	})
	c.AddCommand(newWatchPreviewCommand(a))
	return c
}

func newWatchPreviewCommand(a *app) *cobra.Command {
	var opt previewOptions
	c := &cobra.Command{
		Use:   "preview",
		Short: "Show which processes each line of monitor.xml matches right now",
		Long: `Show which processes each monitor_process and monitor_pid of monitor.xml matches
right now, over the whole fleet, before it goes live: with --config of a file that
is not in use yet. It asks the agents itself and watches nothing.

For each line of the file, and each host that it is for, there is the number of
processes and a verdict: ok, missing (none is there; with the reason, if it is not
plain), too few, too many (than min and max allow) or unknown (with what is in the
way). Below it stands each process: pid, user, command.

With -o json it is one array, an object a line of the file: file, line, process
(name of the rule) with match, exe, pidfile, unit or port, user, min, max,
restart_within_seconds, or pid; and hosts, an array of host, address, count,
verdict (ok, missing, too_few, too_many, unknown), reason (of missing), problem (of
unknown), and matches, an array of pid, user, name, command; or error if the host
did not answer.

Exit status: 0 all hosts answered, 1 some or none did, 2 wrong arguments or
configuration.`,
		Example: `  dtc watch preview
  dtc watch preview --host web --config new-monitor.xml
  dtc watch preview -o json | jq '.[].hosts[] | select(.verdict != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.watchPreview(c.Context(), opt) },
	}
	f := c.Flags()
	f.StringArrayVar(&opt.hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	f.StringVarP(&opt.output, "output", "o", "text", "text or json")
	f.DurationVar(&opt.timeout, "timeout", 5*time.Second, "for each host")
	completeFlags(c, map[string]cobra.CompletionFunc{
		"host": a.completeHosts, "output": completeWords("text", "json"), "timeout": completeWords(),
	})
	return c
}

func (a *app) watchPreview(ctx context.Context, opt previewOptions) error {
	if err := checkTextOrJSON(opt.output, "a preview"); err != nil {
		return err
	}
	if opt.timeout <= 0 {
		return usagef("watch preview: --timeout %s: expected a time above 0, like 5s", opt.timeout)
	}
	if a.config == "" { // a file of one's own names hosts and rules
		if err := a.mustBeHere("watch preview"); err != nil {
			return err
		}
	}
	selected, fl, cfg, err := a.openConfigured(ctx, opt.hosts)
	if err != nil {
		return err
	}
	defer fl.Close()
	p := newPreview(a.configPath(), cfg.Hosts, selected)
	g := &getter{app: a, hosts: p.hosts(), timeout: opt.timeout}
	out := outcome{errs: p.ask(ctx, fl, opt.timeout)}
	if opt.output == "json" {
		err = p.writeJSON(a.stdout)
	} else {
		err = p.writeText(a.stdout, a.columns)
	}
	if err != nil {
		return fmt.Errorf("write the preview: %w", err)
	}
	if len(p.asked) == 0 {
		fmt.Fprintf(a.stderr, "%s: there is no monitor_process and no monitor_pid for these hosts\n", a.configPath())
		return nil
	}
	fmt.Fprint(a.stderr, g.answered(out))
	return out.status()
}

// preview is what the lines of a configuration match.
type preview struct {
	file  string
	lines []*previewLine // in the order of the file
	asked []previewAsked // in the order of the file
}

// previewAsked is a host that something is to be watched on.
type previewAsked struct {
	host  fleet.Host
	want  dtc.Watching
	lines []*previewLine // of the targets, then of the rules
}

// previewLine is a rule, or a pid, of the configuration.
type previewLine struct {
	line  int
	pid   int // 0 of a rule
	rule  dtc.ProcessRule
	hosts []previewHost // in the order of the file
}

// previewHost is what a line matches on a host.
type previewHost struct {
	host    fleet.Host
	err     error // why it did not answer
	matches dtc.RuleMatches
}

// newPreview prepares the questions to the selected ones of the configured hosts.
func newPreview(file string, configured []config.Host, selected []fleet.Host) *preview {
	p := &preview{file: file}
	lines := map[string]*previewLine{}
	chosen := map[string]bool{}
	for _, h := range selected {
		chosen[h.Address.String()] = true
	}
	for i := range configured {
		h := &configured[i]
		if !chosen[h.Address.String()] || len(h.PIDs)+len(h.Rules) == 0 {
			continue
		}
		asked := previewAsked{host: fleet.Host{Name: h.Name, Address: h.Address, Groups: h.Groups}, want: dtc.Watching{Rules: h.Rules}}
		add := func(key string, l previewLine) {
			if lines[key] == nil {
				lines[key] = &l
				p.lines = append(p.lines, lines[key])
			}
			asked.lines = append(asked.lines, lines[key])
		}
		for _, pid := range h.PIDs {
			asked.want.Targets = append(asked.want.Targets, dtc.WatchTarget{PID: pid})
			add(fmt.Sprint(h.PIDLine, " ", pid), previewLine{line: h.PIDLine, pid: pid})
		}
		for i, r := range h.Rules {
			add(fmt.Sprintf("%d %+v", h.RuleLines[i], r), previewLine{line: h.RuleLines[i], rule: r})
		}
		p.asked = append(p.asked, asked)
	}
	p.sort()
	return p
}

func (p *preview) hosts() []fleet.Host {
	hosts := make([]fleet.Host, len(p.asked))
	for i, asked := range p.asked {
		hosts[i] = asked.host
	}
	return hosts
}

// ask asks all hosts and returns why each did not answer, nil of those that did.
func (p *preview) ask(ctx context.Context, fl *fleet.Fleet, timeout time.Duration) []error {
	errs := make([]error, len(p.asked))
	answers := make([][]dtc.RuleMatches, len(p.asked))
	var mu sync.Mutex
	fl.Each(ctx, p.hosts(), timeout, func(ask context.Context, i int, c *wire.Client) {
		matches, err := c.Preview(ask, p.asked[i].want)
		switch {
		case err != nil && ctx.Err() != nil:
			err = errInterrupted
		case errors.Is(err, wire.ErrOlder):
			err = plainError(wire.ErrOlder.Error())
		case err == nil:
			err = p.asked[i].check(matches)
		}
		mu.Lock()
		defer mu.Unlock()
		answers[i], errs[i] = matches, err
	})
	for i, asked := range p.asked {
		for k, line := range asked.lines {
			h := previewHost{host: asked.host, err: errs[i]}
			if h.err == nil {
				h.matches = answers[i][k]
			}
			line.hosts = append(line.hosts, h)
		}
	}
	return errs
}

// check makes sure that an answer is one to what was asked: it comes from a
// host.
func (q *previewAsked) check(answer []dtc.RuleMatches) error {
	wrong := len(answer) != len(q.lines)
	for i := range answer {
		if wrong {
			break
		}
		m := &answer[i]
		wrong = m.PID != q.lines[i].pid || m.Rule != q.lines[i].rule.Name || m.Total < len(m.Matches)
	}
	if wrong {
		return &dtc.Error{Kind: dtc.KindOther, Err: errors.New("it answered to something else than what was asked")}
	}
	return nil
}
