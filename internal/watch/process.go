package watch

import (
	"errors"
	"io/fs"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// process is one watched process, for all sessions that watch it.
type process struct {
	id     dtc.ProcessID
	began  time.Duration // since boot
	looked time.Duration // since boot: it was there then
	handle handle        // the waiter's own

	name   string             // guarded by Watcher.mu
	owners map[owner]struct{} // who is to be told; guarded by Watcher.mu
	vitals vitals             // what it was last seen to use; guarded by Watcher.mu
	ended  bool               // guarded by Watcher.mu
	since  time.Duration      // 0, or it has ended before it was waited for, and not before this; guarded by Watcher.mu
	polled bool               // the poller has it, not the waiter; guarded by Watcher.attaching
	final  *proc.Usage        // what it had used at its end, nil if not known; set before ended is called
	kills  *killCounter       // guarded by oomWatch.mu
}

// owner is who is told that a process which it holds has ended.
type owner interface {
	// ended is called once of a process, with Watcher.mu held.
	ended(w *Watcher, p *process, end *ending)
}

// ending is how a process ended. Times are since boot.
type ending struct {
	exit  dtc.Exit
	name  string // as known last
	at    time.Duration
	since time.Duration // where nobody saw the end: it lived then. 0: it was seen
	lived time.Duration

	post   *dtc.PostMortem
	boot   string // where nobody saw the end: of the process, else ""
	reason string // in words, "" where there is nothing to add
}

// start begins, or goes on with, one target of a call of Watch.
func (w *Watcher) start(c *call, wt dtc.WatchTarget, told map[identity]uint64) error {
	w.mu.Lock()
	s, t := c.session, c.session.targets[wt.PID]
	if s.present != c || t == nil {
		w.mu.Unlock()
		return errSuperseded()
	}
	before := *t
	w.mu.Unlock()

	if wt.Known != (dtc.ProcessID{}) {
		wt.Known.PID = wt.PID
		w.resume(s, t, identity{wt.KnownBoot, wt.Known}, told)
		return nil
	}
	switch {
	case before.state == targetEnded && before.place > w.acknowledged(s):
		return nil // the death is on its way; the newcomer is not watched
	case before.state == targetHeld && w.reportAlive(s, t, before.held):
		return nil
	case before.state == targetHeld:
		return nil // it has ended this moment
	}
	seen, found, _ := w.attach(s, t, wt.PID, func(seen proc.Seen) bool {
		told := before.state == targetEnded && before.last == identity{w.boot, seen.ID}
		return !told && listed(seen)
	})
	switch {
	case !found:
		w.miss(s, t, wt.PID)
	case !seen.Zombie:
		w.report(s, t, w.sighting(dtc.StateAlive, seen.ID, seen.Name))
	}
	return nil
}

// resume goes on with a target of which the asker knows a process.
func (w *Watcher) resume(s *session, t *target, known identity, told map[identity]uint64) {
	w.mu.Lock()
	before := *t
	w.mu.Unlock()
	switch {
	case before.state == targetEnded && before.last == known:
		return
	case told[known] != 0:
		w.settle(s, t, known, told[known])
		return
	case before.state == targetHeld && known == identity{w.boot, before.held.id}:
		w.reportAlive(s, t, before.held)
		return
	}
	w.vacate(s, t)
	var seen proc.Seen
	var found bool
	var err error
	if known.boot == w.boot {
		seen, found, err = w.attach(s, t, known.id.PID, func(seen proc.Seen) bool { return seen.ID == known.id })
	}
	switch {
	case err != nil:
		w.assume(s, t, known.id)
	case !found:
		w.settle(s, t, known, 0)
	case !seen.Zombie:
		w.report(s, t, w.sighting(dtc.StateAlive, seen.ID, seen.Name))
	}
}

// vacate takes a target off the process that it holds.
func (w *Watcher) vacate(s *session, t *target) {
	w.mu.Lock()
	held := t.held
	alone := held != nil && w.leave(held, t)
	t.state, t.held = targetNew, nil
	w.noteTarget(s, t.pid)
	w.mu.Unlock()
	if alone {
		w.release([]*process{held})
	}
}

// settle makes a target one that has ended as who. The sighting at this place
// tells it; if it is 0, that is queued now.
func (w *Watcher) settle(s *session, t *target, who identity, place uint64) {
	w.vacate(s, t)
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.targets[who.id.PID] != t {
		return // a newer call has changed the targets
	}
	if place == 0 {
		end := w.knownEnding(who.id, who.boot)
		place = w.keepEnding(s, w.sighting(dtc.StateDead, who.id, ""), &end)
	}
	t.endedAs(w, who, place)
}

// endedAs notes who has ended as this target, and which sighting tells it.
// Watcher.mu is held.
func (t *target) endedAs(w *Watcher, who identity, place uint64) {
	t.state, t.held, t.last, t.place = targetEnded, nil, who, place
	w.noteTarget(t.session, t.pid)
}

// check is one target's part of Check.
func (w *Watcher) check(s *session, pid int) (dtc.Sighting, bool) {
	w.mu.Lock()
	t := s.targets[pid]
	if t == nil {
		w.mu.Unlock()
		return dtc.Sighting{}, false
	}
	before := *t
	w.mu.Unlock()
	switch before.state {
	case targetHeld:
		return w.lookAt(before.held)
	case targetMissing:
		seen, found, _ := w.attach(s, t, pid, listed)
		if found {
			return w.sighting(dtc.StateAlive, seen.ID, seen.Name), !seen.Zombie
		}
		return w.sighting(dtc.StateMissing, dtc.ProcessID{PID: pid}, ""), true
	default:
		return dtc.Sighting{}, false
	}
}

// reportAlive queues an alive sighting of a held process, if it is.
func (w *Watcher) reportAlive(s *session, t *target, p *process) bool {
	sighting, ok := w.lookAt(p)
	if ok {
		w.report(s, t, sighting)
	}
	return ok
}

// lookAt looks at a held process now; not ok means that it has ended.
func (w *Watcher) lookAt(p *process) (dtc.Sighting, bool) {
	seen, err := proc.Look(p.id.PID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		seen = proc.Seen{ID: p.id} // the system will not say: it is there as far as anyone knows
	} else if err != nil || seen.ID != p.id || seen.Zombie {
		return dtc.Sighting{}, false // the waiter or the poller is about to tell
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.ended {
		return dtc.Sighting{}, false
	}
	if seen.Name != "" {
		p.name = seen.Name // an exec changes it
	}
	return w.sighting(dtc.StateAlive, p.id, p.name), true
}

func (w *Watcher) sighting(state dtc.State, id dtc.ProcessID, name string) dtc.Sighting {
	return dtc.Sighting{Run: w.run, State: state, Process: id, Boot: w.boot, Name: name}
}

// miss notes and queues that a target is missing.
func (w *Watcher) miss(s *session, t *target, pid int) {
	w.mu.Lock()
	if t.state != targetHeld {
		t.state = targetMissing
	}
	w.mu.Unlock()
	w.report(s, t, w.sighting(dtc.StateMissing, dtc.ProcessID{PID: pid}, ""))
}

// report queues a sighting of a target, if it is still one of the session's.
func (w *Watcher) report(s *session, t *target, sighting dtc.Sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.targets[sighting.Process.PID] == t && t.state != targetEnded {
		w.passSighting(s, sighting, now())
	}
}

func (w *Watcher) acknowledged(s *session) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return s.acked
}

// attach gets hold of the process that now has the pid, if wanted says yes to
// it, and makes it the target's. found is false if there is none, or not that
// one. A zombie is attached too; its end is told at once. An error means that
// the system does not say what there is: to who knows no process, none.
func (w *Watcher) attach(s *session, t *target, pid int, wanted func(proc.Seen) bool) (seen proc.Seen, found bool, err error) {
	w.attaching.Lock()
	defer w.attaching.Unlock()
	seen, err = proc.Look(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return seen, false, nil
	case err != nil:
		w.log.Warn("cannot look at a process", "pid", pid, "err", err)
		return seen, false, err
	case !wanted(seen):
		return seen, false, nil
	}
	if p := w.own(s, t, seen); p != nil {
		w.arm(p)
		w.firstLook(p, seen)
	}
	return seen, true, nil
}

// assume makes a target hold a process that the asker saw alive and that the
// system does not show now, out of descriptors perhaps: it lives as far as
// anyone knows, and is looked at until that is known better.
func (w *Watcher) assume(s *session, t *target, id dtc.ProcessID) {
	w.attaching.Lock()
	p := w.own(s, t, proc.Seen{ID: id, Lived: sinceStart(id)})
	if p != nil {
		w.lookAfter(p, errNotShown)
	}
	w.attaching.Unlock()
	w.report(s, t, w.sighting(dtc.StateAlive, id, ""))
}

// own makes the process the target's, and returns it if nobody held it before.
func (w *Watcher) own(s *session, t *target, seen proc.Seen) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.targets[seen.ID.PID] != t || t.state == targetHeld {
		return nil // a newer call has changed the targets
	}
	p, isNew := w.hold(t, seen)
	t.state, t.held = targetHeld, p
	w.noteTarget(s, t.pid)
	if !isNew {
		return nil
	}
	return p
}

// hold makes o one of the owners of a process. One that is new is to be armed.
// w.mu and w.attaching are held.
func (w *Watcher) hold(o owner, seen proc.Seen) (p *process, isNew bool) {
	p = w.held[seen.ID]
	if isNew = p == nil; isNew {
		p = newProcess(seen)
		w.held[p.id] = p
		if len(w.held) == 1 {
			w.heldSince = now()
			signal(w.watching)
		}
	}
	p.owners[o] = struct{}{}
	return p, isNew
}

func newProcess(seen proc.Seen) *process {
	at := now()
	p := &process{id: seen.ID, name: seen.Name, looked: at, owners: map[owner]struct{}{}}
	if seen.ID.Start != 0 {
		p.looked -= max(0, sinceStart(seen.ID)-seen.Lived) // the look may be of a while ago
	}
	p.began = p.looked - seen.Lived
	if seen.Zombie {
		p.since = notZero(p.began)
	}
	return p
}

// holdFor makes o one of the owners of a process that was seen a moment ago,
// and has its end told to o from now on. If it has ended since, o is told before
// holdFor returns. Neither w.mu nor w.attaching is held.
func (w *Watcher) holdFor(o owner, seen proc.Seen) *process {
	w.attaching.Lock()
	defer w.attaching.Unlock()
	w.mu.Lock()
	p, isNew := w.hold(o, seen)
	w.mu.Unlock()
	if isNew {
		w.arm(p)
		w.firstLook(p, seen)
	}
	return p
}

// arm has the end of a process told. w.attaching is held.
func (w *Watcher) arm(p *process) {
	err := errNoWaiter
	if w.waiter != nil {
		err = w.waiter.add(p)
	}
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		w.gone(p)
	default:
		w.lookAfter(p, err)
	}
}

// lookAfter has p looked at once a second, because of err. w.attaching is held.
func (w *Watcher) lookAfter(p *process, err error) {
	p.polled = true
	if w.poll.add(p) {
		w.log.Warn("the system does not tell of every process when it ends, looking at the rest once a second",
			"pid", p.id.PID, "err", err)
	}
}

var (
	errNoWaiter = errors.New("no such service in this system")
	errNotShown = errors.New("the process cannot be looked at now")
)

// sameStill looks whether the process is there still, after something has been
// opened by its pid. The error is [fs.ErrNotExist] if it is not; another one
// means that the system does not say, which is no end of it.
func sameStill(id dtc.ProcessID) (proc.Seen, error) {
	seen, err := proc.Look(id.PID)
	if err == nil && seen.ID != id {
		err = fs.ErrNotExist
	}
	return seen, err
}

// gone looks once more at a process that has ended since it was looked at, before
// it was waited for, and tells it.
func (w *Watcher) gone(p *process) {
	exit, name := dtc.Exit{}, ""
	if seen, err := proc.Look(p.id.PID); err == nil && seen.ID == p.id {
		exit, name = seen.Exit, seen.Name
		p.last(seen.Usage)
	}
	w.mu.Lock()
	if p.since == 0 {
		p.since = notZero(p.looked)
	}
	w.mu.Unlock()
	w.ended(p, exit, name)
}

// ended tells everyone who watches p that it has ended, now and once. The name
// is "" if it is not known better than before.
func (w *Watcher) ended(p *process, exit dtc.Exit, name string) {
	at := now()
	exit.OOM = w.oom.killed(p, exit, at)
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	delete(w.held, p.id)
	if name == "" {
		name = p.name
	}
	since := p.since
	if from := w.stood.before(at); since == 0 && from != 0 {
		since = max(from, p.looked)
	}
	end := ending{exit: exit, name: name, at: at, since: since, lived: max(0, at-p.began), post: postMortem(p, at)}
	for o := range p.owners {
		o.ended(w, p, &end)
	}
	p.owners = nil
}

// ended implements [owner].
func (t *target) ended(w *Watcher, p *process, end *ending) {
	place := w.keepEnding(t.session, w.sighting(dtc.StateDead, p.id, end.name), end)
	t.endedAs(w, identity{w.boot, p.id}, place)
	w.awaitHeir(t.session, p, end)
}

// leave takes an owner off a process, and says whether nobody watches it any
// more: it is to be released then. w.mu is held.
func (w *Watcher) leave(p *process, o owner) bool {
	delete(p.owners, o)
	if p.ended || len(p.owners) > 0 {
		return false
	}
	p.ended = true // for us: nobody is to be told
	delete(w.held, p.id)
	return true
}

// release stops waiting for processes that nobody watches.
func (w *Watcher) release(ps []*process) {
	w.attaching.Lock()
	defer w.attaching.Unlock()
	for _, p := range ps {
		if p.polled {
			w.poll.remove(p)
		} else if w.waiter != nil {
			w.waiter.remove(p)
		}
	}
}

// releaseAll ends all waiting when Run is over.
func (w *Watcher) releaseAll() {
	w.oom.rest()
	w.attaching.Lock()
	defer w.attaching.Unlock()
	if w.waiter != nil {
		w.waiter.close()
	}
}

// chosen returns the asker's session and the pids of its targets, if pids are
// not too many.
func (w *Watcher) chosen(asker string, pids []int) (*session, []int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[asker]
	if s == nil {
		return nil, nil, invalid("check processes: this asker watches none here")
	}
	if len(pids) > MaxTargets {
		return nil, nil, invalid("check %d processes: an asker may have %d at most", len(pids), MaxTargets)
	}
	return s, sortedPIDs(s.targets), nil
}
