package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"dtc/internal/render"
)

// watch asks again and again until ctx is done: on a terminal in place, else
// one answer below the other. How the last whole round ended is the status.
func (g *getter) watch(ctx context.Context, every time.Duration) error {
	show := g.showBelow()
	if g.render.Color && g.render.Format == render.FormatText {
		s := g.newScreen(every)
		defer s.close()
		defer onSuspend(s.aside)() // before the close
		show = s.show
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last outcome
	for {
		out, err := show(ctx)
		switch {
		case ctx.Err() != nil:
			return last.status()
		case err != nil:
			return err
		}
		last = out
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last.status()
		}
	}
}

// showBelow returns what asks once and writes the answers below the last. The
// summary is written when it is another than the last time.
func (g *getter) showBelow() func(context.Context) (outcome, error) {
	first, told := true, ""
	return func(ctx context.Context) (outcome, error) {
		w := g.app.stdout
		if !first && g.render.Format == render.FormatText {
			w = &prefixed{w: w, prefix: "\n"}
		}
		first = false
		out, err := g.round(ctx, w)
		if err != nil || ctx.Err() != nil {
			return out, err
		}
		if s := g.summary(out); s != told {
			told = s
			fmt.Fprint(g.app.stderr, s)
		}
		return out, nil
	}
}

// prefixed writes a prefix before the first bytes.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.prefix != "" {
		if _, err := io.WriteString(p.w, p.prefix); err != nil {
			return 0, err
		}
		p.prefix = ""
	}
	return p.w.Write(b)
}

// screen shows the answers of each round in the place of the last. It uses the
// terminal's second screen, so that the first is there again afterwards.
type screen struct {
	get   *getter
	title string

	mu   sync.Mutex // held while something is written
	last string     // frame; guarded by mu
}

// The control sequences of ECMA-48 and xterm that a screen needs.
const (
	openScreen  = "\x1b[?1049h\x1b[?25l\x1b[?7l" // second screen, no cursor, no wrapping
	closeScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K" // the rest of it
	clearBelow  = "\x1b[J"
)

func (g *getter) newScreen(every time.Duration) *screen {
	s := &screen{get: g, title: fmt.Sprintf("Every %s: dtc get %s", every, g.query.Status)}
	s.write(openScreen)
	s.draw(s.frame("", ""))
	return s
}

func (s *screen) close() { s.write(closeScreen) }

func (s *screen) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.get.app.stdout, text)
}

func (s *screen) draw(frame string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = frame
	fmt.Fprint(s.get.app.stdout, frame)
}

// aside gives the terminal back as it was while sleep runs.
func (s *screen) aside(sleep func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.get.app.stdout, closeScreen)
	sleep()
	fmt.Fprint(s.get.app.stdout, openScreen+s.last)
}

// show asks once and draws the answers.
func (s *screen) show(ctx context.Context) (outcome, error) {
	s.resize()
	var body bytes.Buffer
	out, err := s.get.round(ctx, &body)
	if err == nil && ctx.Err() == nil {
		s.draw(s.frame(body.String(), s.get.summary(out)))
	}
	return out, err
}

// resize takes over the terminal's size, which may change between two rounds.
func (s *screen) resize() {
	if f, ok := s.get.app.stdout.(interface{ Fd() uintptr }); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil {
			s.get.app.columns, s.get.app.rows = columns, rows
		}
	}
	s.get.render.Columns = s.get.app.columns
}

// frame returns what draws a title, the answers as far as there is room, and
// the summary below them.
func (s *screen) frame(body, summary string) string {
	head := []string{s.title, ""}
	lines, foot := splitLines(body), splitLines(summary)
	if rows := s.get.app.rows; rows > 0 {
		room := max(rows-len(head)-len(foot), 0)
		if len(lines) > room {
			keep := max(room-1, 0)
			lines = append(lines[:keep:keep], fmt.Sprintf("... %d more lines", len(lines)-keep))
		}
		all := len(head) + len(lines)
		foot = foot[:max(min(len(foot), rows-all), 0)]
	}
	var b strings.Builder
	b.WriteString(toTop)
	for i, line := range append(append(head, lines...), foot...) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + clearLine)
	}
	b.WriteString(clearBelow)
	return b.String()
}

// splitLines returns the lines of text without their ends.
func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
