package monitor

import (
	"context"
	"net/netip"
	"time"

	"dtc"
)

// saw writes a sighting to the process log, unless it says nothing new.
func (w *hostWatch) saw(ctx context.Context, s dtc.Sighting, how check) error {
	came := time.Now()
	w.writing.Lock()
	defer w.writing.Unlock()
	if s.State == dtc.StateStopped {
		return w.stopped(how)
	}
	e, at, ok := w.judge(&s, how)
	if !ok {
		return nil
	}
	if !w.expected(&s, how) {
		if err := w.pace.wait(ctx, &e); err != nil {
			return err
		}
	}
	e.Time = time.Now()
	older(&s, e.Time.Sub(came))
	setEnd(&e, &s)
	if err := w.record(at.Addr(), e); err != nil {
		return err
	}
	w.took(&s, e.Time)
	return nil
}

// expected says whether a routine check found what was known: the configuration
// says how many such lines there are, and not the agent.
func (w *hostWatch) expected(s *dtc.Sighting, how check) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !how.routine {
		return false
	}
	if s.Rule == "" || s.Process.PID == 0 {
		return true // one of each
	}
	r := w.rules[s.Rule]
	return r != nil && r.members[s.Process.PID] != nil
}

// older adds to the age of a sighting what it has waited here.
func older(s *dtc.Sighting, waited time.Duration) {
	s.Age += waited
	if s.AgeMost > 0 {
		s.AgeMost += waited
	}
}

// judge returns what a sighting tells and the address of its host, if that is
// something new and something that the agent was asked for. An end that it kept
// was seen when it was: who has taken the rule out since is told all the same.
func (w *hostWatch) judge(s *dtc.Sighting, how check) (e dtc.Event, at netip.AddrPort, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e = dtc.Event{
		Host: w.host.Name, Address: w.host.Address.String(), Kind: dtc.EventProcess,
		State: s.State, PID: s.Process.PID, Name: s.Name, Rule: s.Rule, Reason: s.Reason,
	}
	if s.Number != 0 && !how.routine {
		e.ID = sightingID(*s)
	}
	switch {
	case !wellFormed(s, how):
		w.wonder(s, "an agent tells what this version does not understand")
	case how.again(s):
	case s.Rule == "":
		ok = w.judgeTarget(&e, s, how)
	default:
		ok = w.judgeRule(&e, s, how)
	}
	return e, w.host.Address, ok
}

// wellFormed says whether a sighting is one that an agent can make.
func wellFormed(s *dtc.Sighting, how check) bool {
	switch s.State {
	case dtc.StateAlive:
		return s.Process.PID > 0
	case dtc.StateDead:
		return s.Process.PID > 0 && s.Number > 0 && !how.routine
	case dtc.StateReplaced:
		return s.Process.PID > 0 && s.Number > 0 && !how.routine && s.Rule == "" && s.NewPID > 0
	case dtc.StateRestarted:
		return s.Process.PID > 0 && s.Number > 0 && !how.routine && s.Rule != "" && s.NewPID > 0
	case dtc.StateMissing:
		return (s.Process.PID == 0) == (s.Rule != "")
	case dtc.StateCount, dtc.StateNormal:
		return s.Process.PID == 0 && s.Rule != ""
	default:
		return false
	}
}

// again says whether a routine check has said that already.
func (c check) again(s *dtc.Sighting) bool {
	if !c.routine {
		return false
	}
	of := subject{s.Rule, s.Process.PID}
	before := c.answered[of]
	c.answered[of] = true
	return before
}

// notWatched is why an honest agent can be wondered at: it has not heard yet, or
// tells what it saw before.
const notWatched = "an agent tells of what is not watched any more, or not by this service"

// wonder logs once that something is left out, and why. w.mu is held.
func (w *hostWatch) wonder(s *dtc.Sighting, why string) {
	if !w.strange {
		w.strange = true
		w.m.log.Warn("left out, this time and later", "why", why,
			"host", w.host.Name, "state", string(s.State), "pid", s.Process.PID, "process", s.Rule)
	}
}

// isEnd says whether a well-formed sighting tells an end, which its agent keeps
// until it is recorded.
func isEnd(s *dtc.Sighting) bool { return s.State == dtc.StateDead || s.State == dtc.StateRestarted }

// judgeTarget is judge for a watched pid. w.mu is held.
func (w *hostWatch) judgeTarget(e *dtc.Event, s *dtc.Sighting, how check) bool {
	t := w.targetOf(s)
	if t == nil {
		w.wonder(s, notWatched)
		return false
	}
	if !t.news(s, how) {
		return false
	}
	if e.Name == "" {
		e.Name = t.name
	}
	e.DiedAfter = t.seen
	return true
}

// judgeRule is judge for a rule and its processes. w.mu is held.
func (w *hostWatch) judgeRule(e *dtc.Event, s *dtc.Sighting, how check) bool {
	spec, configured := w.specOf(s.Rule)
	if !configured && !isEnd(s) {
		w.wonder(s, notWatched)
		return false
	}
	r := w.rules[s.Rule]
	switch {
	case r == nil && isEnd(s):
		r = newRuleWatch("") // what ended before it went is told all the same
	case r == nil:
		return false
	}
	if !r.news(s, how) {
		return false
	}
	if p := r.members[s.Process.PID]; p != nil {
		e.DiedAfter = p.seen
		if e.Name == "" {
			e.Name = p.name
		}
	}
	if s.Process.PID == 0 {
		e.Name, e.Count, e.Min, e.Max = "", s.Count, max(spec.Min, 1), spec.Max
	}
	return true
}

// noBound is beyond what an agent says where it knows no bound.
const noBound = 10 * 365 * 24 * time.Hour

// setEnd fills in how a process ended and who came after it, with DiedAfter
// set to when it is known to have lived. Ages become times on this clock.
func setEnd(e *dtc.Event, s *dtc.Sighting) {
	lived := e.DiedAfter
	e.DiedAfter = time.Time{}
	if s.State == dtc.StateRestarted || s.State == dtc.StateReplaced {
		e.NewPID, e.Gap = s.NewPID, s.Gap
	}
	if s.State != dtc.StateDead && s.State != dtc.StateRestarted {
		return
	}
	e.Exit, e.Lived, e.PostMortem = &s.Exit, s.Lived, s.PostMortem
	switch {
	case s.AgeMost > 0:
		e.DiedBefore = e.Time.Add(-s.Age)
		if s.AgeMost < noBound {
			e.DiedAfter = e.Time.Add(-max(s.AgeMost, s.Age))
		}
		if lived.After(e.DiedAfter) && lived.Before(e.DiedBefore) {
			e.DiedAfter = lived
		}
	case s.Age > time.Second:
		e.DiedAt = e.Time.Add(-s.Age)
	}
}

// took notes that a sighting has been told, for this run of the monitor and
// for the next.
func (w *hostWatch) took(s *dtc.Sighting, told time.Time) {
	at := told.Add(-s.Age)
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Rule != "" {
		if r := w.rules[s.Rule]; r != nil {
			w.rememberRule(r, s, at)
			r.took(s, at, w.room())
		}
		return
	}
	if t := w.targets[s.Process.PID]; t != nil {
		w.rememberProcess(t, s, at)
		t.took(s, at)
	}
}
