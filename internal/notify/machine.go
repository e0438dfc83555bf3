package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"dtc"
)

// How long the fall of hosts, and their return, is waited with: until there was
// none for hostQuiet, but at most hostMost. The links of a fleet whose switch is
// gone fail one after the other.
const (
	hostQuiet = 5 * time.Second
	hostMost  = 30 * time.Second
)

const (
	// oneMoment is how far apart the end of a process and what its rule says of it
	// may be, to be one.
	oneMoment = 10 * time.Second

	// maxPending is how many events wait at most to be told together.
	maxPending = 5000
)

// machine decides what one receiver is told, and when. It knows no clock, no
// disk and no lock: it is given every event with the time, and asked from time
// to time what is due. What it returns then it takes for told only when [made]
// is called.
type machine struct {
	receiver Receiver // with its defaults
	filter   *filter
	state    machineState
	keyed    map[string]*entry // of state.Pending, those of a problem, by its key

	// skip are events that stand in a notice which was made after the state was
	// kept last: they may be told again.
	skip map[eventID]bool
}

// machineState is what a machine remembers.
type machineState struct {
	Seq     uint64               `json:"seq"` // of the last notice made
	Pending []*entry             `json:"pending,omitempty"`
	Told    map[string]told      `json:"told,omitempty"`  // problems, by key
	Ends    map[string]time.Time `json:"ends,omitempty"`  // when an end was told, by key of its rule; of the last moments
	Heard   map[string]heard     `json:"heard,omitempty"` // of what it was told lately, by subject
}

// told is a problem that the receiver knows of.
type told struct {
	At    time.Time `json:"at"`            // when it was told last
	Since time.Time `json:"since"`         // since when it is wrong
	View  view      `json:"view,omitzero"` // what it looks like to him
}

// view is what a problem of processes looks like.
type view struct {
	State dtc.State `json:"state,omitempty"` // "": it is not known
	Many  bool      `json:"many,omitempty"`  // there are too many, not too few
}

func viewOf(e *dtc.Event) view { return view{State: e.State, Many: !lacks(e)} }

// differs says whether somebody who has a view is to be told of an event.
func (v view) differs(e *dtc.Event) bool {
	return e.Kind == dtc.EventProcess && v.State != "" && v.State != dtc.StateDead && v != viewOf(e)
}

// entry is an event that the receiver is to be told of.
type entry struct {
	Event    storedEvent `json:"event"`
	At       time.Time   `json:"at"`                 // when it was taken
	Key      string      `json:"key,omitempty"`      // of the problem that it opens or closes; "": of none
	Of       string      `json:"of,omitempty"`       // of an end: the key of its rule
	Recovery bool        `json:"recovery,omitempty"` // it says that something is well
	Since    time.Time   `json:"since,omitzero"`     // of the problem that it closes
	Was      dtc.State   `json:"was,omitempty"`      // of the problem that it closes
	Back     bool        `json:"back,omitempty"`     // an end of a rule that is well again by now
}

// world is what all machines share.
type world struct {
	board *board
	mutes []mute
}

// muted says whether nobody is told of an event now.
func (w *world) muted(e *dtc.Event, now time.Time) bool {
	return slices.ContainsFunc(w.mutes, func(m mute) bool { return !m.end(now).IsZero() && m.covers(e) })
}

// mutedUntil returns when the next of the times ends in which some events are
// not told, the zero time if there is none now.
func (w *world) mutedUntil(now time.Time) time.Time {
	var first time.Time
	for _, m := range w.mutes {
		first = earlier(first, m.end(now))
	}
	return first
}

// earlier returns the earlier of two times, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// laterOf returns the later of two times.
func laterOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func newMachine(r Receiver, on *roster, state machineState) *machine {
	m := &machine{state: state, keyed: map[string]*entry{}, skip: map[eventID]bool{}}
	if m.state.Told == nil {
		m.state.Told = map[string]told{}
	}
	if m.state.Ends == nil {
		m.state.Ends = map[string]time.Time{}
	}
	if m.state.Heard == nil {
		m.state.Heard = map[string]heard{}
	}
	for _, e := range m.state.Pending {
		if e.Key != "" {
			m.keyed[e.Key] = e
		}
	}
	m.configure(r, on)
	return m
}

// configure takes up what the configuration says now.
func (m *machine) configure(r Receiver, on *roster) {
	if r.Wait <= 0 {
		r.Wait = DefaultWait
	}
	if r.GiveUp <= 0 {
		r.GiveUp = DefaultGiveUp
	}
	m.receiver, m.filter = r, newFilter(r.For, on)
}

// happening is an event, and what it changes.
type happening struct {
	event   *dtc.Event
	key     string
	turn    turn
	problem *problem
	now     time.Time
}

// observe takes up what has happened.
func (m *machine) observe(w *world, h happening) {
	if strings.HasPrefix(h.event.ID, undeliveredBy(m.receiver.Name)) { // he would not be told of it either
		return
	}
	switch h.turn {
	case opened, altered:
		m.worse(h)
	case closed:
		m.better(h)
	case passing:
		if m.filter.wants(h.event) && !w.muted(h.event, h.now) {
			m.add(passed(h.event, h.now))
		}
	case repeated:
	}
}

// undeliveredBy returns what the id of an event begins with that says that a
// receiver was not told. It stands in the id, for the event comes back from a
// record, with no more than that.
func undeliveredBy(receiver string) string {
	sum := sha256.Sum256([]byte(receiver))
	return "undelivered-" + hex.EncodeToString(sum[:4]) + "-"
}

// passed returns the entry of what has happened and is over.
func passed(event *dtc.Event, now time.Time) *entry {
	e := &entry{Event: storedEvent(*event), At: now}
	key, opens, closes := Key(event)
	e.Recovery = closes && !isWrong(event.State)
	if opens {
		e.Of = key
	}
	return e
}

// worse takes up a problem that is new, or another than it was.
func (m *machine) worse(h happening) {
	p, waiting := h.problem, m.keyed[h.key]
	before, known := m.state.Told[h.key]
	again := waiting != nil && waiting.Recovery
	if again { // that it was well for a moment need not be told
		m.drop(waiting)
		if !known || !before.View.differs(h.event) {
			return
		}
		waiting = nil
	}
	ends := m.ends(h.key)
	for _, end := range ends {
		end.Back = false
	}
	e := p.told(m.filter)
	switch {
	case waiting != nil:
		if e != nil {
			waiting.Event = *e
		}
	case len(ends) == 0 && m.endTold(h) && lacks(h.event):
		if !known {
			before.Since = p.Since
		}
		m.state.Told[h.key] = told{At: h.now, Since: before.Since, View: viewOf(h.event)}
	case known && (e != &p.Event || p.Event.Kind != dtc.EventProcess): // he knows enough
	case e != nil:
		m.add(&entry{Event: *e, At: h.now, Key: h.key})
	}
}

// endTold says whether the receiver was told a moment ago of the end of a
// process that belongs to a rule.
func (m *machine) endTold(h happening) bool {
	at, ok := m.state.Ends[h.key]
	return ok && h.now.Sub(at) < oneMoment
}

// lacks says whether an event of a rule is what the end of a process leaves
// behind: too few.
func lacks(e *dtc.Event) bool { return e.State != dtc.StateCount || e.Count < e.Min }

// ends returns the ends of processes of a rule, by its key, that wait to be
// told.
func (m *machine) ends(key string) []*entry {
	var ends []*entry
	for _, e := range m.state.Pending {
		if e.Of == key {
			ends = append(ends, e)
		}
	}
	return ends
}

// better takes up that a problem is over.
func (m *machine) better(h happening) {
	if waiting := m.keyed[h.key]; waiting != nil {
		m.drop(waiting)
	}
	if before, ok := m.state.Told[h.key]; ok {
		m.add(&entry{
			Event: storedEvent(*h.event), At: h.now, Key: h.key,
			Recovery: true, Since: before.Since, Was: h.problem.Event.State,
		})
		return
	}
	for _, end := range m.ends(h.key) {
		end.Back = true
	}
	if m.filter.names(h.event.State) && m.filter.covers(h.event) {
		m.add(&entry{Event: storedEvent(*h.event), At: h.now, Recovery: true})
	}
}

// add has an event wait.
func (m *machine) add(e *entry) {
	if m.skip[idOf(e.Event.event())] {
		return
	}
	m.state.Pending = append(m.state.Pending, e)
	if e.Key != "" {
		m.keyed[e.Key] = e
	}
}

// drop has an event wait no more.
func (m *machine) drop(e *entry) {
	delete(m.keyed, e.Key)
	m.state.Pending = slices.DeleteFunc(m.state.Pending, func(other *entry) bool { return other == e })
}

// review looks at everything that is wrong: what the receiver has not been told
// of, though he is to be, waits from now on, and what he was told of and is not
// known to be wrong any more is forgotten.
func (m *machine) review(w *world, now time.Time) {
	maps.DeleteFunc(m.state.Told, func(key string, _ told) bool {
		waiting := m.keyed[key]
		return w.board.problems[key] == nil && (waiting == nil || !waiting.Recovery)
	})
	for _, e := range slices.Clone(m.state.Pending) {
		if e.Key != "" && !e.Recovery && w.board.problems[e.Key] == nil {
			m.drop(e)
		}
	}
	for _, key := range sortedProblems(w.board.problems) {
		if _, known := m.state.Told[key]; known || m.keyed[key] != nil {
			continue
		}
		p := w.board.problems[key]
		if e := p.told(m.filter); e != nil && !w.muted(e.event(), now) {
			m.add(&entry{Event: *e, At: now, Key: key})
		}
	}
}

// sortedProblems returns the keys of problems in the order in which they began.
func sortedProblems(problems map[string]*problem) []string {
	return slices.SortedFunc(maps.Keys(problems), func(a, b string) int {
		if c := problems[a].Since.Compare(problems[b].Since); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
}

// eventID is what tells an event from all others: the id is the word of who
// sent it, and holds for its address only.
type eventID struct{ Address, ID string }

func idOf(e *dtc.Event) eventID { return eventID{e.Address, e.ID} }

// made notes that a notice stands in the receiver's queue.
func (m *machine) made(r *record) {
	m.state.Seq = max(m.state.Seq, r.Seq)
	m.hear(r)
	gone := map[eventID]bool{}
	for i := range r.Events {
		if r.Kind != Reminder {
			gone[idOf(r.Events[i].event())] = true
		}
	}
	m.state.Pending = slices.DeleteFunc(m.state.Pending, func(e *entry) bool {
		if gone[idOf(e.Event.event())] {
			if m.keyed[e.Key] == e {
				delete(m.keyed, e.Key)
			}
			return true
		}
		return false
	})
	at := r.Time
	for _, p := range r.Told {
		m.state.Told[p.Key] = told{At: at, Since: p.Since, View: p.View}
	}
	for _, key := range r.Again {
		if t, ok := m.state.Told[key]; ok {
			t.At = at
			m.state.Told[key] = t
		}
	}
	for _, key := range r.Closed {
		delete(m.state.Told, key)
	}
	maps.DeleteFunc(m.state.Ends, func(_ string, then time.Time) bool { return at.Sub(then) >= oneMoment })
	for _, key := range r.Ends {
		m.state.Ends[key] = at
	}
}
