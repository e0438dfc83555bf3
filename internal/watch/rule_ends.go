package watch

import (
	"slices"
	"time"

	"dtc"
)

// ended takes in the end of a member.
func (m *machine) ended(id dtc.ProcessID, end *ending, at time.Duration) {
	n := m.member(id)
	if n == nil {
		return
	}
	delete(m.members, id.PID)
	if n.astray {
		m.astray--
	}
	if i := slices.Index(m.fresh, n); i >= 0 {
		m.fresh = slices.Delete(m.fresh, i, i+1)
	}
	m.lose(n, end, at)
	if m.excess > 0 {
		m.stale = true // there is room for one of those that are not watched
	}
	m.judge(at)
}

// lost takes in the end of a process that the asker knew as a member.
func (m *machine) lost(a *arrival, end *ending, at time.Duration) {
	m.lose(&member{id: a.seen.ID, began: a.began}, end, at)
	m.judge(at)
}

// lose tells the end of a member, or has it wait for a successor.
func (m *machine) lose(n *member, end *ending, at time.Duration) {
	m.dirty = true
	d := &departed{member: n, end: *end, from: end.at}
	m.bury(d, at)
	d.end.post = n.postMortem(end.post)
	if end.unseen() {
		d.from = max(0, end.since, n.began)
	}
	if m.within == 0 {
		m.tellDead(d)
		return
	}
	i := slices.IndexFunc(m.fresh, func(n *member) bool { return !n.astray && m.succeeds(d, n) })
	if i >= 0 {
		m.tellRestarted(d, m.fresh[i])
		m.fresh = slices.Delete(m.fresh, i, i+1)
		return
	}
	i, _ = slices.BinarySearchFunc(m.waiting, d.end.at, func(o *departed, at time.Duration) int {
		if o.end.at <= at {
			return -1
		}
		return 1
	})
	m.waiting = slices.Insert(m.waiting, i, d)
	if len(m.waiting) > maxWaiting {
		m.tellDead(m.waiting[0])
		m.waiting = slices.Delete(m.waiting, 0, 1)
	}
}

// bury remembers that a process has ended, if it was one of this boot.
func (m *machine) bury(d *departed, at time.Duration) {
	if d.end.boot == "" || d.end.boot == m.boot {
		m.past.add(d.id, at)
	}
}

// postMortem adds to what is known of a member that has ended its command line,
// if that is not known.
func (n *member) postMortem(known *dtc.PostMortem) *dtc.PostMortem {
	if n.command == (shared{}) || known != nil && known.Command != "" {
		return known
	}
	post := dtc.NoPostMortem()
	if known != nil {
		post = *known
	}
	post.Command = n.command.String()
	return &post
}

// unseen says that nobody saw the end: it was found later.
func (e *ending) unseen() bool { return e.since != 0 || e.boot != "" }

// succeeds says whether a newcomer, who is nobody's successor yet, came in the
// place of one that has ended: it started in time after the end. It may also
// have started before, as in a handover; but then only in the place of one that
// was there for longer than that time, so that of siblings that started together
// none is the other's successor.
func (m *machine) succeeds(d *departed, n *member) bool {
	switch {
	case n.began > d.end.at+m.within || n.began < d.began:
		return false
	case n.began >= d.from-startSlack:
		return true
	case d.astray:
		return n.began >= d.joined
	default:
		return n.began >= d.from-m.within && n.began >= d.began+m.within
	}
}

func (m *machine) tellDead(d *departed) {
	m.dirty = true
	m.tells = append(m.tells, tell{state: dtc.StateDead, member: d.member, end: &d.end})
}

func (m *machine) tellRestarted(d *departed, n *member) {
	m.dirty = true
	gap := max(0, n.began-d.end.at)
	m.tells = append(m.tells, tell{state: dtc.StateRestarted, member: d.member, end: &d.end, heir: n, gap: gap})
}

// expire tells those as dead whose successor had to have started by then.
func (m *machine) expire(by time.Duration) {
	n := 0
	for n < len(m.waiting) && m.waiting[n].end.at+m.within <= by {
		m.tellDead(m.waiting[n])
		n++
	}
	m.waiting = slices.Delete(m.waiting, 0, n)
}

// flush tells all ends that wait: nobody looks for successors any more.
func (m *machine) flush() {
	for _, d := range m.waiting {
		m.tellDead(d)
	}
	m.waiting = nil
}

// past remembers for a while who has ended: a look that began before may still
// show it.
type past struct {
	at    map[dtc.ProcessID]time.Duration
	order []dtc.ProcessID
}

func (p *past) has(id dtc.ProcessID) bool {
	_, ok := p.at[id]
	return ok
}

func (p *past) add(id dtc.ProcessID, at time.Duration) {
	if p.at == nil {
		p.at = map[dtc.ProcessID]time.Duration{}
	}
	if !p.has(id) {
		p.order = append(p.order, id)
	}
	p.at[id] = at
	for len(p.order) > maxPast || p.at[p.order[0]] < at-pastFor {
		delete(p.at, p.order[0])
		p.order = p.order[1:]
	}
}
