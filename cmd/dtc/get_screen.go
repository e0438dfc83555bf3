package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"dtc"
	"dtc/internal/render"
)

// screen shows each picture in the place of the last. It uses the terminal's
// second screen, so that the first is there again afterwards.
type screen struct {
	get   *getter
	title string
	keys  *keyboard
	live  *render.Live
	marks *marker

	mu    sync.Mutex // held while something is written
	shown frame      // guarded by mu
}

var _ view = (*screen)(nil)

// frame is what a screen shows.
type frame struct {
	body, summary string
	more          int // lines that are not in body
	at            time.Time
}

// The control sequences of ECMA-48 and xterm that a screen needs.
const (
	openScreen  = "\x1b[?1049h\x1b[?25l\x1b[?7l" // second screen, no cursor, no wrapping
	closeScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K" // from the cursor on
	clearBelow  = "\x1b[J"
)

func (g *getter) newScreen(every time.Duration) *screen {
	s := &screen{get: g, keys: openKeyboard(g.app.stdin)}
	s.title = fmt.Sprintf("Every %s: dtc get %s%s", every, g.query.Status, render.Escape(g.flags))
	s.live = render.NewLive(g.query.Status, len(g.hosts), g.render)
	s.marks = newMarker(g.query.Status, g.render.NoHeader)
	s.write(openScreen)
	_ = s.draw(frame{at: time.Now()}) // the next one tells that the terminal is gone
	return s
}

// close gives the terminal back as it was.
func (s *screen) close() {
	s.leave()
	s.live.Close()
}

func (s *screen) leave() {
	s.write(closeScreen)
	s.keys.restore()
}

// guard implements [view]: a panic goes on as one, but on a terminal that is as
// it was.
func (s *screen) guard(work func()) {
	done := false
	defer func() {
		if !done {
			s.leave()
		}
	}()
	work()
	done = true
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

// draw shows a frame.
func (s *screen) draw(f frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = f
	_, err := fmt.Fprint(s.get.app.stdout, s.text())
	return err
}

// redraw shows the last frame again, on a terminal of another size perhaps.
func (s *screen) redraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resize()
	fmt.Fprint(s.get.app.stdout, s.text())
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
	fmt.Fprint(s.get.app.stdout, openScreen+s.text())
}

func (s *screen) add(i int, part *dtc.Report) error { return s.live.Add(i, part) }

// late implements [view]: what such a host answered the last time is still shown.
func (s *screen) late(waited time.Duration) error {
	return plainError(fmt.Sprintf("no answer for %s; an older one is shown", waited.Truncate(time.Second)))
}

func (s *screen) show(p picture) error {
	s.live.Resize(s.columns())
	page := &page{marks: s.marks}
	if p.whole {
		s.marks.next()
	}
	s.marks.begin()
	if err := s.live.Show(page); err != nil {
		return err
	}
	if p.whole {
		s.marks.end()
	}
	return s.draw(frame{body: page.text.String(), more: page.more, summary: s.get.answered(p.outcome) + s.get.noted(p.outcome), at: p.at})
}

// page takes the text of a picture: it keeps the lines that a screen may show,
// the new rows marked, and counts the others.
type page struct {
	marks *marker
	text  strings.Builder
	lines int    // in text
	more  int    // not in text
	rest  []byte // of a line that is not whole yet
}

// What is kept of a picture at most.
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
		if len(p.rest) == maxPageLine {
			p.rest = wholeTail(p.rest)
		}
		p.line(string(p.rest))
		p.rest, b = p.rest[:0], rest
	}
}

// wholeTail returns what was cut off somewhere without the half of a rune or of
// a control sequence that it may end with.
func wholeTail(b []byte) []byte {
	for i := max(len(b)-utf8.UTFMax+1, 0); i < len(b); i++ {
		if !utf8.FullRune(b[i:]) {
			b = b[:i]
		}
	}
	if at := bytes.LastIndexByte(b, '\x1b'); at >= 0 && bytes.IndexByte(b[at:], 'm') < 0 {
		b = b[:at]
	}
	return b
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

// text returns what draws a title, the answers as far as there is room, and the
// summary below them: of a long one the beginning. The caller holds mu.
func (s *screen) text() string {
	head := []string{s.heading(), ""}
	lines, foot := splitLines(s.shown.body), splitLines(s.shown.summary)
	if rows := s.get.app.rows; rows > 0 {
		room := max(rows-len(head), 0)
		foot = cutLines(foot, max(room-len(lines)-s.shown.more, (room+1)/2), 0)
		lines = cutLines(lines, room-len(foot), s.shown.more)
	}
	all := slices.Concat(head, lines, foot)
	if rows := s.get.app.rows; rows > 0 {
		all = all[:min(len(all), rows)] // one more would scroll
	}
	var b strings.Builder
	b.WriteString(toTop)
	for i, line := range all {
		if i > 0 {
			b.WriteString("\r\n")
		}
		if columns := s.get.app.columns; columns > 0 && !s.get.render.Raw {
			line = firstCells(line, columns)
		}
		b.WriteString(clearLine + line) // afterwards it would clear the last cell of a full line
	}
	b.WriteString(clearBelow)
	return b.String()
}

// cutLines returns as many lines as there is room for, at least one; of what is
// left out, and of more lines that are not there, the last one tells.
func cutLines(lines []string, room, more int) []string {
	if len(lines)+more <= room {
		return lines
	}
	keep := min(max(room-1, 0), len(lines))
	return append(lines[:keep:keep], fmt.Sprintf("... %d more lines", len(lines)-keep+more))
}

// heading returns the first line: what is asked for, which gives way, how to end
// it, and at the right end the time of day.
func (s *screen) heading() string {
	right := ""
	if s.keys != nil {
		right = "q ends it"
	}
	if !s.shown.at.IsZero() {
		right = strings.TrimLeft(right+"  "+s.shown.at.Format(time.TimeOnly), " ")
	}
	columns := s.get.app.columns
	switch {
	case right == "":
		return s.title
	case columns <= 0:
		return s.title + "   " + right
	}
	left := firstCells(s.title, columns-len(right)-2)
	return left + strings.Repeat(" ", max(columns-render.Width(left)-len(right), 0)) + right
}

// firstCells returns what of s fits into so many cells of a terminal, and all that
// changes how text is shown.
func firstCells(s string, cells int) string {
	if len(s) <= cells {
		return s
	}
	var b strings.Builder
	for s != "" {
		text, sequence := s, ""
		if at := strings.IndexByte(s, '\x1b'); at >= 0 {
			end := strings.IndexByte(s[at:], 'm') + 1
			text, sequence, s = s[:at], s[at:at+end], s[at+max(end, 1):]
		} else {
			s = ""
		}
		for _, r := range text {
			if cells -= render.Width(string(r)); cells < 0 {
				break
			}
			b.WriteRune(r)
		}
		cells = max(cells, 0)
		b.WriteString(sequence)
	}
	return b.String()
}

// splitLines returns the lines of text without their ends.
func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
