package watch

import (
	"regexp"
	"slices"
	"time"

	"dtc"
)

// Bounds on the search for who comes after a single pid that has ended.
const (
	heirTime = time.Minute // after the end
	maxLines = 128         // command lines that are looked for at once
	maxEnds  = 1000        // ends for which that is done, of all askers
)

// lineage is the search for processes of one kin, after a single watched pid of
// that kin has ended. All of it is guarded by Watcher.mu.
type lineage struct {
	sel  *selector
	dead []ancestor // who waits, oldest first
	came past       // who has come in somebody's place
}

// kin is what a process and who comes in its place have in common.
type kin struct {
	command, user shared // user "": any, it is not known
}

// ancestor is an end that waits for who comes after it.
type ancestor struct {
	session *session
	id      dtc.ProcessID
	name    string
	at      time.Duration // since boot, of the end
}

// awaitHeir has a process looked for that comes in the place of a target that
// has ended: with the same command line and of the same user. It costs nothing
// but in the time after an end. w.mu is held.
func (w *Watcher) awaitHeir(s *session, p *process, end *ending) {
	k := w.rules
	of := kin{p.vitals.command, p.vitals.user}
	if of.command == (shared{}) || end.unseen() || k.dying >= maxEnds {
		return
	}
	l := k.lines[of]
	if l == nil {
		if len(k.lines) >= maxLines {
			return
		}
		sels, err := newSelectors([]dtc.ProcessRule{{Name: "heir", Match: exactly(of.command.String()), User: of.user.String()}})
		if err != nil {
			return // it is too long for a regular expression
		}
		l = &lineage{sel: sels[0]}
		k.lines[of] = l
		k.linesChanged = true
		k.looks.kick()
	}
	if len(l.dead) == 0 {
		k.ticks.kick() // for its end
	}
	l.dead = append(l.dead, ancestor{session: s, id: p.id, name: end.name, at: end.at})
	k.dying++
}

// exactly is a regular expression of one command line, or of all that begin
// with it if it may have been cut.
func exactly(command string) string {
	if len(command) < maxCommand {
		return "^" + regexp.QuoteMeta(command) + "$"
	}
	return "^" + regexp.QuoteMeta(command)
}

// arrived tells the oldest end of each asker that waits for one like this, that
// it was replaced. w.mu is held.
func (l *lineage) arrived(w *Watcher, a *arrival) {
	if l.came.has(a.seen.ID) {
		return
	}
	var served []*session
	l.dead = slices.DeleteFunc(l.dead, func(d ancestor) bool {
		if !w.follows(a, &d) || slices.Contains(served, d.session) {
			return false
		}
		served = append(served, d.session)
		sighting := w.sighting(dtc.StateReplaced, d.id, d.name)
		sighting.NewPID, sighting.Gap = a.seen.ID.PID, max(0, a.began-d.at)
		w.keepSighting(d.session, sighting, now())
		return true
	})
	if len(served) > 0 {
		w.rules.dying -= len(served)
		l.came.add(a.seen.ID, now())
	}
	if len(l.dead) == 0 {
		w.rules.ticks.kick() // nobody waits any more
	}
}

// follows says whether a process came after one that has ended: nobody has held
// it before, if it seems to have started a moment before the end. w.mu is held.
func (w *Watcher) follows(a *arrival, d *ancestor) bool {
	if a.seen.ID == d.id || a.began < d.at-startSlack {
		return false
	}
	return a.began >= d.at || w.held[a.seen.ID] == nil
}

// expireHeirs ends the searches whose time is over, and returns when that is the
// next time. w.mu is held.
func (w *Watcher) expireHeirs(at time.Duration) (next time.Duration) {
	k := w.rules
	next = never
	for of, l := range k.lines {
		before := len(l.dead)
		l.dead = slices.DeleteFunc(l.dead, func(d ancestor) bool { return d.at+heirTime <= at })
		k.dying -= before - len(l.dead)
		if len(l.dead) == 0 {
			delete(k.lines, of)
			k.linesChanged = true
			k.looks.kick()
			continue
		}
		next = min(next, l.dead[0].at+heirTime)
	}
	return next
}

// dropHeirs ends an asker's searches. w.mu is held.
func (w *Watcher) dropHeirs(s *session) {
	for _, l := range w.rules.lines {
		before := len(l.dead)
		l.dead = slices.DeleteFunc(l.dead, func(d ancestor) bool { return d.session == s })
		w.rules.dying -= before - len(l.dead)
	}
	w.rules.ticks.kick()
}
