package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/events"
	"dtc/internal/fleet"
	"dtc/internal/render"

	"github.com/spf13/cobra"
)

// eventsOptions are the flags of dtc events.
type eventsOptions struct {
	follow bool
	since  string
	hosts  []string
	output string

	processes []string
	states    []string
}

// lastEvents is how many events of before dtc events -f begins with.
const lastEvents = 10

func newEventsCommand(a *app) *cobra.Command {
	var opt eventsOptions
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happened: ends of processes, gaps in logs, hosts up and down",
		Long: `Show what happened in the fleet on one time line: watched processes that are
alive, dead, missing, restarted or too few or too many, what befell followed logs,
hosts that came up and went, notices that were given up on. It reads the files
under logs/, whether the service runs or not, and shows hosts that are no longer
configured too.

The states: of processes alive, dead, missing, restarted, count, normal, replaced;
of hosts reachable, unreachable, stopped, rebooted, refused, rejoined; of logs gap,
changed, rewound, paused, resumed, corrupt, refused; of notices undelivered.

With -f it begins with the last ` + strconv.Itoa(lastEvents) + ` events, or with those since --since, and goes on
until Ctrl-C.

Exit status: 0, 1 if the events could not be read, 2 wrong arguments or
configuration.`,
		Example: `  dtc events --since 24h
  dtc events -f --host web
  dtc events --process web --state dead --state restarted
  dtc events --since 2026-11-22T07:00:00Z -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.events(c.Context(), opt) },
	}
	c.Flags().BoolVarP(&opt.follow, "follow", "f", false, "go on with the events that come")
	c.Flags().StringVar(&opt.since, "since", "", "only events from then on: a duration back from now (90m, 7d), a day, or a time (RFC 3339, or local)")
	c.Flags().StringArrayVar(&opt.hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	c.Flags().StringArrayVar(&opt.processes, "process", nil, "only of this `NAME` of a monitor_process or a process, a pid, or a glob of one; may be repeated")
	c.Flags().StringArrayVar(&opt.states, "state", nil, "only of this `STATE`; may be repeated")
	c.Flags().StringVarP(&opt.output, "output", "o", "text", "text or json (an object a line)")
	completeFlags(c, map[string]cobra.CompletionFunc{
		"host": a.completeHosts, "process": a.completeRules, "state": completeWords(stateNames()...),
		"output": completeWords("text", "json"), "since": completeWords("1h", "24h", "7d"),
	})
	return c
}

func (a *app) events(ctx context.Context, opt eventsOptions) error {
	show, err := eventFormat(opt.output)
	if err != nil {
		return err
	}
	if err := checkStates(opt.states); err != nil {
		return err
	}
	if err := a.mustBeHere("events"); err != nil {
		return err
	}
	dir := filepath.Join(a.homeDir(), "logs")
	if err := a.mustHaveHome(dir); err != nil {
		return err
	}
	filter, err := a.eventFilter(opt, dir)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.stdout)
	each := func(e dtc.Event) error {
		_, err := out.Write(show(&e))
		if opt.follow && err == nil {
			err = out.Flush()
		}
		return err
	}
	read := events.Read
	if opt.follow {
		read = events.Follow
	}
	err = read(ctx, dir, filter, each)
	if opt.follow && ctx.Err() != nil {
		err = nil // Ctrl-C is its end
	}
	return errors.Join(err, out.Flush())
}

// wants says whether an event is of one of the processes and of one of the states
// that are asked for.
func (opt *eventsOptions) wants(e *dtc.Event) bool {
	if len(opt.states) > 0 && !slices.Contains(opt.states, string(e.State)) {
		return false
	}
	return len(opt.processes) == 0 || e.Kind == dtc.EventProcess && slices.ContainsFunc(opt.processes, func(name string) bool {
		return dtc.MatchName(name, e.Rule) || dtc.MatchName(name, e.Name) || e.PID != 0 && name == strconv.Itoa(e.PID)
	})
}

// mustHaveHome refuses a folder that has neither a configuration nor logs.
func (a *app) mustHaveHome(logs string) error {
	for _, path := range []string{logs, a.configPath()} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return a.noHome(a.configPath())
}

func (a *app) eventFilter(opt eventsOptions, dir string) (events.Filter, error) {
	filter := events.Filter{Event: opt.wants, Bad: func(path string, lines int) {
		fmt.Fprintf(a.stderr, "dtc: %s: %d lines are no events and were left out\n", path, lines)
	}}
	if opt.since != "" {
		since, err := eventsSince(opt.since, time.Now())
		if err != nil {
			return filter, err
		}
		filter.Since = since
	} else if opt.follow {
		filter.Last = lastEvents
	}
	if len(opt.hosts) == 0 {
		return filter, nil
	}
	hosts, err := a.eventHosts(dir)
	if err != nil {
		return filter, err
	}
	if hosts, err = fleet.Select(hosts, opt.hosts); err != nil {
		return filter, usageError(err)
	}
	chosen := map[string]bool{}
	for _, h := range hosts {
		chosen["name "+h.Name], chosen["address "+addressText(h.Address)] = true, true
	}
	filter.Match = func(host, address string) bool { return chosen["name "+host] || chosen["address "+address] }
	return filter, nil
}

// eventHosts returns the configured hosts and, after them, those that only have
// events on record.
func (a *app) eventHosts(dir string) ([]fleet.Host, error) {
	cfg, err := config.LoadMonitor(a.configPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usageError(err)
	}
	var hosts []fleet.Host
	known := map[netip.AddrPort]bool{}
	for _, h := range cfg.Hosts {
		known[h.Address] = true
		hosts = append(hosts, fleet.Host{Name: h.Name, Address: h.Address, Groups: h.Groups})
	}
	recorded, err := events.Hosts(dir)
	if err != nil {
		return nil, err
	}
	for _, h := range recorded {
		address, err := netip.ParseAddrPort(h.Address)
		if err != nil { // of a host that only ships logs the ip is known
			ip, _ := netip.ParseAddr(h.Address)
			address = netip.AddrPortFrom(ip, 0)
		}
		if !known[address] {
			hosts = append(hosts, fleet.Host{Name: h.Name, Address: address})
		}
	}
	return hosts, nil
}

// addressText returns an address as events have it.
func addressText(address netip.AddrPort) string {
	if address.Port() == 0 {
		return address.Addr().String()
	}
	return address.String()
}

// eventsSince returns the time that --since means.
func eventsSince(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--since %q is no duration and no time: give 90m, 24h, 7d, 2026-11-22 or 2026-11-22T07:15:00+08:00", s)
}

func eventFormat(name string) (func(*dtc.Event) []byte, error) {
	switch name {
	case "text":
		return render.EventText, nil
	case "json":
		return render.EventJSON, nil
	default:
		return nil, usagef("-o %q is no format of events: give text or json", name)
	}
}
