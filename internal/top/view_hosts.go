package top

import (
	"fmt"
	"strings"
)

// hostColumns are the widths of the columns of hosts in cells; 0 is none.
type hostColumns struct {
	name, state, bar, loads, uptime, alerts int
}

// The cells of a figure.
const (
	stateCells   = 5
	percentCells = 4
	loadCells    = 4
	uptimeCells  = 6
)

// need returns how many cells the columns take.
func (c hostColumns) need() int {
	n := c.name + 2*(1+c.meter())
	for _, column := range []int{c.state, c.loads, c.uptime, c.alerts} {
		if column > 0 {
			n += 1 + column
		}
	}
	return n
}

// meter returns how many cells a bar takes with its figure.
func (c hostColumns) meter() int {
	if c.bar == 0 {
		return percentCells
	}
	return c.bar + 1 + percentCells
}

// columnsFor returns the columns that fit into a width: those that matter least
// go first, and what is left over goes to the names, the bars and the alerts.
func columnsFor(width, widest int) hostColumns {
	const all, one = 3*loadCells + 2, loadCells
	name := min(max(widest, 6), 12)
	fits := hostColumns{name: name, bar: 0}
	for _, c := range []hostColumns{
		{name, stateCells, 6, all, uptimeCells, 13},
		{name, stateCells, 6, all, uptimeCells, 9},
		{name, stateCells, 6, one, uptimeCells, 9},
		{name, stateCells, 4, one, 0, 9},
		{name, stateCells, 0, one, 0, 4},
		{name, stateCells, 0, 0, 0, 4},
		{name, stateCells, 0, 0, 0, 0},
	} {
		if c.need() <= width {
			fits = c
			break
		}
	}
	give := func(column *int, most, cost int) {
		n := max(min((width-fits.need())/cost, most-*column), 0)
		*column += n
	}
	give(&fits.name, min(widest, 32), 1)
	if fits.bar > 0 {
		give(&fits.bar, 20, 2)
	}
	if fits.alerts > 0 {
		give(&fits.alerts, width, 1)
	}
	return fits
}

func (m *Model) hostView(lines []string) []string {
	c := columnsFor(m.width, m.hosts.widestName(32))
	state := m.state("by " + m.hosts.order.title() + " " + m.look.arrow(m.hosts.order.descending() != m.hosts.reverse))
	if m.hosts.order == byConfig && !m.hosts.reverse {
		state = m.state("") // nothing special
	}
	lines = append(lines, m.titled(m.summary(), state), m.hostHeader(c))
	first, end := m.hosts.visible(m.page())
	for row := first; row < end; row++ {
		lines = append(lines, m.hostLine(c, row))
	}
	return lines
}

// summary returns the line on the whole fleet.
func (m *Model) summary() string {
	t := m.hosts.total()
	text := fmt.Sprintf("%d of %d hosts answer", t.up, len(m.hosts.all))
	if t.waiting > 0 {
		text += fmt.Sprintf(", %d asked", t.waiting)
	}
	if t.cores > 0 {
		text += fmt.Sprintf("  %d cores %.0f%%", t.cores, t.busy/float64(t.cores)*100)
	}
	if t.size > 0 {
		text += fmt.Sprintf("  mem %s of %s", sizeText(t.used), sizeText(t.size))
	}
	return text
}

func (m *Model) hostHeader(c hostColumns) string {
	var b strings.Builder
	b.WriteString(fit("NAME", c.name))
	column := func(title string, width int) {
		if width > 0 {
			b.WriteString(" " + fit(title, width))
		}
	}
	column("STATE", c.state)
	column("CPU", c.meter())
	column("MEM", c.meter())
	column("LOAD 1 5 15"[:min(c.loads, len("LOAD 1 5 15"))], c.loads)
	column(right("UP", c.uptime), c.uptime)
	column("ALERTS"[:min(c.alerts, len("ALERTS"))], c.alerts)
	return m.header(b.String())
}

// hostLine returns the line of a row.
func (m *Model) hostLine(c hostColumns, row int) string {
	h := &m.hosts.all[m.hosts.rows[row]]
	l := m.newLine()
	l.plain = row == m.hosts.pos
	l.add(plain, h.name, c.name)
	switch h.state {
	case up:
		m.figures(l, c, h)
	case down:
		l.gap()
		l.add(alarm, "down", stateCells)
		l.gap()
		l.add(red, "for "+since(h.since, m.now)+": "+h.reason, l.room)
	case waiting:
		l.gap()
		l.add(faint, "wait", stateCells)
		l.gap()
		l.add(faint, "no answer yet", l.room)
	}
	text := l.end()
	if l.plain {
		return m.look.paint(reverse, text)
	}
	return text
}

// gap puts a space between two columns.
func (l *line) gap() { l.add(plain, "", 1) }

// figures adds the columns of a host that answers.
func (m *Model) figures(l *line, c hostColumns, h *host) {
	s := &h.sample
	if c.state > 0 {
		l.gap()
		l.add(green, "up", c.state)
	}
	l.meter(c, s.CPU, fullMemory)
	l.meter(c, s.memoryPercent(), fullMemory)
	if c.loads > 0 {
		l.gap()
		way := plain
		if strings.Contains(h.alerts, "LOAD") {
			way = yellow
		}
		texts := []string{loadText(s.Load[0]), loadText(s.Load[1]), loadText(s.Load[2])}
		for i := range texts {
			texts[i] = right(texts[i], loadCells)
		}
		l.add(way, strings.Join(texts, " ")[:min(c.loads, 3*loadCells+2)], c.loads)
	}
	if c.uptime > 0 {
		l.gap()
		l.add(plain, right(spanText(s.Uptime), c.uptime), c.uptime)
	}
	if c.alerts > 0 {
		l.gap()
		l.add(alarm, h.alerts, c.alerts)
	}
}

// meter adds a bar with its figure.
func (l *line) meter(c hostColumns, percent, full float64) {
	l.gap()
	way := green
	switch {
	case percent >= full:
		way = red
	case percent >= full*2/3:
		way = yellow
	}
	if c.bar > 0 {
		l.add(way, l.look.bar(percent, c.bar), c.bar)
		l.gap()
	}
	l.add(plain, right(percentText(percent), percentCells), percentCells)
}
