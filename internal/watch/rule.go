package watch

import (
	"context"
	"maps"
	"slices"

	"dtc"
	"dtc/internal/proc"
)

// rule is one rule of a session. All of it is guarded by Watcher.mu.
type rule struct {
	session *session
	spec    dtc.ProcessRule // without what the asker knows
	sel     *selector
	machine machine

	starting bool      // its first look is under way
	early    []arrival // who came meanwhile, and may have been overlooked
	replaced bool      // it had another condition: what the asker knows is of that one
	dropped  bool      // the session has it no longer
}

var _ owner = (*rule)(nil)

func newRule(s *session, spec *dtc.ProcessRule, sel *selector, boot string) *rule {
	r := &rule{session: s, spec: *spec, sel: sel, machine: newMachine(spec, boot)}
	r.spec.Known, r.spec.KnownBoot = nil, ""
	return r
}

// ruleSpecs are the rules of a call.
type ruleSpecs struct {
	rules []dtc.ProcessRule
	sels  []*selector // of each
	told  toldEnds    // when the call began
}

// startRules gives the session its new set of rules, and queues what there is
// to say of each. A rule that it had goes on undisturbed; one that is new or has
// changed is judged anew. Then the present state of each is told: alive of each
// process that matches, and one of missing, count and normal; none of it that is
// on its way as a change, and no verdict where nothing can be said of a rule.
//
// What the asker knows counts where the agent knows less: a process of Known
// that is not there any more has ended, with an unknown exit. Who is there and
// not of Known is a newcomer to an asker that knew the rule.
func (w *Watcher) startRules(ctx context.Context, c *call, want ruleSpecs) error {
	if err := checkRuleNames(want.rules); err != nil {
		return err
	}
	set, err := w.setRules(c, want.rules, want.sels)
	if err != nil {
		return err
	}
	w.wantRules()
	for i, r := range set.all {
		w.recall(r, &want.rules[i], want.told[r.spec.Name])
	}
	if err := w.lookFor(ctx, set.fresh); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := c.session
	if s.present != c {
		return errSuperseded()
	}
	for _, r := range set.all {
		for _, t := range r.machine.present(s.acked) {
			w.passSighting(s, w.ruleSighting(r, &t), now())
		}
	}
	return nil
}

func checkRuleNames(rules []dtc.ProcessRule) error {
	if len(rules) > maxRules {
		return invalid("watch by %d rules: an asker may have %d at most", len(rules), maxRules)
	}
	names := make(map[string]bool, len(rules))
	for i := range rules {
		switch name := rules[i].Name; {
		case name == "":
			return invalid("watch by a rule: it has no name")
		case names[name]:
			return invalid("watch by the rule %q: it is given twice", name)
		default:
			names[name] = true
		}
	}
	return nil
}

// checkRules is the rules' part of Check: a full look at those with these names,
// at all if there are none given. It returns alive of each process that matches,
// and missing or count where that has been told; not what is on its way as a
// change.
func (w *Watcher) checkRules(ctx context.Context, s *session, names []string) ([]dtc.Sighting, error) {
	rules := w.rulesNamed(s, names)
	if err := w.lookFor(ctx, rules); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var seen []dtc.Sighting
	for _, r := range rules {
		if r.dropped {
			continue
		}
		blind := r.machine.since != 0
		for _, t := range r.machine.present(s.acked) {
			if t.state == dtc.StateNormal {
				continue
			}
			if blind && t.reason == "" {
				t.reason = r.machine.why(verdictUnknown)
			}
			seen = append(seen, w.ruleSighting(r, &t))
		}
	}
	return seen, nil
}

// rulesNamed returns the session's rules with these names, all if there are none
// given, in the order of their names.
func (w *Watcher) rulesNamed(s *session, names []string) []*rule {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*rule
	for _, name := range slices.Sorted(maps.Keys(s.rules)) {
		if len(names) == 0 || slices.Contains(names, name) {
			list = append(list, s.rules[name])
		}
	}
	return list
}

// lookFor looks at all processes for these rules, and has each judge itself by
// what there is.
func (w *Watcher) lookFor(ctx context.Context, rules []*rule) error {
	if len(rules) == 0 {
		return nil
	}
	sels := make([]*selector, len(rules))
	for i, r := range rules {
		sels[i] = r.sel
	}
	began := now()
	lists, errs := w.rules.finder.scan(ctx, sels)
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, r := range rules {
		w.looked(r, &look{began: began, found: arrivals(lists[i]), err: errs[i]})
	}
	return nil
}

// looked gives a rule a full look.
func (w *Watcher) looked(r *rule, l *look) {
	w.mu.Lock()
	if r.dropped {
		w.mu.Unlock()
		return
	}
	l.room = w.room(r.session)
	taken := r.machine.look(l, now())
	if r.starting {
		for i := range r.early {
			if r.machine.came(&r.early[i], now(), l.room-len(taken)) {
				taken = append(taken, r.early[i])
			}
		}
		r.starting, r.early = false, nil
	}
	w.settleRule(r)
	w.mu.Unlock()
	for i := range taken {
		w.holdMember(r, taken[i].seen)
	}
}

// came takes in a process that has come to match. w.mu is held; what it returns
// is to be watched.
func (r *rule) came(w *Watcher, a *arrival) (watch bool) {
	switch {
	case r.dropped:
		return false
	case r.starting:
		if len(r.early) < maxMembers {
			r.early = append(r.early, *a)
		}
		return false
	}
	watch = r.machine.came(a, now(), w.room(r.session))
	w.settleRule(r)
	return watch
}

// room is how many processes more the session may have watched. w.mu is held.
func (w *Watcher) room(s *session) int {
	room := MaxTargets - len(s.targets)
	for _, r := range s.rules {
		room -= len(r.machine.members)
	}
	return room
}

// holdMember has the end of a new member told to its rule. It may be told before
// this returns. Neither w.mu nor w.attaching is held.
func (w *Watcher) holdMember(r *rule, seen proc.Seen) {
	p := w.holdFor(r, seen)
	if p == nil {
		return
	}
	w.mu.Lock()
	alone := r.dropped && w.leave(p, r)
	w.mu.Unlock()
	if alone {
		w.release([]*process{p})
	}
}

// ended implements [owner].
func (r *rule) ended(w *Watcher, p *process, end *ending) { r.lose(w, p.id, end) }

// lose takes in the end of a member. w.mu is held.
func (r *rule) lose(w *Watcher, id dtc.ProcessID, end *ending) {
	if r.dropped {
		return
	}
	r.machine.ended(id, end, now())
	w.settleRule(r)
}

// settleRule queues what the rule has to tell, and sees to what it wants. w.mu
// is held.
func (w *Watcher) settleRule(r *rule) {
	tells, changed := r.machine.drain()
	for i := range tells {
		t := &tells[i]
		switch {
		case t.end != nil:
			w.keepEnding(r.session, w.ruleSighting(r, t), t.end)
		case t.member != nil:
			t.member.place = w.keepSighting(r.session, w.ruleSighting(r, t), now())
		default:
			r.machine.place = w.keepSighting(r.session, w.ruleSighting(r, t), now())
		}
	}
	if changed {
		w.noteRule(r)
	}
	w.rules.wake(&r.machine)
}

// ruleSighting is what there is to tell of a rule, but for how a process ended.
// w.mu is held.
func (w *Watcher) ruleSighting(r *rule, t *tell) dtc.Sighting {
	var s dtc.Sighting
	if t.member != nil {
		name := t.member.name
		if p := w.held[t.member.id]; p != nil && p.name != "" {
			name = p.name // an exec changes it
		}
		s = w.sighting(t.state, t.member.id, name)
	} else {
		s = w.sighting(t.state, dtc.ProcessID{}, "")
		s.Count = t.count
	}
	s.Rule, s.Reason = r.spec.Name, t.reason
	if t.heir != nil {
		s.NewPID, s.Gap = t.heir.id.PID, t.gap
	}
	return s
}
