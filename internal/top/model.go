package top

import (
	"time"

	"dtc/internal/fleet"
)

// screen is what is on the terminal.
type screen uint8

const (
	hostScreen screen = iota
	processScreen
	fileScreen
)

// Model is the state of the screen. Answers, keys and sizes change it, and
// nothing else; it starts nothing and asks nobody.
type Model struct {
	look          look
	every         time.Duration
	width, height int
	now           time.Time // of the last answers
	screen        screen
	behind        screen // of fileScreen: where Esc leads
	help          bool
	helpTop       int
	paused        bool
	typing        bool // a filter is being typed
	hosts         hostList
	procs         processList
	files         fileList
}

// newModel returns the state at the start.
func newModel(hosts []fleet.Host, every time.Duration, look look) *Model {
	m := &Model{look: look, every: every, width: 80, height: 24}
	m.hosts = hostList{all: newHosts(hosts), chosen: -1}
	m.arrange()
	return m
}

// wanted returns what has to be asked for the screen.
func (m *Model) wanted() want {
	w := want{paused: m.paused}
	switch m.screen {
	case processScreen:
		w.subject, w.host, w.sort, w.filter = processes, m.procs.host, m.procs.sortField(), m.procs.of(m.procs.filter)
	case fileScreen:
		w.subject, w.host, w.pid, w.filter = openFiles, m.files.host, m.files.pid, m.files.of(m.files.filter)
	case hostScreen:
	}
	return w
}

// resize takes over the size of the terminal.
func (m *Model) resize(width, height int) {
	m.width, m.height = max(width, 1), max(height, 1)
	m.arrange()
}

// take takes over answers. What comes while the screen is paused is dropped, and
// no time passes there.
func (m *Model) take(a *Answers) {
	if m.paused {
		return
	}
	m.now = a.Now
	for i := range a.Hosts {
		m.hosts.all[a.Hosts[i].Index].take(&a.Hosts[i])
	}
	w := m.wanted()
	if p := a.Processes; p != nil && w.same(want{subject: processes, host: p.Host, filter: p.Filter}) {
		m.procs.take(p)
	}
	if f := a.Files; f != nil && w.same(want{subject: openFiles, host: f.Host, pid: f.PID, filter: f.Filter}) {
		m.files.take(f)
	}
	m.arrange()
}

// arrange brings the rows of the screen into their order.
func (m *Model) arrange() {
	switch m.screen {
	case hostScreen:
		m.hosts.arrange(m.page())
	case processScreen:
		m.procs.arrange(m.look, m.page())
	case fileScreen:
		m.files.arrange(m.page())
	}
}

// page returns how many rows of the list are visible.
func (m *Model) page() int { return max(m.height-m.head()-1, 1) }

// head returns how many lines stand above the rows.
func (m *Model) head() int {
	if m.screen == hostScreen {
		return 2
	}
	return 3
}

// list returns the list on the screen.
func (m *Model) list() *list {
	switch m.screen {
	case processScreen:
		return &m.procs.list
	case fileScreen:
		return &m.files.list
	default:
		return &m.hosts.list
	}
}

// filter returns the filter of the list on the screen.
func (m *Model) filter() *string {
	switch m.screen {
	case processScreen:
		return &m.procs.filter
	case fileScreen:
		return &m.files.filter
	default:
		return &m.hosts.filter
	}
}

// openProcesses shows the processes of the host under the cursor.
func (m *Model) openProcesses() {
	host := m.hosts.selected()
	if host < 0 {
		return
	}
	kept := m.procs
	m.procs = processList{host: host, order: kept.order, reverse: kept.reverse, tree: kept.tree}
	m.screen = processScreen
	m.arrange()
}

// openFiles shows the files of the process under the cursor, or of the host.
func (m *Model) openFiles(key string) {
	files := fileList{host: m.procs.host}
	if m.screen == hostScreen {
		files.host = m.hosts.selected()
	}
	if files.host < 0 {
		return
	}
	if p := m.procs.selected(); m.screen == processScreen && key == "f" {
		if p == nil {
			return
		}
		files.pid, files.owner = p.PID, clean(p.Name)
	}
	m.behind, m.files, m.screen = m.screen, files, fileScreen
	m.arrange()
}

// back drops the filter of a list, else it leaves the list for what stands
// before it.
func (m *Model) back() {
	switch filter := m.filter(); {
	case *filter != "":
		*filter = ""
	case m.screen == processScreen:
		m.screen = hostScreen
	case m.screen == fileScreen:
		m.screen = m.behind
	}
	m.arrange()
}
