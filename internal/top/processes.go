package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dtc"
)

// ProcessAnswer is what one host said of its processes.
type ProcessAnswer struct {
	Host      int // in Options.Hosts
	At        time.Time
	Err       error
	Collected time.Time // on the host's clock
	PIDWidth  int
	Processes []dtc.Process
	More      bool // there are more processes than these
	Sort      string
	Filter    string // that was asked for
	Note      string
}

// maxItems is how many processes, or open files, of a host are shown at most.
const maxItems = 5000

// processID tells two processes of one host apart.
type processID struct {
	pid     int
	started int64 // nanoseconds
}

func idOf(p *dtc.Process) processID { return processID{p.PID, p.StartedAt.UnixNano()} }

// usage is what a process had used when it was last seen.
type usage struct {
	started time.Time
	seconds float64
	percent float64
}

// processOrder is what processes are ordered by.
type processOrder uint8

const (
	byCPU processOrder = iota
	byMemory
	byTime
	byPID
)

func (o processOrder) title() string { return [...]string{"%CPU", "%MEM", "TIME", "PID"}[o] }

// field is what a host calls it.
func (o processOrder) field() string {
	return [...]string{"cpu_percent", "rss_bytes", "cpu_seconds", "pid"}[o]
}

func processKey(key string) (processOrder, bool) {
	switch key {
	case "c":
		return byCPU, true
	case "m":
		return byMemory, true
	case "t":
		return byTime, true
	case "p":
		return byPID, true
	}
	return 0, false
}

// processRow is a line of the screen.
type processRow struct {
	index  int    // of the process
	branch string // lines of the tree before the command
}

// processList is the screen with one host's processes.
type processList struct {
	list
	host    int
	answer  *ProcessAnswer // the last good one, nil before
	err     error          // why the last question had no answer
	errAt   time.Time
	rows    []processRow
	order   processOrder
	reverse bool
	tree    bool
	filter  string
	filtered
	chosen processID
	follow bool // the cursor follows chosen, else it stays at the first row

	// What the processor time of the interval is measured from.
	before   map[int]usage
	beforeAt time.Time     // on the host's clock
	askedAt  time.Time     // on ours
	interval time.Duration // that the percentages cover, 0: the life of each process
}

// minInterval is the shortest time for which a share of it says something:
// processor time is counted in hundredths of a second.
const minInterval = 200 * time.Millisecond

// take takes over an answer.
func (l *processList) take(a *ProcessAnswer) {
	if a.Err != nil {
		if l.err == nil {
			l.errAt = a.At
		}
		l.err = a.Err
		return
	}
	l.err = nil
	l.took(a.Filter, a.More)
	l.measure(a)
	l.answer = a
}

// measure turns the processor share over the life of each process into that
// since the last answer.
func (l *processList) measure(a *ProcessAnswer) {
	elapsed := l.elapsed(a)
	fresh := elapsed >= minInterval
	now := make(map[int]usage, len(a.Processes))
	for i := range a.Processes {
		p := &a.Processes[i]
		was, ok := l.before[p.PID]
		same := ok && was.started.Sub(p.StartedAt).Abs() < time.Second && p.CPUSeconds >= was.seconds
		switch {
		case same && fresh:
			p.CPUPercent = (p.CPUSeconds - was.seconds) / elapsed.Seconds() * 100
		case same:
			p.CPUPercent = was.percent
		}
		now[p.PID] = usage{p.StartedAt, p.CPUSeconds, p.CPUPercent}
	}
	if l.before == nil || fresh {
		l.before, l.beforeAt, l.askedAt = now, a.Collected, a.At
		l.interval = max(elapsed, 0)
	}
}

// elapsed returns the time between the last answer and a. The host's clock is
// the exact one, but somebody may have set it.
func (l *processList) elapsed(a *ProcessAnswer) time.Duration {
	if l.before == nil {
		return 0
	}
	ours, theirs := a.At.Sub(l.askedAt), a.Collected.Sub(l.beforeAt)
	if (ours - theirs).Abs() > ours/2 {
		return ours
	}
	return theirs
}

// sortField returns the order as a question to a host has it.
func (l *processList) sortField() string {
	field := l.order.field()
	if l.reverse && l.order == byPID {
		return "-" + field
	}
	if l.reverse {
		return "+" + field
	}
	return field
}

// arrange filters and orders the rows, and follows the process that was chosen.
func (l *processList) arrange(look look, page int) {
	l.rows = l.rows[:0]
	if l.answer != nil {
		l.fill(look)
	}
	l.n = len(l.rows)
	if !l.follow {
		l.pos = 0
	} else if at := slices.IndexFunc(l.rows, func(r processRow) bool { return idOf(&l.answer.Processes[r.index]) == l.chosen }); at >= 0 {
		l.pos = at
	}
	l.settle(page)
}

func (l *processList) fill(look look) {
	all := l.answer.Processes
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return l.compare(&all[a], &all[b]) })
	wanted := l.wanted()
	if l.tree {
		l.rows = appendTree(l.rows, treeOf(all, order), wanted, look)
		return
	}
	for _, i := range order {
		if wanted == nil || wanted[i] {
			l.rows = append(l.rows, processRow{index: i})
		}
	}
}

// wanted tells of each process whether the filter lets it pass, nil if all do.
func (l *processList) wanted() []bool {
	if l.filter == "" {
		return nil
	}
	want := strings.ToLower(l.filter)
	pass := make([]bool, len(l.answer.Processes))
	for i := range pass {
		pass[i] = matchesProcess(want, &l.answer.Processes[i])
	}
	return pass
}

func (l *processList) compare(a, b *dtc.Process) int {
	by := 0
	switch l.order {
	case byCPU:
		by = compareFigures(a.CPUPercent, b.CPUPercent, l.reverse)
	case byMemory:
		by = compareFigures(float64(a.RSSBytes), float64(b.RSSBytes), l.reverse)
	case byTime:
		by = compareFigures(a.CPUSeconds, b.CPUSeconds, l.reverse)
	case byPID:
		by = cmp.Compare(a.PID, b.PID)
		if l.reverse {
			by = -by
		}
	}
	return cmp.Or(by, cmp.Compare(a.PID, b.PID))
}

// choose has the cursor follow the process that it is on.
func (l *processList) choose(key string) {
	p := l.selected()
	l.follow = p != nil && key != "home" && key != "g"
	if l.follow {
		l.chosen = idOf(p)
	}
}

// selected returns the process under the cursor, nil if there is none.
func (l *processList) selected() *dtc.Process {
	if l.answer == nil || l.pos >= len(l.rows) {
		return nil
	}
	return &l.answer.Processes[l.rows[l.pos].index]
}
