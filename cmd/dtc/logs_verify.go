package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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

What retention has dropped is told and proves nothing, neither way. Of the newest
64 generations that have ended the source is asked while it is there; of older ones
the checksum counts. The monitor remembers where the newest 4096 pieces of
generations are: of what is before them it is told how many bytes there are, and
that nothing is known of them. A terminal is shown how far it is.

Exit status: 0 all of it is exact, 1 something is not exact or not known,
2 wrong arguments or configuration.`,
		Example:           "  dtc logs verify\n  dtc logs verify --host web1 app.log",
		ValidArgsFunction: a.completeAliases,
		RunE:              func(c *cobra.Command, args []string) error { return a.logsVerify(c.Context(), hosts, args) },
	}
	c.Flags().StringArrayVar(&hosts, "host", nil, "a name, ip, ip:port, group, or a glob of one (default all hosts)")
	completeFlags(c, map[string]cobra.CompletionFunc{"host": a.completeHosts})
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
	inPlace, restore := a.cursorControl()
	defer restore()
	v := &verification{app: a, names: all.names, inPlace: inPlace}
	err = a.control(ctx, logs.VerbVerify, logs.VerifyRequest{Targets: chosen.inOrder(), Progress: inPlace}, v.take)
	v.clear()
	if errors.Is(err, wire.ErrNoService) {
		return errors.New("logs verify: no service runs in this home: start it with 'dtc serve', or name its home with --home")
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stderr, v.sum())
	if v.proven < v.total || v.beside > 0 {
		return &statusError{exitSome, nil}
	}
	return nil
}

// sum says what the whole came to.
func (v *verification) sum() string {
	text := fmt.Sprintf("%d of %d generations are exact", v.proven, v.total)
	switch {
	case v.beside == 1:
		text += "; a copy holds something beside them that is not exact or not known"
	case v.beside > 1:
		text += fmt.Sprintf("; %d findings beside them are not exact or not known", v.beside)
	}
	return text
}

// verification prints what a verification finds.
type verification struct {
	app           *app
	names         map[string]string // of folders
	inPlace       bool              // a line is shown of how far it is
	shown         bool              // it is there
	under         logs.Finding      // what is compared
	drain         drain             // how far that is
	proven, total int               // generations
	beside        int               // what is not exact or not known of copies as a whole
}

// take takes a finding.
func (v *verification) take(m json.RawMessage) error {
	var f logs.Finding
	if err := json.Unmarshal(m, &f); err != nil {
		return err
	}
	if f.Verdict == logs.VerdictChecking {
		v.progress(&f, time.Now())
		return nil
	}
	v.clear()
	switch {
	case f.Verdict == logs.VerdictDropped:
	case f.Generation > 0:
		v.total++
		if f.Verdict == logs.VerdictExact {
			v.proven++
		}
	case f.Verdict != logs.VerdictExact:
		v.beside++
	}
	fmt.Fprintln(v.app.stdout, findingText(v.names[f.Folder], &f))
	return nil
}

// progress shows how far the comparison of a generation has come.
func (v *verification) progress(f *logs.Finding, now time.Time) {
	if f.Place == nil || !v.inPlace {
		return
	}
	if u := &v.under; u.Folder != f.Folder || u.Alias != f.Alias || u.Generation != f.Generation {
		v.under, v.drain = *f, drain{at: now, had: *f.Place, left: f.To - *f.Place, done: *f.Place - f.From}
	}
	v.drain.look(*f.Place, f.To-*f.Place, now)
	text := fmt.Sprintf("%s/%s generation %d: %s", render.Escape(v.names[f.Folder]), render.Escape(f.Alias), f.Generation, v.drain.text())
	if columns := v.app.columns; columns > 1 {
		text = firstCells(text, columns-1)
	}
	fmt.Fprint(v.app.stdout, "\r"+clearLine+text)
	v.shown = true
}

// clear takes the line away that says how far it is.
func (v *verification) clear() {
	if v.shown {
		fmt.Fprint(v.app.stdout, "\r"+clearLine)
		v.shown = false
	}
}

func findingText(host string, f *logs.Finding) string {
	text := render.Escape(host) + "/" + render.Escape(f.Alias)
	if f.Verdict == logs.VerdictDropped {
		return text + fmt.Sprintf(": retention has dropped the first %d bytes that the copy has had", f.Dropped)
	}
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
