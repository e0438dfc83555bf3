package notify

import (
	"slices"
	"strings"
	"time"

	"dtc"
)

// record is a notice as it stands in a receiver's queue, with what it means for
// the machine that has made it.
type record struct {
	Seq    uint64        `json:"seq"` // counts up, by receiver
	ID     string        `json:"id"`
	Kind   NoticeKind    `json:"kind"`
	Time   time.Time     `json:"time"`
	Title  string        `json:"title"`
	Since  time.Time     `json:"since,omitzero"`
	Events []storedEvent `json:"events"`
	Told   []toldKey     `json:"told,omitempty"`   // problems that it tells
	Ends   []string      `json:"ends,omitempty"`   // keys of the rules of which it tells an end
	Closed []string      `json:"closed,omitempty"` // keys of the problems that it tells to be over
	Again  []string      `json:"again,omitempty"`  // keys of the problems of which it reminds
}

// toldKey is a problem that a notice tells.
type toldKey struct {
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
	View  view      `json:"view,omitzero"`
}

// notice returns what the receiver is given.
func (r *record) notice(receiver string) *Notice {
	n := &Notice{
		ID: r.ID, Receiver: receiver, Kind: r.Kind, Time: r.Time, Title: r.Title, Since: r.Since,
		Events: make([]dtc.Event, len(r.Events)),
	}
	for i := range r.Events {
		n.Events[i] = *r.Events[i].event()
	}
	return n
}

// maxNoticeBytes is how much text the events of one notice have at most, unless
// it is one event's.
const maxNoticeBytes = 1 << 20

// batch is a part of what waits: what is told when hosts are quiet again, or
// the rest.
type batch struct {
	entries []*entry
	due     time.Time // zero: nothing of it is due
}

// batches parts what waits. What a host says of its processes goes with its
// fall. What is held back until its silence ends is in none.
func (m *machine) batches(w *world, now time.Time) (hosts, others batch) {
	falls := map[string]bool{}
	for _, e := range m.state.Pending {
		if ofHost(&e.Event) && !e.Recovery && !w.muted(e.Event.event(), now) {
			falls[e.Event.Address] = true
		}
	}
	var first, last, calm time.Time
	for _, e := range m.state.Pending {
		fall := ofHost(&e.Event) || byReboot(&e.Event)
		switch {
		case e.Recovery && e.Key != "" && m.held(w, e, now):
		case fall || falls[e.Event.Address] && e.Event.Kind == dtc.EventProcess && !e.Recovery:
			if before := m.notBefore(&e.Event); len(hosts.entries) == 0 || before.Before(calm) {
				calm = before
			}
			hosts.entries = append(hosts.entries, e)
			first = earlier(first, e.At)
			if fall && e.At.After(last) {
				last = e.At
			}
		default:
			others.entries = append(others.entries, e)
			others.due = earlier(others.due, laterOf(e.At.Add(m.receiver.Wait), m.notBefore(&e.Event)))
		}
	}
	if len(hosts.entries) > 0 {
		hosts.due = earlier(last.Add(hostQuiet), first.Add(hostMost))
		hosts.due = laterOf(hosts.due, laterOf(first.Add(m.receiver.Wait), calm))
	}
	if len(m.state.Pending) >= maxPending {
		hosts.due, others.due = atOnce(hosts.due, now), atOnce(others.due, now)
	}
	return hosts, others
}

func atOnce(due, now time.Time) time.Time {
	if due.IsZero() {
		return due
	}
	return earlier(due, now)
}

// held says whether a recovery is not told yet, for what it closes would not be.
func (m *machine) held(w *world, e *entry, now time.Time) bool {
	was := *e.Event.event()
	was.State = e.Was
	return w.muted(e.Event.event(), now) || w.muted(&was, now)
}

// ofHost says whether an event is the fall or the return of a host as a whole.
func ofHost(e *storedEvent) bool {
	if e.Kind != dtc.EventHost {
		return false
	}
	switch e.State {
	case dtc.StateUnreachable, dtc.StateStopped, dtc.StateReachable, dtc.StateRebooted:
		return true
	default:
		return false
	}
}

// byReboot says whether a process ended with its host.
func byReboot(e *storedEvent) bool {
	return e.Kind == dtc.EventProcess && e.State == dtc.StateDead && strings.Contains(e.Reason, "rebooted")
}

// isDue says whether a batch is to be told now.
func (b *batch) isDue(now time.Time) bool { return !b.due.IsZero() && !now.Before(b.due) }

// due returns the notices that are to be made now. They are made when [made] is
// called with each, in this order.
func (m *machine) due(w *world, now time.Time, newID func() string) []*record {
	var records []*record
	hosts, others := m.batches(w, now)
	if hosts.isDue(now) || others.isDue(now) {
		if m.sift(w, now) {
			hosts, others = m.batches(w, now)
		}
		for _, b := range []batch{hosts, others} {
			if b.isDue(now) {
				records = append(records, m.tell(w, b.entries, now)...)
			}
		}
	}
	records = append(records, m.remind(w, now)...)
	for i, r := range records {
		r.Seq, r.ID, r.Time = m.state.Seq+uint64(i)+1, newID(), now
	}
	return records
}

// sift has what is silenced wait no more, and says whether there was any. A
// problem that lasts comes again when its silence is over.
func (m *machine) sift(w *world, now time.Time) bool {
	if len(w.mutes) == 0 {
		return false
	}
	before := len(m.state.Pending)
	m.state.Pending = slices.DeleteFunc(m.state.Pending, func(e *entry) bool {
		silenced := !e.Recovery && w.muted(e.Event.event(), now)
		if silenced && e.Key != "" {
			delete(m.keyed, e.Key)
		}
		return silenced
	})
	return len(m.state.Pending) < before
}

// tell makes notices of a batch: what is wrong apart from what is well again.
func (m *machine) tell(w *world, entries []*entry, now time.Time) []*record {
	slices.SortStableFunc(entries, func(a, b *entry) int { return a.Event.Time.Compare(b.Event.Time) }) // what a silence held back is older
	var problems, recoveries []*entry
	for _, e := range entries {
		if e.Recovery {
			recoveries = append(recoveries, e)
		} else {
			problems = append(problems, e)
		}
	}
	wrong := parts(problems, func(part []*entry) *record { return tellProblems(w, part) })
	numbered(wrong, problemTitle(w.board, problems))
	well := parts(recoveries, tellRecoveries)
	numbered(well, recoveryTitle(recoveries, now))
	if len(problems) > 0 && len(recoveries) > 0 && recoveries[0].At.Before(problems[0].At) {
		return append(well, wrong...)
	}
	return append(wrong, well...)
}

// parts makes as many records as it takes.
func parts(entries []*entry, make func(part []*entry) *record) []*record {
	var records []*record
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && n < MaxEvents && (n == 0 || size < maxNoticeBytes) {
			size += entries[n].Event.size()
			n++
		}
		records = append(records, make(entries[:n]))
		entries = entries[n:]
	}
	return records
}

// size returns about how many bytes an event takes.
func (e *storedEvent) size() int {
	n := 400 + len(e.ID) + len(e.Host) + len(e.Address) + len(e.Name) + len(e.Rule) + len(e.Alias) + len(e.Reason)
	if e.PostMortem != nil {
		n += 200 + len(e.PostMortem.Command) + len(e.PostMortem.Parent)
	}
	return n
}

func tellProblems(w *world, part []*entry) *record {
	r := &record{Kind: Problem}
	for _, e := range part {
		r.Events = append(r.Events, e.Event)
		if e.Key != "" {
			r.Told = append(r.Told, toldKey{e.Key, w.board.since(e), viewOf(e.Event.event())})
			continue
		}
		if e.Of == "" {
			continue
		}
		// The end of a process tells of its rule's problem too.
		r.Ends = append(r.Ends, e.Of)
		if p := w.board.problems[e.Of]; p != nil {
			r.Told = append(r.Told, toldKey{e.Of, p.Since, viewOf(p.Event.event())})
		}
	}
	slices.Sort(r.Ends)
	r.Ends = slices.Compact(r.Ends)
	return r
}

// since returns since when that is wrong which an entry tells.
func (b *board) since(e *entry) time.Time {
	if p := b.problems[e.Key]; p != nil {
		return p.Since
	}
	return e.Event.Time
}

func tellRecoveries(part []*entry) *record {
	r := &record{Kind: Recovery}
	for _, e := range part {
		r.Events = append(r.Events, e.Event)
		r.Since = earlier(r.Since, e.Since)
		if e.Key != "" {
			r.Closed = append(r.Closed, e.Key)
		}
	}
	return r
}

// remind makes notices of what is wrong for long. Once one problem's time has
// come, others whose half has go with it.
func (m *machine) remind(w *world, now time.Time) []*record {
	every := m.receiver.Remind
	if every <= 0 || refreshed(m.receiver) {
		return nil
	}
	ripe := false
	var problems []*entry
	for _, e := range m.open(w) {
		if w.muted(e.Event.event(), now) {
			continue
		}
		passed := now.Sub(m.state.Told[e.Key].At)
		ripe = ripe || passed >= every
		if passed >= every/2 {
			problems = append(problems, e)
		}
	}
	if !ripe {
		return nil
	}
	return reminders(problems, now)
}

func reminders(problems []*entry, now time.Time) []*record {
	again := parts(problems, func(part []*entry) *record {
		r := &record{Kind: Reminder}
		for _, e := range part {
			r.Events = append(r.Events, e.Event)
			r.Since = earlier(r.Since, e.Since)
			r.Again = append(r.Again, e.Key)
		}
		return r
	})
	numbered(again, reminderTitle(problems, now))
	return again
}

// refreshed says whether a receiver is to be given again and again whatever is
// wrong: it takes it for well otherwise.
func refreshed(r Receiver) bool { return r.Kind == "alertmanager" }

// open returns the problems that the receiver knows of, in the order in which
// they began, without those whose recovery waits.
func (m *machine) open(w *world) []*entry {
	var list []*entry
	for _, key := range sortedProblems(w.board.problems) {
		known, ok := m.state.Told[key]
		if !ok || m.keyed[key] != nil {
			continue
		}
		p := w.board.problems[key]
		e := p.told(m.filter)
		if e == nil {
			e = &p.Event // he was told of the end alone
		}
		list = append(list, &entry{Event: *e, Key: key, Since: known.Since})
	}
	return list
}

// next returns when due is to be called again, if nothing happens before; the
// zero time if it need not be.
func (m *machine) next(w *world, now time.Time) time.Time {
	hosts, others := m.batches(w, now)
	first := earlier(hosts.due, others.due)
	if m.receiver.Remind > 0 && !refreshed(m.receiver) {
		for _, e := range m.open(w) {
			if !w.muted(e.Event.event(), now) {
				first = earlier(first, m.state.Told[e.Key].At.Add(m.receiver.Remind))
			}
		}
	}
	return first
}
