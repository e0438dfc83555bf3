package top

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"dtc"
	"dtc/internal/fleet"
	"dtc/internal/render"
)

// hostState says whether a host answers.
type hostState uint8

const (
	waiting hostState = iota // for its first answer
	up
	down
)

// host is a line of the fleet.
type host struct {
	name    string // clean
	address string
	match   string // what a filter looks at, in small letters
	state   hostState
	since   time.Time // when it came into its state
	at      time.Time // of the last answer
	reason  string    // why it is down, clean
	sample  Sample
	alerts  string
}

func newHosts(hosts []fleet.Host) []host {
	all := make([]host, len(hosts))
	for i, h := range hosts {
		all[i] = host{name: clean(h.Name), address: h.Address.String(), sample: nothing()}
		all[i].match = strings.ToLower(h.Name + " " + all[i].address + " " + strings.Join(h.Groups, " "))
	}
	return all
}

// take takes over an answer.
func (h *host) take(a *HostAnswer) {
	state := up
	if a.Err != nil {
		state = down
	}
	if state != h.state {
		h.state, h.since = state, a.At
	}
	h.at = a.At
	if state == down {
		h.reason, h.alerts = h.why(a.Err), ""
		return
	}
	h.reason, h.sample = "", a.Sample
	h.alerts = strings.Join(a.Sample.alerts(), " ")
}

// why returns the kind of an error and its text, without the address, which is
// the host's.
func (h *host) why(err error) string {
	kind, text := dtc.KindOf(err), strings.TrimPrefix(err.Error(), "connect to "+h.address+": ")
	if kind == dtc.KindOther {
		return clean(text)
	}
	return clean(kind.String() + ": " + text)
}

// hostOrder is what hosts are ordered by.
type hostOrder uint8

const (
	byConfig hostOrder = iota
	byName
	byHostCPU
	byHostMemory
	byLoad
	byUptime
	byAlert
)

// title returns how the order is called on the screen.
func (o hostOrder) title() string {
	return [...]string{"config", "name", "cpu", "memory", "load", "uptime", "alerts"}[o]
}

// descending tells whether the order is largest first unless reversed.
func (o hostOrder) descending() bool { return o >= byHostCPU }

// hostKey returns the order that a key stands for.
func hostKey(key string) (hostOrder, bool) {
	switch key {
	case "o":
		return byConfig, true
	case "n":
		return byName, true
	case "c":
		return byHostCPU, true
	case "m":
		return byHostMemory, true
	case "l":
		return byLoad, true
	case "u":
		return byUptime, true
	case "a":
		return byAlert, true
	}
	return 0, false
}

// figure returns what an order compares, NaN if unknown.
func (h *host) figure(o hostOrder) float64 {
	if o == byAlert {
		return h.urgency()
	}
	if h.state != up {
		return math.NaN()
	}
	switch o {
	case byHostCPU:
		return h.sample.CPU
	case byHostMemory:
		return h.sample.memoryPercent()
	case byLoad:
		return h.sample.Load[0]
	default:
		return h.sample.Uptime
	}
}

// urgency is larger for a host that needs more attention.
func (h *host) urgency() float64 {
	if h.state == down {
		return 100
	}
	return float64(len(strings.Fields(h.alerts)))
}

// hostList is the screen with a line a host.
type hostList struct {
	list
	all     []host // in the order of the configuration
	rows    []int  // of all, as they are shown
	order   hostOrder
	reverse bool
	filter  string
	chosen  int // of all; the cursor follows it. -1: the cursor stays at the first row
}

// arrange filters and orders the rows, and follows the host that was chosen.
func (l *hostList) arrange(page int) {
	want := strings.ToLower(l.filter)
	l.rows = l.rows[:0]
	for i := range l.all {
		if want == "" || strings.Contains(l.all[i].match, want) {
			l.rows = append(l.rows, i)
		}
	}
	l.sort()
	l.n = len(l.rows)
	if l.chosen < 0 {
		l.pos = 0
	} else if at := slices.Index(l.rows, l.chosen); at >= 0 {
		l.pos = at
	}
	l.settle(page)
}

func (l *hostList) sort() {
	if l.order <= byName {
		if l.order == byName {
			slices.SortStableFunc(l.rows, func(a, b int) int { return cmp.Compare(l.all[a].name, l.all[b].name) })
		}
		if l.reverse {
			slices.Reverse(l.rows)
		}
		return
	}
	figures := make([]float64, len(l.all))
	for _, i := range l.rows {
		figures[i] = l.all[i].figure(l.order)
	}
	slices.SortStableFunc(l.rows, func(a, b int) int { return compareFigures(figures[a], figures[b], l.reverse) })
}

// compareFigures orders the largest first, or the smallest if ascending, and
// what is not known last.
func compareFigures(a, b float64, ascending bool) int {
	switch {
	case math.IsNaN(a) && math.IsNaN(b):
		return 0
	case math.IsNaN(a):
		return 1
	case math.IsNaN(b):
		return -1
	case ascending:
		return cmp.Compare(a, b)
	default:
		return cmp.Compare(b, a)
	}
}

// choose has the cursor follow the host that it is on.
func (l *hostList) choose(key string) {
	l.chosen = -1
	if key != "home" && key != "g" && l.pos < len(l.rows) {
		l.chosen = l.rows[l.pos]
	}
}

// selected returns the host under the cursor, -1 if there is none.
func (l *hostList) selected() int {
	if l.pos < len(l.rows) {
		return l.rows[l.pos]
	}
	return -1
}

// total is the fleet in figures.
type total struct {
	up, waiting int
	cores       int
	busy        float64 // cores that work
	used, size  int64   // bytes of memory
}

func (l *hostList) total() total {
	var t total
	for i := range l.all {
		h := &l.all[i]
		if h.state == waiting {
			t.waiting++
		}
		if h.state != up {
			continue
		}
		t.up++
		if cores := h.sample.Cores; cores > 0 && !math.IsNaN(h.sample.CPU) {
			t.cores += cores
			t.busy += h.sample.CPU / 100 * float64(cores)
		}
		if m := &h.sample.Memory; m.TotalBytes > 0 && m.UsedBytes >= 0 {
			t.used += m.UsedBytes
			t.size += m.TotalBytes
		}
	}
	return t
}

// widestName returns the cells of the longest name, at most most.
func (l *hostList) widestName(most int) int {
	widest := 0
	for i := range l.all {
		widest = max(widest, render.Width(l.all[i].name))
	}
	return min(widest, most)
}
