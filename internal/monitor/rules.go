package monitor

import (
	"fmt"
	"slices"
	"time"

	"dtc"
	"dtc/internal/events"
)

// Bounds on what an agent can make the monitor remember of one host.
const (
	maxMembers = 20_000 // processes of rules that are alive
	maxGone    = 1024   // of each rule, that have ended
)

// ruleWatch is what the monitor knows of one rule of a host.
type ruleWatch struct {
	selects string // what it selects, see selectsOf
	boot    string // of the host, when the rule was last told of
	members map[int]*member
	gone    ended // processes whose end has been told

	told    dtc.State // of the rule as a whole: the last state in the log, of this run of the monitor
	count   int       // of the processes, when that was told
	last    dtc.State // the same, of any run
	settled bool      // it has been, since the present routine check began, whose finding is older
}

// member is a process of a rule that has been told to be alive.
type member struct {
	id   dtc.ProcessID
	boot string
	name string
	seen time.Time // when it was last told to be alive
	told bool      // by this run of the monitor
}

// selectsOf returns what of a rule decides which processes are its own.
func selectsOf(r *dtc.ProcessRule) string {
	return fmt.Sprintf("%q %q %q %q %d %q", r.Match, r.Exe, r.PIDFile, r.Unit, r.Port, r.User)
}

func newRuleWatch(selects string) *ruleWatch {
	return &ruleWatch{selects: selects, members: map[int]*member{}}
}

// recalled returns a rule as an earlier run of the monitor knew it.
func recalled(memory *events.RuleMemory) *ruleWatch {
	r := newRuleWatch(memory.Selects)
	r.boot, r.last = memory.Boot, memory.State
	for pid, p := range memory.Members {
		if len(r.members) < maxMembers {
			r.members[pid] = &member{id: p.ID(pid), boot: p.Boot, name: p.Name, seen: p.Seen}
		}
	}
	for _, e := range memory.Ended {
		r.gone.add(identity{e.Boot, dtc.ProcessID{PID: e.PID, Start: e.Start}})
	}
	return r
}

// wantedRules is wanted for the rules. w.mu is held.
func (w *hostWatch) wantedRules(rules []dtc.ProcessRule) []dtc.ProcessRule {
	address := w.host.Address.String()
	configured := map[string]bool{}
	list := make([]dtc.ProcessRule, len(rules))
	for i, rule := range rules {
		configured[rule.Name] = true
		r, selects := w.rules[rule.Name], selectsOf(&rule)
		switch {
		case r != nil && r.selects == selects:
		case r != nil && r.selects == "": // recalled from the log alone
			r.selects = selects
			w.m.memory.BeginRule(address, rule.Name, selects)
			w.m.memory.SetRule(address, rule.Name, r.last, r.boot)
		default: // another one of that name begins anew, but for what was told of it
			next := newRuleWatch(selects)
			w.m.memory.BeginRule(address, rule.Name, selects)
			if r != nil && r.last != "" {
				next.last = r.last
				w.m.memory.SetRule(address, rule.Name, r.last, "")
			}
			r = next
			w.rules[rule.Name] = r
		}
		rule.Known, rule.KnownBoot = r.known(w.state.Boot)
		list[i] = rule
	}
	for name := range w.rules {
		if !configured[name] {
			delete(w.rules, name)
			w.m.memory.DropRule(address, name)
		}
	}
	return list
}

// known lists the processes that were told to be alive, of one boot. Those of
// an earlier boot than the present one come first: their ends are to be told.
func (r *ruleWatch) known(present string) ([]dtc.ProcessID, string) {
	boot := r.boot
	for _, p := range r.members {
		if p.boot != present {
			boot = p.boot
			break
		}
	}
	var ids []dtc.ProcessID
	for _, p := range r.members {
		if p.boot == boot {
			ids = append(ids, p.id)
		}
	}
	slices.SortFunc(ids, func(a, b dtc.ProcessID) int { return a.PID - b.PID })
	return ids, boot
}

// specOf returns a rule as it is configured, or was until the last change. w.mu
// is held.
func (w *hostWatch) specOf(name string) (dtc.ProcessRule, bool) {
	for _, rules := range [][]dtc.ProcessRule{w.host.Rules, w.former.Rules} {
		for _, rule := range rules {
			if rule.Name == name {
				return rule, true
			}
		}
	}
	return dtc.ProcessRule{}, false
}

// news says whether a sighting of the rule tells something new. The monitor's
// mu is held, here and in all below.
func (r *ruleWatch) news(s *dtc.Sighting, how check) bool {
	switch s.State {
	case dtc.StateAlive:
		return r.newAlive(s, how)
	case dtc.StateDead, dtc.StateRestarted:
		return !r.gone.has(identity{s.Boot, s.Process})
	case dtc.StateNormal:
		return r.last == dtc.StateMissing || r.last == dtc.StateCount
	case dtc.StateMissing, dtc.StateCount:
		if how.routine {
			return !r.settled
		}
		return r.told != s.State || r.count != s.Count
	default:
		return false
	}
}

func (r *ruleWatch) newAlive(s *dtc.Sighting, how check) bool {
	p := r.members[s.Process.PID]
	switch {
	case r.gone.has(identity{s.Boot, s.Process}):
		return false
	case p == nil || p.id != s.Process || p.boot != s.Boot:
		return true
	}
	p.seen = time.Now()
	return how.routine || !p.told
}

// took notes that a sighting has been told. room is for how many more
// processes there is.
func (r *ruleWatch) took(s *dtc.Sighting, at time.Time, room int) {
	r.boot = s.Boot
	switch s.State {
	case dtc.StateAlive:
		r.join(&member{id: s.Process, boot: s.Boot, name: s.Name, seen: at, told: true}, room)
	case dtc.StateDead, dtc.StateRestarted:
		r.leave(s) // who came after it is told to be alive
	default:
		r.told, r.last, r.count, r.settled = s.State, s.State, s.Count, true
	}
}

func (r *ruleWatch) join(p *member, room int) {
	if room > 0 || r.members[p.id.PID] != nil {
		r.members[p.id.PID] = p
	}
}

// leave notes that a process has ended.
func (r *ruleWatch) leave(s *dtc.Sighting) {
	p := r.members[s.Process.PID]
	if p != nil && p.id == s.Process {
		delete(r.members, s.Process.PID)
	}
	r.gone.add(identity{s.Boot, s.Process})
}

// room returns how many more processes may be remembered. w.mu is held.
func (w *hostWatch) room() int {
	room := maxMembers
	for _, r := range w.rules {
		room -= len(r.members)
	}
	return room
}

// beginCheck notes that a routine check asks what there is now.
func (w *hostWatch) beginCheck() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rules {
		r.settled = false
	}
}

// identity names a process over boots.
type identity struct {
	boot string
	id   dtc.ProcessID
}

// ended is a set of the processes that ended last.
type ended struct {
	ids   map[identity]struct{}
	order []identity // a ring once it is full
	next  int        // where the oldest stands then
}

func (e *ended) has(who identity) bool {
	_, ok := e.ids[who]
	return ok
}

func (e *ended) add(who identity) {
	if who.id.Start == 0 || e.has(who) {
		return // without a start it is no identity
	}
	if e.ids == nil {
		e.ids = map[identity]struct{}{}
	}
	if len(e.order) < maxGone {
		e.order = append(e.order, who)
	} else {
		delete(e.ids, e.order[e.next])
		e.order[e.next] = who
		e.next = (e.next + 1) % maxGone
	}
	e.ids[who] = struct{}{}
}
