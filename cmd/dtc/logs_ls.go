package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc/internal/fleet"
	"dtc/internal/logs"
	"dtc/internal/render"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

// listOptions are the flags of dtc logs ls.
type listOptions struct {
	hosts    []string
	aliases  []string
	output   string
	human    bool
	every    time.Duration
	watching bool
}

func newLogsListCommand(a *app) *cobra.Command {
	var opt listOptions
	c := &cobra.Command{
		Use:   "ls [ALIAS…]",
		Short: "List the copies: host, alias, size, position at the source, lag, state",
		Long: `List the copies of followed log files, a line each: host, alias, size of the copy
in bytes, generation of the source and position in it, bytes that the source has
more, and the state: live, away (no agent ships it), waiting (nothing of its
source has come yet), paused (the monitor cannot store), unverified (after a
power loss, until its agent comes), damaged. Behind it stands in parentheses what
makes the source harder to follow than a local file: (polled: nfs). Without the
service the files are listed, and the lag is not known.

With -w it lists them again and again, those that catch up first, with how far
they have come since the first look that saw them behind, the rate at which bytes
arrive and the time until nothing is left if it goes on like that:

  [#####.....] 52%  118 MiB/s  0:42 left

A last line has all of them together. What is not known is a -.

With -o json it is one array, an object a copy: host, folder, alias, size_bytes,
received_bytes (what the stream has ever had, the position for --from of what comes
next), durable_bytes (of them safe from a power loss of the monitor), generation,
position, lag_bytes (absent where not known), state, reason (why it waits or is
damaged), follow (as in the parentheses), unverified_bytes.

Exit status: 0, 1 if the copies could not be read, 2 wrong arguments or
configuration.`,
		Example: `  dtc logs ls
  dtc logs ls --host web '*.log' --human
  dtc logs ls -w
  dtc logs ls -o json | jq '.[] | select(.lag_bytes > 1000000)'`,
		ValidArgsFunction: a.completeAliases,
		RunE: func(c *cobra.Command, args []string) error {
			opt.aliases, opt.watching = args, c.Flags().Changed("watch")
			return a.logsList(c.Context(), opt)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&opt.hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	f.StringVarP(&opt.output, "output", "o", "text", "text or json")
	f.BoolVar(&opt.human, "human", false, "sizes in the largest unit that fits")
	f.DurationVarP(&opt.every, "watch", "w", 2*time.Second, "again and again, every `D` (-w alone: 2s)")
	f.Lookup("watch").NoOptDefVal = "2s"
	completeFlags(c, map[string]cobra.CompletionFunc{
		"host": a.completeHosts, "output": completeWords("text", "json"), "watch": completeWords(),
	})
	return c
}

func (opt *listOptions) check() error {
	if err := checkTextOrJSON(opt.output, "copies"); err != nil {
		return err
	}
	switch {
	case opt.watching && opt.output == "json":
		return usagef("-w with -o json would never end the output: leave one of them out")
	case opt.watching && opt.every < 100*time.Millisecond:
		return usagef("--watch %s: expected a time of at least 100ms, like 2s", opt.every)
	}
	return nil
}

func (a *app) logsList(ctx context.Context, opt listOptions) error {
	if err := opt.check(); err != nil {
		return err
	}
	if opt.watching {
		return a.watchCopies(ctx, opt)
	}
	rows, err := a.listCopies(ctx, opt)
	if err != nil {
		return err
	}
	if opt.output == "json" {
		return a.printCopiesJSON(rows)
	}
	table := [][]string{{"HOST", "ALIAS", "SIZE", "POSITION", "LAG", "STATE"}}
	for i := range rows {
		r := &rows[i]
		table = append(table, []string{
			render.Escape(r.host), render.Escape(r.Alias), opt.size(r.Size), r.place(), opt.lag(r.Lag), render.Escape(r.state()),
		})
	}
	a.printTable(table)
	return nil
}

// listRow is what is known of one copy.
type listRow struct {
	logs.StreamInfo

	host string
}

// listCopies returns the copies that are asked for.
func (a *app) listCopies(ctx context.Context, opt listOptions) ([]listRow, error) {
	all, err := a.copies()
	if err != nil {
		return nil, err
	}
	infos, err := a.streamInfos(ctx, all.dir)
	if err != nil {
		return nil, err
	}
	byTarget := all.setTargets(infos)
	chosen, err := all.choose(opt.hosts, opt.aliases)
	if err != nil {
		return nil, err
	}
	var rows []listRow
	for _, t := range chosen.inOrder() {
		rows = append(rows, listRow{byTarget[t], all.names[t.Folder]})
	}
	return rows, nil
}

// setTargets takes the streams that the service has for the copies.
func (c *copies) setTargets(infos []logs.StreamInfo) map[logs.Target]logs.StreamInfo {
	c.targets = nil
	byTarget := map[logs.Target]logs.StreamInfo{}
	for _, i := range infos {
		t := logs.Target{Folder: i.Folder, Alias: i.Alias}
		if !slices.Contains(c.folder, i.Folder) { // what the service has, and this home has not
			c.add(fleet.Host{Name: i.Folder, Address: netip.AddrPortFrom(folderIP(i.Folder), 0)}, i.Folder)
		}
		c.targets = append(c.targets, t)
		byTarget[t] = i
	}
	return byTarget
}

// inOrder returns the targets in the order of their hosts.
func (c *chosen) inOrder() []logs.Target {
	of := map[string][]logs.Target{}
	for _, t := range c.targets {
		of[t.Folder] = append(of[t.Folder], t)
	}
	out := make([]logs.Target, 0, len(c.targets))
	for _, folder := range c.folders {
		out = append(out, of[folder]...)
	}
	return out
}

// streamInfos asks the service, or else reads the files.
func (a *app) streamInfos(ctx context.Context, dir string) ([]logs.StreamInfo, error) {
	var infos []logs.StreamInfo
	err := a.control(ctx, logs.VerbList, nil, func(m json.RawMessage) error {
		var i logs.StreamInfo
		err := json.Unmarshal(m, &i)
		infos = append(infos, i)
		return err
	})
	if errors.Is(err, wire.ErrNoService) {
		if infos, err = logs.List(dir); errors.Is(err, fs.ErrNotExist) {
			err = nil // nothing has arrived yet
		}
	}
	return infos, err
}

// place returns the generation of the source and the position in it.
func (r *listRow) place() string {
	if r.Generation == 0 {
		return "-"
	}
	return fmt.Sprintf("%d:%d", r.Generation, r.Position)
}

// state returns the state with what belongs to it.
func (r *listRow) state() string {
	state := r.State
	switch {
	case r.State == logs.StreamOffline:
		state = "service not running"
	case r.Reason != "":
		state += ": " + r.Reason
	case r.Unverified > 0:
		state += fmt.Sprintf(", %d bytes unverified", r.Unverified)
	}
	if r.Follow != "" {
		state += " (" + r.Follow + ")"
	}
	return state
}

// size returns a number of bytes.
func (opt *listOptions) size(n int64) string {
	if opt.human {
		return byteText(n)
	}
	return strconv.FormatInt(n, 10)
}

// lag returns a number of bytes that may not be known.
func (opt *listOptions) lag(n *int64) string {
	if n == nil {
		return "-"
	}
	return opt.size(*n)
}

// copyJSON is a copy in the output of -o json.
type copyJSON struct {
	Host       string `json:"host"`
	Folder     string `json:"folder"`
	Alias      string `json:"alias"`
	Size       int64  `json:"size_bytes"`
	Received   int64  `json:"received_bytes"`
	Durable    int64  `json:"durable_bytes"`
	Generation uint64 `json:"generation"`
	Position   int64  `json:"position"`
	Lag        *int64 `json:"lag_bytes,omitempty"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	Follow     string `json:"follow,omitempty"`
	Unverified int64  `json:"unverified_bytes,omitzero"`
}

func (a *app) printCopiesJSON(rows []listRow) error {
	if len(rows) == 0 {
		_, err := io.WriteString(a.stdout, "[]\n")
		return err
	}
	out := bufio.NewWriter(a.stdout)
	before := "[\n"
	for _, r := range rows {
		object, err := jsonLine(copyJSON{
			r.host, r.Folder, r.Alias, r.Size, r.Received, r.Durable, r.Generation, r.Position, r.Lag, r.State, r.Reason, r.Follow, r.Unverified,
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s%s", before, bytes.TrimSuffix(object, []byte("\n")))
		before = ",\n"
	}
	fmt.Fprint(out, "\n]\n")
	return out.Flush()
}

// printTable prints rows of cells in columns; the cells are safe to print.
func (a *app) printTable(rows [][]string) { fmt.Fprint(a.stdout, tableText(rows)) }

// tableText returns rows of cells in columns.
func tableText(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], render.Width(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-render.Width(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
