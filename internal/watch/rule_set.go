package watch

import (
	"maps"
	"slices"

	"dtc"
)

// ruleSet is what a call makes of a session's rules.
type ruleSet struct {
	all   []*rule // in the call's order
	fresh []*rule // that are to be judged anew
}

// setRules gives the session its new set of rules. Those that it has no longer
// tell the ends that wait for a successor: nobody looks for one any more.
func (w *Watcher) setRules(c *call, rules []dtc.ProcessRule, sels []*selector) (set ruleSet, err error) {
	s := c.session
	w.mu.Lock()
	if s.present != c {
		w.mu.Unlock()
		return set, errSuperseded()
	}
	before := s.rules
	s.rules = make(map[string]*rule, len(rules))
	for i := range rules {
		spec := &rules[i]
		r := before[spec.Name]
		switch {
		case r == nil || !sameCondition(&r.spec, spec):
			was := r
			r = newRule(s, spec, sels[i], w.boot)
			r.starting = true
			if r.replaced = was != nil; r.replaced {
				r.machine.known = false
			}
			set.fresh = append(set.fresh, r)
		case !sameBounds(&r.spec, spec):
			w.rebind(r, spec)
			set.fresh = append(set.fresh, r)
		case r.starting: // the call that was to see to it ended before
			set.fresh = append(set.fresh, r)
		}
		s.rules[spec.Name] = r
		set.all = append(set.all, r)
	}
	var alone []*process
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if r := before[name]; s.rules[name] != r {
			alone = append(alone, w.dropRule(r)...)
		}
	}
	w.mu.Unlock()
	w.release(alone)
	return set, nil
}

// sameCondition says whether two rules match the same processes.
func sameCondition(a, b *dtc.ProcessRule) bool {
	return a.Match == b.Match && a.Exe == b.Exe && a.PIDFile == b.PIDFile && a.Unit == b.Unit && a.Port == b.Port && a.User == b.User
}

func sameBounds(a, b *dtc.ProcessRule) bool {
	return a.Min == b.Min && a.Max == b.Max && a.RestartWithin == b.RestartWithin
}

// rebind gives a rule that matches the same processes as before new bounds. It
// is judged anew, and what is told then is told as if it were the first time.
// w.mu is held.
func (w *Watcher) rebind(r *rule, spec *dtc.ProcessRule) {
	m := &r.machine
	m.bind(spec)
	m.begun, m.known = false, true
	r.spec.Min, r.spec.Max, r.spec.RestartWithin = spec.Min, spec.Max, spec.RestartWithin
	r.starting = true
	w.settleRule(r)
	w.noteRule(r)
}

// dropRule ends a rule, and returns the processes that nobody watches now. w.mu
// is held.
func (w *Watcher) dropRule(r *rule) (alone []*process) {
	r.machine.flush()
	w.settleRule(r)
	w.noteRule(r)
	r.dropped, r.early = true, nil
	for _, n := range r.machine.members {
		p := w.held[n.id]
		if p == nil {
			continue
		}
		if _, owns := p.owners[r]; owns && w.leave(p, r) {
			alone = append(alone, p)
		}
	}
	return alone
}

// dropRules takes a session's rules off it, and returns the processes that
// nobody watches now. w.mu is held.
func (w *Watcher) dropRules(s *session) (alone []*process) {
	for _, r := range s.rules {
		alone = append(alone, w.dropRule(r)...)
	}
	s.rules = map[string]*rule{}
	w.dropHeirs(s)
	return alone
}

// recall takes up what the asker knows of a rule and the agent does not: what it
// remembered is lost, or the agent was killed before it came to write it down.
// Whose end was queued when the call began is no news.
func (w *Watcher) recall(r *rule, spec *dtc.ProcessRule, told map[identity]uint64) {
	w.mu.Lock()
	unknown := make([]identity, 0, len(spec.Known))
	for _, id := range spec.Known {
		who := identity{spec.KnownBoot, id}
		if told[who] == 0 && !r.machine.knows(who) {
			unknown = append(unknown, who)
		}
	}
	if r.replaced {
		unknown = nil
	}
	w.mu.Unlock()
	for _, who := range unknown {
		w.recallMember(r, who)
	}
}

// recallMember takes up one process that the asker knows.
func (w *Watcher) recallMember(r *rule, who identity) {
	seen, there := w.stillThere(who)
	a := &arrival{seen: seen}
	if there {
		a.began = startOf(who.id)
	}
	w.mu.Lock()
	if r.dropped || r.machine.knows(who) {
		w.mu.Unlock()
		return
	}
	hold := false
	switch alive := there && !seen.Zombie; {
	case alive && r.starting:
		r.machine.adopt(a, now())
		hold = true
	case alive:
		r.machine.stale = true
	default:
		a.seen.ID = who.id
		end := w.knownEnding(who.id, who.boot)
		if there {
			end.exit = seen.Exit
		}
		r.machine.lost(a, &end, now())
	}
	w.settleRule(r)
	w.mu.Unlock()
	if hold {
		w.holdMember(r, seen)
	}
}
