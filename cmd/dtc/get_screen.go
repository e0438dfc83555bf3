package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen shows the answers of each round in the place of the last. It uses the
// terminal's second screen, so that the first is there again afterwards.
type screen struct {
	get   *getter
	title string
	keys  *keyboard
	marks *marker

	mu            sync.Mutex // held while something is written
	body, summary string     // of the last round; guarded by mu
	more          int        // lines of it that are not in body; guarded by mu
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
	s := &screen{get: g, title: fmt.Sprintf("Every %s: dtc get %s", every, g.query.Status), keys: openKeyboard(g.app.stdin)}
	s.marks = newMarker(g.query.Status, g.render.NoHeader)
	if s.keys != nil {
		s.title += "   (q ends it)"
	}
	s.write(openScreen)
	s.draw("", "")
	return s
}

// close gives the terminal back as it was.
func (s *screen) close() {
	s.write(closeScreen)
	s.keys.restore()
}

// listen obeys keys and what the system tells about the terminal, until stop is
// called: q and Ctrl-C call quit.
func (s *screen) listen(quit func()) (stop func()) {
	stops := []func(){onSuspend(s.aside), onResize(s.redraw), s.keys.listen(quit)}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func (s *screen) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.get.app.stdout, text)
}

// draw shows a round's answers and summary.
func (s *screen) draw(body, summary string) { s.drawPart(body, summary, 0) }

// drawPart is draw for answers of which more lines are not in body.
func (s *screen) drawPart(body, summary string, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.summary, s.more = body, summary, more
	fmt.Fprint(s.get.app.stdout, s.frame(body, summary))
}

// redraw shows the last round again, on a terminal of another size perhaps.
func (s *screen) redraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resize()
	fmt.Fprint(s.get.app.stdout, s.frame(s.body, s.summary))
}

// aside gives the terminal back as it was while sleep runs.
func (s *screen) aside(sleep func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.get.app.stdout, closeScreen)
	s.keys.restore()
	sleep()
	s.keys.raw()
	s.resize()
	fmt.Fprint(s.get.app.stdout, openScreen+s.frame(s.body, s.summary))
}

// show asks once and draws the answers.
func (s *screen) show(ctx context.Context) (outcome, error) {
	s.get.render.Columns = s.columns()
	p := &page{marks: s.marks}
	s.marks.begin()
	out, err := s.get.round(ctx, p)
	if err == nil && ctx.Err() == nil {
		s.marks.end()
		s.drawPart(p.text.String(), s.get.summary(out), p.more)
	}
	return out, err
}

// page takes the text of a round: it keeps the lines that a screen may show,
// the new rows marked, and counts the others.
type page struct {
	marks *marker
	text  strings.Builder
	lines int    // in text
	more  int    // not in text
	rest  []byte // of a line that is not whole yet
}

// What is kept of a round at most.
const (
	maxPageLines = 1000
	maxPageLine  = 8 << 10 // bytes
)

// The way in which a row is marked that was not there the last time: in reverse,
// as watch -d does.
const (
	markRow   = "\x1b[7m"
	unmarkRow = "\x1b[27m"
)

func (p *page) Write(b []byte) (int, error) {
	n := len(b)
	for {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		p.rest = append(p.rest, line[:min(len(line), maxPageLine-len(p.rest))]...)
		if !whole {
			return n, nil
		}
		p.line(string(p.rest))
		p.rest, b = p.rest[:0], rest
	}
}

// line takes a whole line.
func (p *page) line(line string) {
	isNew := p.marks.isNew(line)
	switch {
	case p.lines == maxPageLines:
		p.more++
		return
	case isNew:
		p.text.WriteString(markRow + line + unmarkRow)
	default:
		p.text.WriteString(line)
	}
	p.text.WriteByte('\n')
	p.lines++
}

// columns returns how wide the terminal is now.
func (s *screen) columns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resize()
	return s.get.app.columns
}

// resize takes over the terminal's size. The caller holds mu.
func (s *screen) resize() {
	if f, ok := s.get.app.stdout.(interface{ Fd() uintptr }); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil {
			s.get.app.columns, s.get.app.rows = columns, rows
		}
	}
}

// frame returns what draws a title, the answers as far as there is room, and
// the summary below them.
func (s *screen) frame(body, summary string) string {
	head := []string{s.title, ""}
	lines, foot := splitLines(body), splitLines(summary)
	if rows := s.get.app.rows; rows > 0 {
		room := max(rows-len(head)-len(foot), 0)
		if len(lines)+s.more > room {
			keep := min(max(room-1, 0), len(lines))
			lines = append(lines[:keep:keep], fmt.Sprintf("... %d more lines", len(lines)-keep+s.more))
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
