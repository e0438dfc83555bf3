package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"dtc/internal/logs"
	"dtc/internal/render"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newLogsListCommand(a *app) *cobra.Command {
	var hosts []string
	c := &cobra.Command{
		Use:   "ls [ALIAS…]",
		Short: "List the copies: host, alias, size, position at the source, lag, state",
		Long: `List the copies of followed log files, a line each: host, alias, size of the copy
in bytes, generation of the source and position in it, bytes that the source has
more, and the state: live, away (no agent ships it), waiting (nothing of its
source has come yet), paused (the monitor cannot store), unverified (after a
power loss, until its agent comes), damaged. Without the service the files are listed, and the lag is not known.

Exit status: 0, 1 if the copies could not be read, 2 wrong arguments or
configuration.`,
		Example: "  dtc logs ls\n  dtc logs ls --host web '*.log'",
		RunE:    func(c *cobra.Command, args []string) error { return a.logsList(c.Context(), hosts, args) },
	}
	c.Flags().StringArrayVar(&hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	return c
}

func (a *app) logsList(ctx context.Context, hosts, aliases []string) error {
	all, err := a.copies()
	if err != nil {
		return err
	}
	infos, err := a.streamInfos(ctx, all.dir)
	if err != nil {
		return err
	}
	byTarget := all.setTargets(infos)
	chosen, err := all.choose(hosts, aliases)
	if err != nil {
		return err
	}
	rows := [][]string{{"HOST", "ALIAS", "SIZE", "POSITION", "LAG", "STATE"}}
	for _, t := range chosen.inOrder() {
		rows = append(rows, listRow(all.names[t.Folder], byTarget[t]))
	}
	a.printTable(rows)
	return nil
}

// setTargets takes the streams that the service has for the copies.
func (c *copies) setTargets(infos []logs.StreamInfo) map[logs.Target]logs.StreamInfo {
	c.targets = nil
	byTarget := map[logs.Target]logs.StreamInfo{}
	for _, i := range infos {
		t := logs.Target{Folder: i.Folder, Alias: i.Alias}
		c.targets = append(c.targets, t)
		byTarget[t] = i
	}
	return byTarget
}

// inOrder returns the targets in the order of their hosts.
func (c *chosen) inOrder() []logs.Target {
	out := make([]logs.Target, 0, len(c.targets))
	for _, folder := range c.folders {
		for _, t := range c.targets {
			if t.Folder == folder {
				out = append(out, t)
			}
		}
	}
	return out
}

// streamInfos asks the service, or else reads the files.
func (a *app) streamInfos(ctx context.Context, dir string) ([]logs.StreamInfo, error) {
	var infos []logs.StreamInfo
	err := wire.Control(ctx, a.socket(), logs.VerbList, nil, func(m json.RawMessage) error {
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

func listRow(host string, i logs.StreamInfo) []string {
	position, lag, state := "-", "-", i.State
	if i.Generation > 0 {
		position = fmt.Sprintf("%d:%d", i.Generation, i.Position)
	}
	if i.Lag != nil {
		lag = strconv.FormatInt(*i.Lag, 10)
	}
	switch {
	case i.State == logs.StreamOffline:
		state = "service not running"
	case i.Reason != "":
		state += ": " + i.Reason
	case i.Unverified > 0:
		state += fmt.Sprintf(", %d bytes unverified", i.Unverified)
	}
	return []string{render.Escape(host), render.Escape(i.Alias), strconv.FormatInt(i.Size, 10), position, lag, render.Escape(state)}
}

// printTable prints rows of cells in columns; the cells are safe to print.
func (a *app) printTable(rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], render.Width(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-render.Width(cell)+2))
			}
		}
		fmt.Fprintln(a.stdout, line.String())
	}
}
