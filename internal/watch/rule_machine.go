package watch

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// Bounds on what a rule makes an agent hold.
const (
	maxMembers = 10_000 // of one rule: processes that are watched
	maxWaiting = 1000   // of one rule: ends that wait for a successor; then the oldest waits no longer
	maxFresh   = 1024   // of one rule: newcomers that may yet turn out to be somebody's successor
	maxPast    = 16_384 // of one rule: ends that are remembered for pastFor
	pastFor    = time.Minute
)

const (
	// startSlack is how much earlier than an end its successor may seem to have
	// started: a start is known to a tick of 10 ms, and an end is noticed a while
	// after it.
	startSlack = 100 * time.Millisecond

	// lookPatience is how long after its time an end is told as dead at the
	// latest, if nobody could look whether a successor has been overlooked.
	lookPatience = 2 * time.Second
)

// machine judges one rule: which processes are its members, how their ends are
// to be told, and whether there are as many as there are to be. It is told what
// happens and when, and answers with what is to be told. It reads nothing and
// locks nothing; all its times are since boot.
//
// Who has matched the rule is a member until it ends, so that its end is told
// whatever becomes of its command line, its port or its pidfile. One that a
// full look does not find any more is astray, and is not counted.
//
// An end is told dead at once, or with RestartWithin once it is known whether a
// successor came. Until then it waits, and counts as if it were there: nobody
// has been told otherwise. Before a verdict that something is wrong, and before
// the death of who waited in vain, there is a full look (see [machine.dueLook]):
// nothing that was overlooked makes a false alarm.
type machine struct {
	boot     string // of the host: who has ended in another one is no process of this
	min, max int    // max 0: no limit
	within   time.Duration

	begun bool // the first look is over, even if it said nothing
	known bool // the asker knew this rule before, so that who is not of its Known is a newcomer
	stale bool // a look is due: something may have been missed

	resumed time.Duration // when a new run of the agent took the machine up

	members map[int]*member // by pid
	astray  int             // members that are astray
	excess  int             // processes that match and are no members, for there are too many
	fresh   []*member       // newcomers that are nobody's successor, in the order of their coming
	waiting []*departed     // ends that wait for a successor, oldest first
	past    past

	judgement

	tells []tell // what is to be told, in order; see drain
	dirty bool   // what is to be remembered has changed since it was drained
}

// member is a process that has matched the rule and has not ended.
type member struct {
	id      dtc.ProcessID
	name    string
	command shared
	began   time.Duration // its start
	joined  time.Duration // when it became a member
	found   time.Duration // when the last look that found it began
	astray  bool
	place   uint64 // of the sighting that told it as a newcomer
}

// arrival is a process that matches the rule.
type arrival struct {
	seen    proc.Seen
	command string
	began   time.Duration // its start
}

// departed is a member that has ended.
type departed struct {
	*member
	end  ending
	from time.Duration // it ended then or later
}

// tell is one thing to be told.
type tell struct {
	state  dtc.State
	member *member // nil: it is of the rule as a whole
	end    *ending // of dead and restarted
	heir   *member // of restarted: who came
	gap    time.Duration
	count  int
	reason string
}

// newMachine returns the machine of a rule that has not been looked at.
func newMachine(spec *dtc.ProcessRule, boot string) machine {
	m := machine{boot: boot, members: map[int]*member{}, known: spec.KnownBoot != ""}
	m.bind(spec)
	return m
}

// bind gives the machine the bounds of a rule.
func (m *machine) bind(spec *dtc.ProcessRule) {
	m.min, m.max, m.within = max(1, spec.Min), spec.Max, spec.RestartWithin
}

// drain returns what is to be told since the last time.
func (m *machine) drain() (tells []tell, changed bool) {
	tells, changed = m.tells, m.dirty
	m.tells, m.dirty = nil, false
	return tells, changed
}

// came takes in a process that has come to match the rule, and says whether it
// is a member from now on that is to be watched.
func (m *machine) came(a *arrival, at time.Duration, room int) bool {
	taken := false
	switch n := m.members[a.seen.ID.PID]; {
	case n != nil && n.id == a.seen.ID:
		m.setFound(n, at)
	case n != nil:
		m.stale = true // the end of who had the pid is about to be told, and comes first
	case m.past.has(a.seen.ID):
	case !m.roomFor(room):
		m.excess++
	default:
		m.welcome(a, at)
		taken = true
	}
	m.judge(at)
	return taken
}

func (m *machine) roomFor(room int) bool { return room > 0 && len(m.members) < maxMembers }

// admit makes a process a member.
func (m *machine) admit(a *arrival, at time.Duration) *member {
	n := &member{id: a.seen.ID, name: a.seen.Name, command: newShared(a.command), began: a.began, joined: at, found: at}
	m.members[n.id.PID] = n
	m.dirty = true
	return n
}

// adopt makes a process a member of which the asker knows that it was one. It is
// astray until a look finds it.
func (m *machine) adopt(a *arrival, at time.Duration) {
	n := m.admit(a, at)
	n.found, n.astray = 0, true
	m.astray++
}

// welcome makes a newcomer a member, and the successor of the oldest end that
// waits for one like it; but first of one that had its pid: no process is told
// alive before the end of another that had its pid.
func (m *machine) welcome(a *arrival, at time.Duration) {
	n := m.admit(a, at)
	i := slices.IndexFunc(m.waiting, func(d *departed) bool { return d.id.PID == n.id.PID })
	if i >= 0 && !m.succeeds(m.waiting[i], n) {
		m.tellDead(m.waiting[i])
		m.waiting = slices.Delete(m.waiting, i, i+1)
		i = -1
	}
	if i < 0 {
		i = slices.IndexFunc(m.waiting, func(d *departed) bool { return m.succeeds(d, n) })
	}
	if i >= 0 {
		m.tellRestarted(m.waiting[i], n)
		m.waiting = slices.Delete(m.waiting, i, i+1)
	} else {
		if len(m.fresh) >= maxFresh {
			m.fresh = slices.Delete(m.fresh, 0, 1)
		}
		m.fresh = append(m.fresh, n)
	}
	m.tells = append(m.tells, tell{state: dtc.StateAlive, member: n})
}

// member returns the member with this identity, nil if there is none.
func (m *machine) member(id dtc.ProcessID) *member {
	if n := m.members[id.PID]; n != nil && n.id == id {
		return n
	}
	return nil
}

// knows says whether a process is a member, or was one that has ended.
func (m *machine) knows(who identity) bool {
	if who.boot == m.boot && (m.member(who.id) != nil || m.past.has(who.id)) {
		return true
	}
	return slices.ContainsFunc(m.waiting, func(d *departed) bool {
		return d.id == who.id && (d.end.boot == who.boot || d.end.boot == "" && who.boot == m.boot)
	})
}

// look is one full look at all processes.
type look struct {
	began time.Duration
	found []arrival
	err   error // nothing can be said; that nothing matches, if it wraps [fs.ErrNotExist]
	room  int   // so many processes may become members
}

// look takes in a full look, and returns who became a member by it and is to be
// watched.
func (m *machine) look(l *look, at time.Duration) (taken []arrival) {
	m.looked, m.stale = l.began, false
	first := !m.begun
	m.begun = true
	if l.err != nil && !errors.Is(l.err, fs.ErrNotExist) {
		m.blind(l.err, at)
		return nil
	}
	m.sighted(l.err)
	slices.SortFunc(l.found, byStart)
	m.excess = 0
	for i := range l.found {
		a := &l.found[i]
		n := m.members[a.seen.ID.PID]
		switch {
		case n != nil && n.id == a.seen.ID:
			m.setFound(n, l.began)
			continue
		case n != nil:
			m.setFound(n, l.began) // until its end is told
			m.stale = true
			continue
		case m.past.has(a.seen.ID):
			continue
		case !m.roomFor(l.room - len(taken)):
			m.excess++
			continue
		case first && !m.known:
			m.admit(a, at)
		default:
			m.welcome(a, at)
		}
		taken = append(taken, *a)
	}
	if first {
		m.expire(l.began)
		m.judgeSilently()
		return taken
	}
	if m.lookForStrays(l.began) {
		m.judge(at) // what that makes wrong is looked at twice
	}
	m.expire(l.began)
	m.judgeByLook(l.began)
	return taken
}

func byStart(a, b arrival) int {
	return cmp.Or(cmp.Compare(a.began, b.began), cmp.Compare(a.seen.ID.PID, b.seen.ID.PID))
}

func (m *machine) setFound(n *member, at time.Duration) {
	n.found = max(n.found, at)
	if n.astray {
		n.astray = false
		m.astray--
	}
}

// lookForStrays finds the members that a look did not find any more, and says
// whether there are new ones.
func (m *machine) lookForStrays(began time.Duration) bool {
	before := m.astray
	for _, n := range m.members {
		if !n.astray && n.found < began {
			n.astray = true
			m.astray++
		}
	}
	return m.astray > before
}
