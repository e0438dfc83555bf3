package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"dtc"
	"dtc/internal/fleet"
	"dtc/internal/render"
	"dtc/internal/wire"
)

// getter asks the same hosts the same once or again and again.
type getter struct {
	app     *app
	hosts   []fleet.Host
	fleet   *fleet.Fleet
	query   dtc.Query
	timeout time.Duration
	render  render.Options
	flags   string // that say what is asked for, as they were given
}

// outcome is how one round of questions ended.
type outcome struct {
	errs  []error    // of each host, nil if it answered
	notes [][]string // of each host
}

// Each handshake leaves garbage behind. With so many hosts it is collected
// earlier than by default (100), which costs a tenth of the time and saves a
// fifth of the memory.
const (
	manyHosts   = 200
	manyHostsGC = 70 // percent of the memory in use, see runtime/debug
)

// maxNotes is how many lines a host may have printed on what it could not read.
const maxNotes = 10

// plainError is why a host did not answer, in words that need no others.
type plainError string

func (e plainError) Error() string { return string(e) }

const errInterrupted plainError = "interrupted"

func (a *app) get(ctx context.Context, status dtc.Status, o getOptions) error {
	query, err := o.query(status)
	if err != nil {
		return err
	}
	fields, err := o.fields(status)
	if err != nil {
		return err
	}
	var preparing sync.WaitGroup
	defer preparing.Wait()
	preparing.Go(func() { wire.Prepare(status) }) // while the configuration is read
	hosts, fl, err := a.openFleet(ctx, o.selectors)
	if err != nil {
		return err
	}
	defer fl.Close()
	if len(hosts) >= manyHosts {
		debug.SetGCPercent(manyHostsGC)
	}
	color, restore := a.cursorControl()
	defer restore()
	g := &getter{
		app: a, hosts: hosts, fleet: fl, query: query, timeout: o.timeout, flags: o.given,
		render: render.Options{
			Format: render.Format(o.format), Human: o.human, Raw: o.raw,
			Terminal: a.terminal, Color: color, Columns: a.columns,
			Fields: fields, Flat: o.flat, NoHeader: o.noHeader, SpoolDir: a.tempDir(),
		},
	}
	if o.watching {
		return g.watch(ctx, o.watch)
	}
	out, err := g.round(ctx, a.stdout)
	if err != nil {
		return err
	}
	fmt.Fprint(a.stderr, g.summary(out))
	return out.status()
}

// tempDir returns the folder for large temporary files: on many systems /tmp is
// memory.
func (a *app) tempDir() string {
	if dir := a.getenv("TMPDIR"); dir != "" {
		return dir
	}
	if info, err := os.Stat("/var/tmp"); err == nil && info.IsDir() {
		return "/var/tmp"
	}
	return os.TempDir()
}

// cursorControl tells whether the output may be given colors and cursor
// movements, and prepares the terminal for them until restore is called.
func (a *app) cursorControl() (ok bool, restore func()) {
	if !a.terminal || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" {
		return false, func() {}
	}
	return obeySequences(a.stdout)
}

// round asks all hosts once and writes their answers to w.
func (g *getter) round(ctx context.Context, w io.Writer) (outcome, error) {
	out := outcome{errs: make([]error, len(g.hosts)), notes: make([][]string, len(g.hosts))}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	doc := render.NewDocument(w, g.query.Status, len(g.hosts), g.render)
	g.fleet.Get(asking, g.hosts, g.query, g.timeout, func(i int, part *dtc.Report) {
		if out.errs[i] = part.Err; part.Err != nil && ctx.Err() != nil {
			out.errs[i] = errInterrupted
		}
		out.notes[i] = appendNotes(out.notes[i], part)
		if doc.Add(i, g.worded(i, part, out.errs[i])) != nil { // Close tells
			stop()
		}
	})
	if err := doc.Close(); err != nil {
		return out, fmt.Errorf("write the answers: %w", err)
	}
	return out, nil
}

// worded returns a part of the answer of host i as it is shown: for an error with
// the reason in words.
func (g *getter) worded(i int, part *dtc.Report, err error) *dtc.Report {
	if err == nil {
		return part
	}
	return &dtc.Report{Host: part.Host, Address: part.Address, Err: errors.New(reason(g.hosts[i], err))}
}

// appendNotes appends those of a part of an answer, as far as there is room.
func appendNotes(notes []string, part *dtc.Report) []string {
	room := max(maxNotes-len(notes), 0)
	return append(notes, part.Notes[:min(room, len(part.Notes))]...)
}

// status returns the error that ends the program with the right exit status.
func (o outcome) status() error {
	for _, err := range o.errs {
		if err != nil {
			return &statusError{exitSome, nil}
		}
	}
	return nil
}

// summary returns what standard error gets after the hosts.
func (g *getter) summary(o outcome) string { return g.noted(o) + g.answered(o) }

// noted returns lines on what hosts that answered could not read.
func (g *getter) noted(o outcome) string {
	var b strings.Builder
	for i, err := range o.errs {
		if err != nil {
			continue
		}
		for _, note := range o.notes[i] {
			fmt.Fprintf(&b, "%s: %s\n", render.Escape(g.hosts[i].Name), render.Escape(note))
		}
	}
	return b.String()
}

// answered returns lines on how many hosts answered, and why the others did not.
func (g *getter) answered(o outcome) string {
	var b strings.Builder
	n := 0
	for i, err := range o.errs {
		if err == nil {
			n++
		} else {
			b.WriteString(g.failure(g.hosts[i], err) + "\n")
		}
	}
	return fmt.Sprintf("%d of %d hosts answered\n", n, len(g.hosts)) + b.String()
}

// failure returns the line on a host that did not answer.
func (g *getter) failure(h fleet.Host, err error) string {
	line := fmt.Sprintf("%s (%s): %s", render.Escape(h.Name), h.Address, render.Escape(reason(h, err)))
	if hint := g.hint(dtc.KindOf(err)); hint != "" {
		line += " (" + hint + ")"
	}
	return line
}

// reason returns the kind of an error, and its text without the address, which
// stands beside it already.
func reason(h fleet.Host, err error) string {
	if plain, ok := errors.AsType[plainError](err); ok {
		return plain.Error()
	}
	text := strings.TrimPrefix(err.Error(), "connect to "+h.Address.String()+": ")
	return dtc.KindOf(err).String() + ": " + text
}

// hint says what to do about a host that did not answer.
func (g *getter) hint(kind dtc.ErrorKind) string {
	switch kind {
	case dtc.KindRefused:
		return "does 'dtc-agent run' run there?"
	case dtc.KindTimeout:
		return fmt.Sprintf("--timeout is %s", g.timeout)
	case dtc.KindCertificate:
		return "let it join again: see 'dtc invite --help'"
	case dtc.KindIdentity:
		return "another agent answers there: check its ip_port in monitor.xml"
	case dtc.KindNoRoute:
		return "check its ip_port in monitor.xml, and the network"
	default:
		return ""
	}
}
