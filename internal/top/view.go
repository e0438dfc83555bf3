package top

import (
	"fmt"
	"strings"
	"time"

	"dtc/internal/render"
)

// View returns the screen: as many lines as the terminal has, each of as many
// cells.
func (m *Model) View() string {
	lines := make([]string, 0, m.height)
	switch {
	case m.help:
		lines = m.helpView(lines)
	case m.screen == hostScreen:
		lines = m.hostView(lines)
	case m.screen == processScreen:
		lines = m.processView(lines)
	default:
		lines = m.fileView(lines)
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	if m.height == 1 {
		return m.footer()
	}
	return strings.Join(append(lines[:m.height-1], m.footer()), "\n")
}

// newLine returns an empty line of the screen.
func (m *Model) newLine() *line { return &line{look: m.look, room: m.width} }

// titled returns a line with what matters most at its left, and the state of
// the list, which gives way last, at its right.
func (m *Model) titled(text, state string) string {
	l := m.newLine()
	width := 0
	if state != "" {
		width = min(render.Width(state), m.width)
	}
	if width == 0 {
		l.add(bold, text, m.width)
		return l.end()
	}
	l.add(bold, text, m.width-width-1)
	l.gap()
	l.add(plain, state, width)
	return l.end()
}

// header returns the line with the names of the columns.
func (m *Model) header(text string) string {
	return m.look.paint(reverse, fit(text, m.width))
}

// state returns how the list is ordered, and that it stands still if it does.
func (m *Model) state(order string) string {
	if m.paused {
		return strings.TrimSpace("PAUSED " + order)
	}
	return order
}

// Cursor returns where the text cursor is, and whether it is to be seen.
func (m *Model) Cursor() (column, row int, visible bool) {
	return min(render.Width(m.prompt()), m.width-1), m.height - 1, m.typing
}

// prompt is the line in which a filter is typed.
func (m *Model) prompt() string { return "/" + clean(*m.filter()) }

// footer returns the last line: the keys, or the filter that is being typed.
func (m *Model) footer() string {
	l := m.newLine()
	if m.typing {
		text := m.prompt()
		hidden := max(render.Width(text)-m.width+1, 0) // its end is what is typed
		l.add(bold, window(text, hidden, m.width-1), m.width-1)
		return l.end()
	}
	place := m.place()
	keys := m.keys()
	l.add(plain, keys, m.width-len(place)-1)
	l.add(plain, "", 1)
	l.add(plain, place, len(place))
	return l.end()
}

// keys returns the keys that matter on the screen.
func (m *Model) keys() string {
	if m.help {
		return "any key: back  q quit"
	}
	if f := *m.filter(); f != "" {
		return "filter \"" + clean(f) + "\": / changes it, Esc drops it  ? help  q quit"
	}
	switch m.screen {
	case processScreen:
		return "? help  Esc back  c m t p sort  T tree  / filter  f F files  Space pause  q quit"
	case fileScreen:
		return "? help  Esc back  / filter  Space pause  q quit"
	default:
		return "? help  Enter processes  c m l u n o a sort  / filter  Space pause  q quit"
	}
}

// place returns which rows are visible.
func (m *Model) place() string {
	l := m.list()
	first, end := l.visible(m.page())
	if m.help || l.n == 0 {
		return ""
	}
	return fmt.Sprintf("%d-%d/%d", first+1, end, l.n)
}

// asking says that a list is asked for, or that it is not.
func (m *Model) asking(what string) string {
	if m.paused {
		return "paused: Space asks for " + what
	}
	return "asking for " + what
}

// missing returns why a list is not there or is not new, "" if it is.
func (m *Model) missing(err error, at time.Time) string {
	if err == nil {
		return ""
	}
	h := m.hosts.all[m.wanted().host]
	return fmt.Sprintf("no answer for %s: %s", since(at, m.now), h.why(err))
}
