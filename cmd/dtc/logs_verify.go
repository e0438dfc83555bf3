package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dtc/internal/logs"
	"dtc/internal/render"
	"dtc/internal/wire"

	"github.com/spf13/cobra"
)

func newLogsVerifyCommand(a *app) *cobra.Command {
	var hosts []string
	c := &cobra.Command{
		Use:   "verify [ALIAS…]",
		Short: "Prove that copies are exact: the agents hash their sources",
		Long: `Have the agents hash their sources block by block and compare the copies with
that. A line each generation of a source says: exact; not exact, and from which
byte of the generation on; or not known, and why. Of a source that is gone the
copy is exact if its bytes still have the checksum that was the source's when it
ended. It needs the running service.

Exit status: 0 all of it is exact, 1 something is not exact or not known,
2 wrong arguments or configuration.`,
		Example: "  dtc logs verify\n  dtc logs verify --host web1 app.log",
		RunE:    func(c *cobra.Command, args []string) error { return a.logsVerify(c.Context(), hosts, args) },
	}
	c.Flags().StringArrayVar(&hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	return c
}

func (a *app) logsVerify(ctx context.Context, hosts, aliases []string) error {
	all, err := a.copies()
	if err != nil {
		return err
	}
	infos, err := a.streamInfos(ctx, all.dir)
	if err != nil {
		return err
	}
	all.setTargets(infos)
	chosen, err := all.choose(hosts, aliases)
	if err != nil {
		return err
	}
	proven, total := 0, 0
	err = wire.Control(ctx, a.socket(), logs.VerbVerify, logs.VerifyRequest{Targets: chosen.inOrder()}, func(m json.RawMessage) error {
		var f logs.Finding
		if err := json.Unmarshal(m, &f); err != nil {
			return err
		}
		total++
		if f.Verdict == logs.VerdictExact {
			proven++
		}
		fmt.Fprintln(a.stdout, findingText(all.names[f.Folder], f))
		return nil
	})
	if errors.Is(err, wire.ErrNoService) {
		return errors.New("logs verify: no service runs in this home: start it with 'dtc serve', or name its home with --home")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d of %d generations are exact\n", proven, total)
	if proven < total {
		return &statusError{exitSome, nil}
	}
	return nil
}

func findingText(host string, f logs.Finding) string {
	text := render.Escape(host) + "/" + render.Escape(f.Alias)
	if f.Generation > 0 {
		text += fmt.Sprintf(" generation %d bytes %d-%d", f.Generation, f.From, f.To)
	}
	text += ": " + f.Verdict
	if f.Place != nil {
		text += fmt.Sprintf(" at byte %d", *f.Place)
	}
	if f.Reason != "" {
		text += ": " + render.Escape(f.Reason)
	}
	return text
}
