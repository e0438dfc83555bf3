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
	// their numbers, whichever of the two rows they stand in.
	deaths  []entry // kept until acknowledged
	given   int     // how many of deaths the present call has emitted
	passing []entry // alive and missing: emitted once, dropped with the call
	acked   uint64  // all deaths up to this number are recorded
	lost    int     // deaths dropped since the last acknowledgement

	present *call // the newest call, even when it has ended
	calls   int   // that run
	left    time.Duration
}

// target is one pid of an asker.
type target struct {
	session *session
	state   targetState
	held    *process // targetHeld
	last    identity // targetEnded: who has ended
	number  uint64   // targetEnded: of the sighting that tells it
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
	at       time.Duration // since boot
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

// begin opens the asker's session and makes this the call that it speaks to.
func (w *Watcher) begin(asker string) (*call, error) {
	w.mu.Lock()
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
		s = &session{asker: asker, targets: map[int]*target{}, rules: map[string]*rule{}}
		w.sessions[asker] = s
	}
	c := &call{session: s, wake: make(chan struct{}, 1)}
	if s.present != nil {
		s.present.signal() // it will see that it is the present one no more
	}
	s.present = c
	s.calls++
	s.given = 0
	s.passing = nil
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
	delete(w.sessions, oldest.asker)
	w.log.Warn("too many watch processes here, dropped who was away longest",
		"asker", oldest.asker, "targets", len(oldest.targets), "unacknowledged", len(oldest.deaths))
	return w.disown(oldest, nil), true
}

// end notes that a call is over.
func (w *Watcher) end(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.session.calls--
	c.session.left = now()
}

// identity names a process over boots.
type identity struct {
	boot string
	id   dtc.ProcessID
}

// retarget gives the session its new set of targets, and returns whose deaths
// are queued, with their numbers.
func (w *Watcher) retarget(c *call, targets []dtc.WatchTarget) (told map[identity]uint64, err error) {
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
			s.targets[pid] = &target{session: s}
		}
	}
	told = make(map[identity]uint64, len(s.deaths))
	for _, e := range s.deaths {
		told[identity{e.sighting.Boot, e.sighting.Process}] = e.sighting.Number
	}
	w.mu.Unlock()
	w.release(dropped)
	return told, nil
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
	death, passing := s.given < len(s.deaths), len(s.passing) > 0
	if death && passing {
		death = s.deaths[s.given].sighting.Number < s.passing[0].sighting.Number
	}
	switch {
	case death:
		e := s.deaths[s.given]
		s.given++
		return &e, nil
	case passing:
		e := s.passing[0]
		if s.passing = s.passing[1:]; len(s.passing) == 0 {
			s.passing = nil
		}
		return &e, nil
	default:
		return nil, nil //nolint:nilnil // nothing is queued, which is no error
	}
}

// queue numbers a sighting and queues it. w.mu is held.
func (w *Watcher) queue(s *session, sighting dtc.Sighting, at time.Duration) {
	w.number++
	sighting.Run, sighting.Number = w.run, w.number
	e := entry{sighting: sighting, at: at}
	if sighting.State != dtc.StateDead {
		s.passing = append(s.passing, e)
	} else {
		w.keep(s, e)
	}
	if s.present != nil {
		s.present.signal()
	}
}

// keep queues a death within the bound.
func (w *Watcher) keep(s *session, e entry) {
	if len(s.deaths) >= MaxQueue {
		if s.lost == 0 {
			w.log.Error("nobody acknowledges the ends of processes, dropping the oldest",
				"asker", s.asker, "kept", MaxQueue)
		}
		s.lost++
		s.deaths = s.deaths[1:]
		s.given = max(0, s.given-1)
	}
	s.deaths = append(s.deaths, e)
}

// acknowledge drops the deaths up to a number.
func (s *session) acknowledge(number uint64) {
	s.acked = max(s.acked, number)
	n := sort.Search(len(s.deaths), func(i int) bool { return s.deaths[i].sighting.Number > number })
	s.given = max(0, s.given-n)
	if s.deaths = slices.Delete(s.deaths, 0, n); len(s.deaths) == 0 {
		s.deaths = nil // an old burst's memory goes
	}
	if n > 0 {
		s.lost = 0
	}
}

// sortedPIDs returns the pids of targets in order.
func sortedPIDs(targets map[int]*target) []int {
	return slices.Sorted(maps.Keys(targets))
}
