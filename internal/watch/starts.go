package watch

import (
	"context"
	"errors"
	"slices"
	"time"

	"dtc"
	"dtc/internal/proc"
)

const (
	// lookInterval is how often files, units and ports are asked, and how often it
	// is looked who came where the system does not tell.
	lookInterval = time.Second

	// fullInterval is how often every process is looked at anew, for titles that
	// change late: where the system tells of starts, and where it does not.
	fullInterval     = 10 * time.Minute
	fullIntervalPoor = time.Minute

	// subscribeInterval is how often the system is asked anew to tell of starts.
	subscribeInterval = 10 * time.Minute

	// trialsStayGood is how long it counts who a user is and where a link leads.
	trialsStayGood = time.Second
)

// earlyLooks returns how long after one another everyone is looked at when
// something new is wanted: who came just before may not be what he will be.
func earlyLooks() []time.Duration {
	return []time.Duration{time.Second, 5 * time.Second, 30 * time.Second}
}

// starts tells of processes that start, as the system does.
type starts interface {
	// ready says when there is something to take.
	ready() <-chan struct{}

	// take passes on what came since the last call. An error says that more came
	// than is told: nothing more comes until drain has said so. Another one than
	// errStorm is for good.
	take(put func(startEvent)) error

	// drain drops what waits to be taken. Calm: it tells again what comes.
	drain() (calm bool, err error)

	close()
}

// startEvent is one event of the beginning of a process.
type startEvent struct {
	pid    int
	forked bool // it was made; else it executed a program, or changed its user
}

// errStorm says that more processes start than can be looked at one by one.
var errStorm = errors.New("too many processes start")

// search is what run does: it finds who comes to match a wanted selector.
type search struct {
	*finder
	came func(*selector, found)

	sels   []*selector // all that are wanted
	looked []*selector // of these: for which every process is looked at
	placed []*selector // the rest
	trials []trial     // of looked, as of prepared
	made   time.Time   // when trials were

	starts     starts       // nil: the system does not tell
	subscribed time.Time    // when it was last asked to
	storm      bool         // starts tells nothing for now
	census     *proc.Census // nil: nothing is looked for
	recent     recent
	places     *places
	residents  map[*selector]*tenants

	tick, full time.Time // when they are due; zero: not
	early      int       // looks at everyone that come sooner than the next usual one
}

// tenants are the processes at the place of a wanted selector.
type tenants struct {
	residents
	told    map[dtc.ProcessID]struct{}
	waiting bool // for one to stay: see unsettled
}

// run calls came for every process that comes to match a wanted selector, soon
// after it does, until ctx is done. It may do so more than once of one process,
// and of one that was there before, but never concurrently.
func (f *finder) run(ctx context.Context, came func(*selector, found)) error {
	s := &search{finder: f, came: came, recent: newRecent(), residents: map[*selector]*tenants{}}
	defer s.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var ready <-chan struct{}
		if s.starts != nil && !s.storm {
			ready = s.starts.ready()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
			s.rewant(ctx)
		case <-ready:
			s.takeStarts()
		case <-timer.C:
		}
		s.round(ctx, time.Now())
		if due := s.next(); due.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(due))
		}
	}
}

func (s *search) close() {
	s.unsubscribe()
	if s.census != nil {
		_ = s.census.Close()
		s.census = nil
	}
	if s.places != nil {
		s.places.close()
		s.places = nil
	}
}

// next is when something is due, zero if nothing is.
func (s *search) next() time.Time {
	due := s.recent.next()
	for _, t := range []time.Time{s.tick, s.full} {
		if due.IsZero() || !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	return due
}

// rewant takes on what is wanted now.
func (s *search) rewant(ctx context.Context) {
	s.mu.Lock()
	wanted := s.wanted
	s.mu.Unlock()
	var fresh []*selector
	for _, sel := range wanted {
		if !slices.Contains(s.sels, sel) {
			fresh = append(fresh, sel)
		}
	}
	s.sels, s.looked, s.placed = wanted, nil, nil
	for _, sel := range wanted {
		if sel.kind.placed() {
			s.placed = append(s.placed, sel)
		} else {
			s.looked = append(s.looked, sel)
		}
	}
	s.made = time.Time{}
	s.settlePlaces()
	if len(s.looked) == 0 {
		s.stopLooking()
		return
	}
	if s.census == nil {
		s.startLooking()
		fresh = s.looked
	}
	fresh = slices.DeleteFunc(fresh, func(sel *selector) bool { return sel.kind.placed() })
	if len(fresh) > 0 {
		s.early = len(earlyLooks())
		s.lookAtEveryone(ctx, fresh)
	}
}

// settlePlaces begins, or ends, to ask files, units and ports.
func (s *search) settlePlaces() {
	for sel := range s.residents {
		if !slices.Contains(s.placed, sel) {
			delete(s.residents, sel)
		}
	}
	switch {
	case len(s.placed) == 0 && s.places != nil:
		s.places.close()
		s.places = nil
	case len(s.placed) > 0:
		if s.places == nil {
			s.places = newPlaces(s.finder)
		}
		s.tick = time.Now() // for the new ones
	}
}

// stopLooking ends all looks at newcomers.
func (s *search) stopLooking() {
	s.unsubscribe()
	if s.census != nil {
		_ = s.census.Close()
		s.census = nil
	}
	s.recent = newRecent()
	s.full = time.Time{}
}

// startLooking begins to find out who comes, before everyone is looked at.
func (s *search) startLooking() {
	if s.starts == nil {
		s.trySubscribe()
	}
	census, err := newCensus()
	if err == nil {
		_, err = census.Fresh(nil) // everyone is looked at anyway
	}
	if err != nil {
		s.log.Warn("cannot list the processes", "err", err)
		return // it is tried again with the next look at everyone
	}
	s.census = census
}

// trySubscribe has the system tell of starts, if it does.
func (s *search) trySubscribe() {
	first := s.subscribed.IsZero()
	s.subscribed = time.Now()
	var err error
	if s.starts, err = s.subscribe(); err != nil {
		s.starts = nil
		if first {
			s.log.Info("the system does not tell of processes that start, looking once a second", "err", err)
		}
	}
	s.storm = false
}

func (s *search) unsubscribe() {
	if s.starts != nil {
		s.starts.close()
		s.starts = nil
	}
}

// takeStarts takes what the system tells.
func (s *search) takeStarts() {
	now := time.Now()
	err := s.starts.take(func(e startEvent) {
		if e.forked {
			s.recent.addForked(e.pid, now)
		} else {
			s.recent.add(e.pid, now)
		}
	})
	switch {
	case err == nil:
	case errors.Is(err, errStorm):
		s.storm = true
		s.tick = sooner(s.tick, now.Add(lookInterval))
	default:
		s.log.Warn("the system tells no more of processes that start, looking once a second", "err", err)
		s.unsubscribe()
	}
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// keptStarts are starts that only few threads may subscribe to and give up: to
// what the kernel tells only who has a capability.
type keptStarts struct {
	starts

	do func(func())
}

func (k *keptStarts) close() { k.do(k.starts.close) }
