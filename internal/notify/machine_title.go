package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dtc"
	"dtc/internal/render"
)

const (
	titleHosts = 3   // how many hosts a title names at most
	titleRunes = 300 // how long it is at most
)

// numbered gives a title to the notices that tell one thing together. What a
// host says of itself does not get it out of its line.
func numbered(records []*record, title string) {
	title = cut(strings.Join(strings.Fields(title), " "), titleRunes)
	for i, r := range records {
		r.Title = title
		if len(records) > 1 {
			r.Title = fmt.Sprintf("%s (%d of %d)", title, i+1, len(records))
		}
	}
}

// problemTitle says in a line what is wrong.
func problemTitle(b *board, entries []*entry) string {
	if len(entries) == 0 {
		return ""
	}
	var hosts, ends, rest []*entry
	ended := map[string]bool{} // subjects of the ends, those that another tells too
	for _, e := range entries {
		switch {
		case ofHost(&e.Event):
			hosts = append(hosts, e)
		case e.Event.State == dtc.StateDead || e.Event.State == dtc.StateRestarted:
			ends = append(ends, e)
			ended[subject(e.Event.event())] = true
		default:
			rest = append(rest, e)
		}
	}
	ends = onceEach(ends)
	// What a rule says after the end of its process is not counted again.
	others := slices.DeleteFunc(slices.Clone(rest), func(e *entry) bool { return e.Key != "" && ended[e.Key] })
	switch {
	case len(hosts) > 0:
		return strings.Join(append(hostsTitles(b, hosts), foldedTitle(hosts, ends, others)...), "; ")
	case len(others) == 0 && (len(ends) == 1 || len(ended) == 1 && !ended[""]):
		return endsTitle(ends, rest)
	case len(ends) == 0 && len(others) == 1:
		return singleTitle(others[0])
	default:
		return countsTitle(append(ends, others...))
	}
}

// onceEach returns one entry of each process that ended: several rules tell of
// it, and who watches it by its pid. A rule's is the one to show.
func onceEach(ends []*entry) []*entry {
	type end struct {
		address string
		pid     int
		nth     int // that one rule tells: a pid comes again
	}
	at, told := map[end]int{}, map[string]int{}
	var once []*entry
	for _, e := range ends {
		by := fmt.Sprint(e.Event.Address, " ", e.Event.PID, " ", e.Event.Rule)
		told[by]++
		this := end{e.Event.Address, e.Event.PID, told[by]}
		i, seen := at[this]
		switch {
		case !seen || this.pid == 0:
			at[this] = len(once)
			once = append(once, e)
		case once[i].Event.Rule == "":
			once[i] = e
		}
	}
	return once
}

// hostsTitles says which hosts fell, and how.
func hostsTitles(b *board, entries []*entry) []string {
	var lost, stopped, rebooted []*entry
	for _, e := range entries {
		switch e.Event.State {
		case dtc.StateStopped:
			stopped = append(stopped, e)
		case dtc.StateRebooted:
			rebooted = append(rebooted, e)
		default:
			lost = append(lost, e)
		}
	}
	var titles []string
	switch {
	case len(lost) > 0 && b.allDown():
		titles = append(titles, fmt.Sprintf("all %d hosts unreachable: the monitor's own network seems to be gone", len(b.roster.hosts)))
	case len(lost) == 1:
		titles = append(titles, withReason(hostOf(lost[0])+" unreachable", lost[0].Event.Reason))
	case len(lost) > 1:
		titles = append(titles, manyHosts(lost, "unreachable"))
	}
	switch {
	case len(stopped) == 1:
		titles = append(titles, hostOf(stopped[0])+": its agent was stopped on purpose")
	case len(stopped) > 1:
		titles = append(titles, fmt.Sprintf("the agents of %d hosts were stopped on purpose: %s", len(stopped), hostList(stopped)))
	}
	switch names := hostNames(rebooted); {
	case len(names) == 1:
		titles = append(titles, names[0]+" rebooted")
	case len(names) > 1:
		titles = append(titles, manyHosts(rebooted, "rebooted"))
	}
	return titles
}

func manyHosts(entries []*entry, what string) string {
	return fmt.Sprintf("%d hosts %s: %s", len(hostNames(entries)), what, hostList(entries))
}

// foldedTitle says what ended with the hosts that fell.
func foldedTitle(hosts, ends, others []*entry) []string {
	them := "it"
	if len(hostNames(hosts)) > 1 {
		them = "them"
	}
	var titles []string
	switch {
	case len(ends) == 1:
		titles = append(titles, "1 watched process ended with "+them)
	case len(ends) > 1:
		titles = append(titles, fmt.Sprintf("%d watched processes ended with %s", len(ends), them))
	}
	if len(others) > 0 {
		titles = append(titles, countsTitle(others))
	}
	return titles
}

// endsTitle says that one process ended, or several of one rule, and what the
// rule says of that.
func endsTitle(ends, rest []*entry) string {
	last := ends[len(ends)-1]
	titles := []string{singleTitle(last)}
	if len(ends) > 1 {
		titles = []string{hostOf(last) + ": " + stateCounts(ends), "the last: " + render.EventWhat(last.Event.event())}
	}
	for _, e := range rest {
		switch {
		case e.Key != subject(last.Event.event()): // of another rule, that the same process belongs to
			titles = append(titles, render.EventWhat(e.Event.event()))
		case e.Event.State == dtc.StateMissing:
			titles = append(titles, "none is left")
		case e.Event.State == dtc.StateCount:
			titles = append(titles, fmt.Sprintf("%d left, wanted %d", e.Event.Count, e.Event.Min))
		}
	}
	if last.Back {
		titles = append(titles, "well again since")
	}
	return strings.Join(titles, "; ")
}

// singleTitle says what one event is.
func singleTitle(e *entry) string {
	what := render.EventWhat(e.Event.event())
	if host := hostOf(e); host != "" {
		return host + ": " + what
	}
	return what
}

// countsTitle counts events of several kinds.
func countsTitle(entries []*entry) string {
	if len(entries) == 1 {
		return singleTitle(entries[0])
	}
	title := stateCounts(entries)
	if list := hostList(entries); list != "" {
		title += " on " + list
	}
	return title
}

// stateCounts says how many events there are of each state.
func stateCounts(entries []*entry) string {
	var states []dtc.State
	count := map[dtc.State]int{}
	for _, e := range entries {
		if count[e.Event.State]++; count[e.Event.State] == 1 {
			states = append(states, e.Event.State)
		}
	}
	titles := make([]string, len(states))
	for i, s := range states {
		titles[i] = stateCount(s, count[s])
	}
	return strings.Join(titles, ", ")
}

// stateCount says how many events there are of a state.
func stateCount(s dtc.State, n int) string {
	words, ok := stateWords()[s]
	if !ok {
		words.one, words.many = string(s), string(s)
	}
	if n == 1 {
		return "1 " + words.one
	}
	return fmt.Sprintf("%d %s", n, words.many)
}

// numberWords are what one event of a state is called, and several.
type numberWords struct{ one, many string }

func stateWords() map[dtc.State]numberWords {
	return map[dtc.State]numberWords{
		dtc.StateDead:        {"process ended", "processes ended"},
		dtc.StateRestarted:   {"process restarted", "processes restarted"},
		dtc.StateMissing:     {"process missing", "processes missing"},
		dtc.StateCount:       {"rule with the wrong number of processes", "rules with the wrong number of processes"},
		dtc.StateGap:         {"gap in a log", "gaps in logs"},
		dtc.StatePaused:      {"log paused", "logs paused"},
		dtc.StateCorrupt:     {"corrupt copy of a log", "corrupt copies of logs"},
		dtc.StateRefused:     {"agent refused", "agents refused"},
		dtc.StateUndelivered: {"notice undelivered", "notices undelivered"},
	}
}

// recoveryTitle says in a line what is well again.
func recoveryTitle(entries []*entry, now time.Time) string {
	hosts, rest := partHosts(entries)
	var titles []string
	switch {
	case len(hosts) == 1:
		titles = append(titles, hostOf(hosts[0])+" reachable again"+after(" after ", hosts[0], now))
	case len(hosts) > 1:
		titles = append(titles, manyHosts(hosts, "reachable again"))
	}
	switch {
	case len(rest) == 1:
		titles = append(titles, singleTitle(rest[0])+after(", after ", rest[0], now))
	case len(rest) > 1:
		titles = append(titles, fmt.Sprintf("%d problems over on %s", len(rest), hostList(rest)))
	}
	return strings.Join(titles, "; ")
}

// after says for how long it was wrong.
func after(word string, e *entry, now time.Time) string {
	until := e.Event.Time
	if until.IsZero() || until.After(now) {
		until = now
	}
	if e.Since.IsZero() || until.Before(e.Since) {
		return ""
	}
	return word + dtc.FormatLived(until.Sub(e.Since))
}

// reminderTitle says in a line what is still wrong.
func reminderTitle(entries []*entry, now time.Time) string {
	if len(entries) == 0 {
		return ""
	}
	if len(entries) == 1 {
		return "still wrong for " + dtc.FormatLived(now.Sub(entries[0].Since)) + ": " + singleTitle(entries[0])
	}
	hosts, rest := partHosts(entries)
	var titles []string
	switch {
	case len(hosts) == 1:
		titles = append(titles, singleTitle(hosts[0]))
	case len(hosts) > 1:
		titles = append(titles, manyHosts(hosts, "unreachable"))
	}
	if len(rest) > 0 {
		titles = append(titles, countsTitle(rest))
	}
	return "still wrong: " + strings.Join(titles, "; ")
}

// partHosts parts what befell hosts as a whole from the rest.
func partHosts(entries []*entry) (hosts, rest []*entry) {
	for _, e := range entries {
		if ofHost(&e.Event) {
			hosts = append(hosts, e)
		} else {
			rest = append(rest, e)
		}
	}
	return hosts, rest
}

func hostOf(e *entry) string {
	if e.Event.Host != "" {
		return e.Event.Host
	}
	return e.Event.Address
}

// hostNames returns the hosts of events, each once, in their order.
func hostNames(entries []*entry) []string {
	var names []string
	seen := map[string]bool{"": true}
	for _, e := range entries {
		if name := hostOf(e); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

func hostList(entries []*entry) string {
	names := hostNames(entries)
	if more := len(names) - titleHosts; more > 0 {
		return strings.Join(names[:titleHosts], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

// reasonTitle is how many characters of a reason a title has.
const reasonTitle = 100

func withReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + cut(reason, reasonTitle)
}
