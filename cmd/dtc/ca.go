package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/monitor"
	"dtc/internal/render"

	"github.com/spf13/cobra"
)

func newCACommand(a *app) *cobra.Command {
	c := asGroup(&cobra.Command{
		Use:   "ca",
		Short: "Change the fleet's CA to a new one, and see how far that is",
		Long: `Change the fleet's CA, by which all prove who they are, to a new one, and see how
far that is. It needs the monitor's machine.

Exit status: that of the command below.`,
		Example: "  dtc ca status\n  dtc ca rotate",
	})
	c.AddCommand(newCARotateCommand(a), newCAStatusCommand(a))
	return c
}

// rotateOptions are the flags of dtc ca rotate.
type rotateOptions struct {
	leave []string
	force bool
}

func newCARotateCommand(a *app) *cobra.Command {
	var opt rotateOptions
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Move the fleet to a new CA, without a moment in which it is not protected",
		Long: `Make a new CA and have the running service move the fleet to it:

  1. spreading  every agent learns to trust the new CA too; the old one signs
  2. renewing   the new CA signs; the monitor and every agent get a certificate by it
  3. steady     the old CA is worth nothing any more

The service goes from one to the next when every host with a valid certificate
has confirmed; 'dtc ca status' shows who has. It may take days, and any program may
be restarted or killed meanwhile. A host that is away holds it up: --leave-behind
NAME goes on without it, --force without all that have not confirmed by now. Such a
host must join again ('dtc invite') when it is back.

With 2. tokens of before are void, and the old CA's key is gone. With 3. the
certificates of operators are: issue them again. Repeat the command at any time: it
goes on with a change that is under way.

Exit status: 0 begun or under way, 1 it could not be begun or no such host, 2
wrong arguments or no home.`,
		Example: "  dtc ca rotate\n  dtc ca rotate --leave-behind web3,web4",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.caRotate(c.Context(), opt) },
	}
	c.Flags().StringSliceVar(&opt.leave, "leave-behind", nil, "NAME[,NAME…] of hosts that are not waited for")
	c.Flags().BoolVar(&opt.force, "force", false, "wait for no host that has not confirmed by now")
	completeFlags(c, map[string]cobra.CompletionFunc{"leave-behind": a.completeHosts})
	return c
}

func (a *app) caRotate(ctx context.Context, opt rotateOptions) error {
	if err := a.mustBeHere("ca rotate"); err != nil {
		return err
	}
	authority, err := a.openAuthority()
	if err != nil {
		return err
	}
	began, err := authority.Rotate()
	if err != nil {
		return fmt.Errorf("ca rotate: %w", err)
	}
	if began {
		fmt.Fprintln(a.stdout, "made a new CA: the running service ('dtc serve') moves the fleet to it")
	} else {
		fmt.Fprintln(a.stdout, "a change of the CA is under way already")
	}
	leave := opt.leave
	if opt.force {
		for _, m := range authority.Rotation().Members {
			if m.Waits() {
				leave = append(leave, m.Name)
			}
		}
	}
	if len(leave) > 0 {
		if err := authority.Leave(leave); err != nil {
			return fmt.Errorf("ca rotate: %w", err)
		}
	}
	if err := a.applyNow(ctx, monitor.VerbTrust); err != nil {
		return err
	}
	return a.printRotation(authority.Rotation())
}

func newCAStatusCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the fleet's CA and, while it changes, which host is where",
		Long: `Show the fleet's CA, by the beginning of its key's SHA-256, and while it changes
how far each host has come: done, waits (it has not confirmed this phase) or left
behind (it must join again).

With -o json it is one object: phase (steady, spreading, renewing), number (of the
CAs to be trusted), cas, an array of id and ends, the one that signs first, and
members, an array of name, role, state (done, waits, left behind, or reissue: a
person's certificate, to be issued again when it is over).

Exit status: 0 shown, 1 it could not be read, 2 wrong arguments or no home.`,
		Example: "  dtc ca status\n  dtc ca status -o json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.caStatus(output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	completeFlags(c, map[string]cobra.CompletionFunc{"output": completeWords("text", "json")})
	return c
}

func (a *app) caStatus(output string) error {
	if err := checkTextOrJSON(output, "the state of the CA"); err != nil {
		return err
	}
	if err := a.mustBeHere("ca status"); err != nil {
		return err
	}
	authority, err := a.openAuthority()
	if err != nil {
		return err
	}
	if output == "json" {
		return a.printRotationJSON(authority.Rotation())
	}
	return a.printRotation(authority.Rotation())
}

// phaseText says what happens in a phase.
func phaseText(r *ca.Rotation) string {
	waiting := 0
	for i := range r.Members {
		if r.Members[i].Waits() {
			waiting++
		}
	}
	text := "steady: there is one CA"
	switch r.Phase {
	case ca.PhaseSpreading:
		text = "spreading: every host learns to trust the new CA too"
	case ca.PhaseRenewing:
		text = "renewing: the new CA signs, and every host gets a certificate by it"
	case ca.PhaseSteady:
		return text
	}
	return fmt.Sprintf("%s; it waits for %d", text, waiting)
}

// memberState says how far a member has come.
func memberState(r *ca.Rotation, m *ca.Member) string {
	switch {
	case m.Left:
		return "left behind"
	case m.Role != dtc.RoleAgent && r.Phase != ca.PhaseSteady:
		return "reissue"
	case m.Done || m.Role != dtc.RoleAgent:
		return "done"
	default:
		return "waits"
	}
}

func (a *app) printRotation(r ca.Rotation) error {
	fmt.Fprintf(a.stdout, "phase: %s\n", phaseText(&r))
	for i, c := range r.CAs {
		does := "signs"
		if i > 0 {
			does = map[ca.Phase]string{ca.PhaseSpreading: "is going to sign", ca.PhaseRenewing: "goes"}[r.Phase]
		}
		fmt.Fprintf(a.stdout, "CA %s: %s, ends on %s\n", c.ID, does, c.Ends.UTC().Format(time.DateOnly))
	}
	advice := map[string]string{
		"left behind": "left behind: when it is back, 'dtc invite' and join again",
		"reissue":     "reissue: 'dtc issue --operator' when this is over",
		"waits":       "waits: it has not confirmed yet",
	}
	rows := [][]string{{"NAME", "ROLE", "STATE"}}
	for i := range r.Members {
		m := &r.Members[i]
		state := memberState(&r, m)
		if r.Phase == ca.PhaseSteady && !m.Left {
			continue
		}
		if text := advice[state]; text != "" {
			state = text
		}
		rows = append(rows, []string{render.Escape(m.Name), string(m.Role), state})
	}
	if len(rows) > 1 {
		a.printTable(rows)
	}
	return nil
}

// rotationJSON is the output of dtc ca status -o json.
type rotationJSON struct {
	Phase   string         `json:"phase"`
	Number  uint64         `json:"number"`
	CAs     []caJSON       `json:"cas"`
	Members []caMemberJSON `json:"members"`
}

type caJSON struct {
	ID   string    `json:"id"`
	Ends time.Time `json:"ends"`
}

type caMemberJSON struct {
	Name  string `json:"name"`
	Role  string `json:"role"`
	State string `json:"state"`
}

func (a *app) printRotationJSON(r ca.Rotation) error {
	out := rotationJSON{Phase: string(r.Phase), Number: r.Bundle, Members: []caMemberJSON{}}
	for _, c := range r.CAs {
		out.CAs = append(out.CAs, caJSON{ID: c.ID, Ends: c.Ends.UTC()})
	}
	for i := range r.Members {
		m := &r.Members[i]
		out.Members = append(out.Members, caMemberJSON{Name: m.Name, Role: string(m.Role), State: memberState(&r, m)})
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
