package top

import (
	"bytes"
	"fmt"
	"strings"

	"dtc"
	"dtc/internal/render"
)

// hostTitle returns a line on one host.
func (m *Model) hostTitle(host int) string {
	h := &m.hosts.all[host]
	text := h.name + " (" + h.address + ")"
	if h.state != up {
		return text
	}
	s := &h.sample
	return text + fmt.Sprintf("  cpu %s  mem %s of %s  load %s %s %s  up %s", percentText(s.CPU),
		percentText(s.memoryPercent()), sizeText(s.Memory.TotalBytes), loadText(s.Load[0]), loadText(s.Load[1]), loadText(s.Load[2]), spanText(s.Uptime))
}

func (m *Model) processView(lines []string) []string {
	l := &m.procs
	order := "by " + l.order.title() + " " + m.look.arrow((l.order != byPID) != l.reverse)
	if l.tree {
		order = "tree " + order
	}
	lines = append(lines, m.titled(m.hostTitle(l.host), m.state("")), m.status(m.missing(l.err, l.errAt), m.processStatus(), order))
	if l.answer == nil {
		return lines
	}
	first, end := l.visible(m.page())
	table := l.table(first, end)
	if m.width < psCells {
		table = l.narrowTable(first, end)
	}
	for i, text := range table {
		text = window(clean(text), l.side, m.width)
		if i == 0 || first+i-1 == l.pos {
			text = m.look.paint(reverse, text)
		}
		lines = append(lines, text)
	}
	return lines
}

// status returns the second line: what is wrong, else what is shown, and how it
// is ordered.
func (m *Model) status(wrong, shown, order string) string {
	l := m.newLine()
	way := faint
	if wrong != "" {
		way, shown = alarm, wrong
	}
	l.add(way, shown, m.width-render.Width(order)-1)
	l.gap()
	l.add(plain, order, render.Width(order))
	return l.end()
}

// processStatus says what the list is.
func (m *Model) processStatus() string {
	l := &m.procs
	if l.answer == nil {
		return m.asking("its processes")
	}
	var b strings.Builder
	number := count(len(l.rows), len(l.answer.Processes), "processes", l.filter, l.answer.Filter)
	if l.answer.More {
		number = "first " + number + " by " + l.answer.Sort + ", there are more"
	}
	b.WriteString(number)
	b.WriteString("; ")
	if l.interval > 0 {
		fmt.Fprintf(&b, "%%CPU of the last %.1f s", l.interval.Seconds())
	} else {
		b.WriteString("%CPU over the life of each")
	}
	return b.String() + note(l.answer.Note)
}

// count says how many items of a list are shown: of all, or of those for which
// the host was asked with a filter.
func count(shown, all int, what, filter, asked string) string {
	switch {
	case asked != "" && asked == strings.ToLower(filter):
		return fmt.Sprintf("%d matching %s", all, what)
	case filter != "":
		return fmt.Sprintf("%d of %d %s", shown, all, what)
	default:
		return fmt.Sprintf("%d %s", all, what)
	}
}

func note(text string) string {
	if text == "" {
		return ""
	}
	return "; " + clean(text)
}

// table returns the header and some rows, as ps prints them.
func (l *processList) table(first, end int) []string {
	r := dtc.Report{Status: dtc.StatusProcess, CollectedAt: l.answer.Collected, PIDWidth: l.answer.PIDWidth}
	for _, row := range l.rows[first:end] {
		p := l.answer.Processes[row.index]
		p.Command = row.branch + p.Command
		r.Process = append(r.Process, p)
	}
	var b bytes.Buffer
	_ = render.Text(&b, &r, render.Options{}) // a buffer takes all
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// psCells is how wide a terminal has to be to show the columns of ps and a bit
// of the command.
const psCells = 76

// narrowTable is table with fewer columns.
func (l *processList) narrowTable(first, end int) []string {
	lines := []string{"    PID %CPU %MEM   TIME COMMAND"}
	for _, row := range l.rows[first:end] {
		p := &l.answer.Processes[row.index]
		lines = append(lines, fmt.Sprintf("%7d %4s %4s %6s %s%s", p.PID,
			tenthsText(p.CPUPercent), tenthsText(p.MemPercent), timeText(p.CPUSeconds), row.branch, p.Command))
	}
	return lines
}

func (m *Model) fileView(lines []string) []string {
	l := &m.files
	lines = append(lines, m.titled(m.hostTitle(l.host), m.state("")), m.status(m.missing(l.err, l.errAt), m.fileStatus(), ""))
	if l.answer == nil {
		return lines
	}
	lines = append(lines, m.look.paint(reverse, window(l.title, l.side, m.width)))
	first, end := l.visible(m.page())
	for row := first; row < end; row++ {
		text := window(clean(l.lines[l.rows[row]]), l.side, m.width)
		if row == l.pos {
			text = m.look.paint(reverse, text)
		}
		lines = append(lines, text)
	}
	return lines
}

// fileStatus says what the list is.
func (m *Model) fileStatus() string {
	l := &m.files
	whose := "of all processes"
	if l.pid != 0 {
		whose = fmt.Sprintf("of %d (%s)", l.pid, l.owner)
	}
	if l.answer == nil {
		return m.asking("the open files " + whose)
	}
	text := count(len(l.rows), len(l.lines), "open files ", l.filter, l.answer.Filter) + whose
	if l.answer.More {
		text = "first " + text + ", there are more"
	}
	return text + note(l.answer.Note)
}
