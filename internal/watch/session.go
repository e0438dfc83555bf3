package watch

import (
	"maps"
	"slices"
	"sort"
	"time"

	"dtc"
)

// session is what is kept for one asker. All of it is guarded by Watcher.mu.
type session struct {
	asker   string
	targets map[int]*target
	rules   map[string]*rule // by name

	// Sightings are numbered as they are queued and given out in the order of
	// their numbers, whichever of the two rows they stand in; but first those
	// that a former run of the agent has numbered.
	kept    []entry // until acknowledged; what stands in it does not change
	given   int     // how many of kept the present call has emitted
	passing []entry // how things stand: emitted once, dropped with the call
	acked   uint64  // all of kept up to this place are recorded
	lost    int     // of kept, dropped since the last acknowledgement

	present *call         // the newest call, even when it has ended
	calls   int           // that run
	left    time.Duration // since boot, when the last call ended
	unsaved unsaved
}

// target is one pid of an asker.
type target struct {
	session *session
	pid     int
	state   targetState
	held    *process // targetHeld
	last    identity // targetEnded: who has ended
	place   uint64   // targetEnded: of the sighting that tells it; 0: it was acknowledged
}

type targetState uint8

const (
	targetNew     targetState = iota // not yet looked at
	targetMissing                    // there was no such process
	targetHeld                       // watched
	targetEnded                      // told dead; a newcomer is not watched
)

// entry is one queued sighting.
type entry struct {
	sighting dtc.Sighting
	place    uint64        // of a kept one: its place in the order of all that are kept
	at       time.Duration // since boot
	since    time.Duration // where nobody saw it: not before this; 0: it was seen
}

// call is one call of Watch.
type call struct {
	session *session
	wake    chan struct{} // of capacity 1
}

func (c *call) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func newSession(asker string) *session {
	return &session{asker: asker, targets: map[int]*target{}, rules: map[string]*rule{}, unsaved: newUnsaved()}
}

// begin opens the asker's session and makes this the call that it speaks to.
func (w *Watcher) begin(asker string) (*call, error) {
	w.mu.Lock()
	if w.quitting {
		w.mu.Unlock()
		return nil, errStopped() // Run waits for the calls of before alone
	}
	s := w.sessions[asker]
	var evicted []*process
	if s == nil {
		if len(w.sessions) >= MaxAskers {
			var ok bool
			if evicted, ok = w.evict(); !ok {
				w.mu.Unlock()
				return nil, unavailable("watch processes: as many others watch already as one agent serves")
			}
		}
		s = newSession(asker)
		w.sessions[asker] = s
	}
	c := &call{session: s, wake: make(chan struct{}, 1)}
	if s.present != nil {
		s.present.signal() // it will see that it is the present one no more
	}
	s.present = c
	s.calls++
	w.calls++
	s.given = 0
	s.passing = nil
	w.noteLeft(s)
	w.mu.Unlock()
	w.release(evicted)
	return c, nil
}

// evict drops the session that has been without a call for longest, and
// returns the processes that nobody watches now. w.mu is held.
func (w *Watcher) evict() ([]*process, bool) {
	var oldest *session
	for _, s := range w.sessions {
		if s.calls == 0 && (oldest == nil || s.left < oldest.left) {
			oldest = s
		}
	}
	if oldest == nil {
		return nil, false
	}
	return w.forget(oldest, "too many watch processes here, and this one has been away longest"), true
}

// forget drops a session, and returns the processes that nobody watches now.
// w.mu is held.
func (w *Watcher) forget(s *session, why string) []*process {
	delete(w.sessions, s.asker)
	w.noteForgotten(s)
	w.log.Warn("forgot whose processes are watched",
		"asker", s.asker, "targets", len(s.targets), "rules", len(s.rules), "unacknowledged", len(s.kept), "reason", why)
	return append(w.disown(s, nil), w.dropRules(s)...)
}

// end notes that a call is over.
func (w *Watcher) end(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := c.session
	s.calls--
	s.left = now()
	w.noteLeft(s)
	if w.calls--; w.calls == 0 && w.quitting {
		close(w.quiet)
	}
}

// identity names a process over boots.
type identity struct {
	boot string
	id   dtc.ProcessID
}

// toldEnds are the ends that are queued, with their places: by the rule of which
// they are, "" for those of single pids.
type toldEnds map[string]map[identity]uint64

// retarget gives the session its new set of targets, and returns whose ends are
// queued now: once the call emits them they may be acknowledged at any time, and
// what the asker knew when it made the call is no more than that.
func (w *Watcher) retarget(c *call, targets []dtc.WatchTarget) (told toldEnds, err error) {
	keep := make(map[int]bool, len(targets))
	for _, t := range targets {
		keep[t.PID] = true
	}
	s := c.session
	w.mu.Lock()
	if s.present != c {
		w.mu.Unlock()
		return nil, errSuperseded()
	}
	dropped := w.disown(s, keep)
	for pid := range keep {
		if s.targets[pid] == nil {
			s.targets[pid] = &target{session: s, pid: pid}
		}
	}
	told = s.told()
	w.mu.Unlock()
	w.release(dropped)
	return told, nil
}

// told returns whose ends are queued.
func (s *session) told() toldEnds {
	told := toldEnds{}
	for i := range s.kept {
		e := &s.kept[i]
		if e.sighting.State != dtc.StateDead && e.sighting.State != dtc.StateRestarted {
			continue
		}
		of := told[e.sighting.Rule]
		if of == nil {
			of = map[identity]uint64{}
			told[e.sighting.Rule] = of
		}
		of[identity{e.sighting.Boot, e.sighting.Process}] = e.place
	}
	return told
}

// disown removes the targets that are not to be kept, and returns the
// processes that nobody watches now. w.mu is held.
func (w *Watcher) disown(s *session, keep map[int]bool) []*process {
	var alone []*process
	for pid, t := range s.targets {
		if keep[pid] {
			continue
		}
		delete(s.targets, pid)
		w.noteTarget(s, pid)
		if t.held != nil && w.leave(t.held, t) {
			alone = append(alone, t.held)
		}
	}
	return alone
}

// next takes the next sighting for a call; nil if there is none.
func (w *Watcher) next(c *call) (*entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := c.session
	if s.present != c {
		return nil, errSuperseded()
	}
	switch kept := s.given < len(s.kept); {
	case kept && (len(s.passing) == 0 || s.kept[s.given].before(&s.passing[0])):
		e := s.kept[s.given]
		s.given++
		return &e, nil
	case len(s.passing) > 0:
		e := s.passing[0]
		if s.passing = s.passing[1:]; len(s.passing) == 0 {
			s.passing = nil
		}
		return &e, nil
	default:
		return nil, nil //nolint:nilnil // nothing is queued, which is no error
	}
}

// before says whether a kept sighting is to be given out before a passing one,
// which is of this run.
func (e *entry) before(passing *entry) bool {
	return e.sighting.Run != passing.sighting.Run || e.sighting.Number < passing.sighting.Number
}

// passSighting numbers a sighting of how things stand and queues it for the
// present call alone. w.mu is held.
func (w *Watcher) passSighting(s *session, sighting dtc.Sighting, at time.Duration) {
	s.passing = append(s.passing, w.numbered(sighting, at))
	s.signal()
}

// keepSighting numbers a sighting that tells a change, which happened at, and
// keeps it until it is acknowledged. It returns its place in the order of all
// that are kept. w.mu is held.
func (w *Watcher) keepSighting(s *session, sighting dtc.Sighting, at time.Duration) (place uint64) {
	return w.keep(s, w.numbered(sighting, at))
}

// keepEnding is keepSighting of the end of a process: the sighting gets all
// that the ending knows, but for its State, its Rule and who came after it.
func (w *Watcher) keepEnding(s *session, sighting dtc.Sighting, end *ending) (place uint64) {
	sighting.Exit, sighting.Lived, sighting.PostMortem = end.exit, end.lived, end.post
	if end.name != "" {
		sighting.Name = end.name
	}
	if end.boot != "" {
		sighting.Boot = end.boot
	}
	if end.reason != "" {
		sighting.Reason = end.reason
	}
	e := w.numbered(sighting, end.at)
	e.since = end.since
	return w.keep(s, e)
}

func (w *Watcher) numbered(sighting dtc.Sighting, at time.Duration) entry {
	w.number++
	sighting.Run, sighting.Number = w.run, w.number
	return entry{sighting: sighting, at: at}
}

// keep queues an entry within the bound.
func (w *Watcher) keep(s *session, e entry) (place uint64) {
	if len(s.kept) >= MaxQueue {
		if s.lost == 0 {
			w.log.Error("nobody acknowledges the ends of processes, dropping the oldest",
				"asker", s.asker, "kept", MaxQueue)
		}
		s.lost++
		w.drop(s, 1)
	}
	w.place++
	e.place = w.place
	s.kept = append(s.kept, e)
	w.noteKept()
	s.signal()
	return e.place
}

// drop drops the first n kept sightings.
func (w *Watcher) drop(s *session, n int) {
	if saved := s.placesUpTo(s.unsaved.kept); min(saved, n) > 0 {
		w.noteDropped(s, &s.kept[min(saved, n)-1])
	}
	s.given = max(0, s.given-n)
	if s.kept = s.kept[n:]; len(s.kept) == 0 {
		s.kept = nil // an old burst's memory goes
	}
}

// placesUpTo returns how many kept sightings have a place up to this one.
func (s *session) placesUpTo(place uint64) int {
	return sort.Search(len(s.kept), func(i int) bool { return s.kept[i].place > place })
}

// signal tells the present call that there is something for it.
func (s *session) signal() {
	if s.present != nil {
		s.present.signal()
	}
}

// acknowledge drops the kept sightings of a run up to a number, and those of
// the runs before it: they were given out before. w.mu is held.
func (w *Watcher) acknowledge(s *session, run string, number uint64) {
	n, met := len(s.kept), false
	for i := range s.kept {
		e := &s.kept[i].sighting
		is := e.Run == run
		if is && e.Number > number || met && !is {
			n, met = i, true
			break
		}
		met = met || is
	}
	if n == 0 || !met && run != w.run {
		return
	}
	s.acked = max(s.acked, s.kept[n-1].place)
	w.drop(s, n)
	s.lost = 0
}

// sortedPIDs returns the pids of targets in order.
func sortedPIDs(targets map[int]*target) []int {
	return slices.Sorted(maps.Keys(targets))
}
