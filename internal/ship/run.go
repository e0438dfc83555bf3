package ship

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dtc/internal/follow"
)

const (
	sweepActive  = 250 * time.Millisecond // looks at what changed lately
	sweepIdle    = 5 * time.Second        // and at everything else
	activeFor    = time.Second            // that a change makes a stream active
	pollFast     = 10 * time.Millisecond  // looks at a file that changed just now and whose changes the system does not tell of
	pollSlower   = 20                     // times the time since then are the looks that follow apart
	pathsSoonest = time.Second            // looks at the path of such a file, whatever the configuration says
	pathsLatest  = 5 * time.Second

	recheckFiles = time.Minute // looks at what patterns match though nothing changed
)

// Run watches the files, and holds those that were rotated until their bytes
// are safe, until ctx is done.
func (s *Shipper) Run(ctx context.Context) error {
	w, err := s.watch()
	if err != nil {
		s.log.Warn("changes of files are not told by the system, and are looked for instead", "error", err)
		w = nil
	}
	s.mu.Lock()
	s.watcher = w
	if w == nil {
		s.unheard = whyUnwatched(err)
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	if w != nil {
		wg.Go(func() { s.listen(w) })
	}
	for range finders {
		wg.Go(func() { s.finder.run(ctx) })
	}
	l := &loop{s: s, prover: s.host.NewProver(), later: map[*stream]time.Time{}}
	l.run(ctx)
	if w != nil {
		_ = w.Close()
	}
	wg.Wait()
	s.shut()
	s.finder.unpacker.Close()
	return nil
}

// shut lets every file go.
func (s *Shipper) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher = nil
	for _, st := range s.streams {
		s.drop(st)
	}
}

// loop is Run's: rounds of looking, and waiting between them.
type loop struct {
	s      *Shipper
	prover *follow.Reader

	scanned time.Time             // when all paths were looked at
	swept   time.Time             // when all files were
	glanced time.Time             // when the active ones were
	polls   bool                  // some files' changes are not told
	later   map[*stream]time.Time // when paths are to be looked at again
	folders map[string]follow.Stamp
}

func (l *loop) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; first = false {
		l.s.rounds.Lock()
		next := l.round(time.Now())
		l.s.rounds.Unlock()
		if first {
			close(l.s.looked)
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case <-l.s.changed:
		case <-timer.C:
		}
	}
}

// round looks at what is due, and returns when the next is.
func (l *loop) round(now time.Time) time.Time {
	s := l.s
	rescan, dirty := s.takeDirty()
	if rescan || now.Sub(l.scanned) >= s.scanEvery() {
		recheck := recheckFiles
		if rescan {
			recheck = 0
		}
		l.scan(now, recheck)
	}
	for _, st := range dirty {
		l.sync(st)
	}
	again := l.lookAgain(now)
	if now.Sub(l.swept) >= sweepIdle {
		l.swept, l.glanced = now, now
		for _, st := range s.all() {
			l.look(st)
		}
	}
	if s.idle() {
		return now.Add(time.Hour) // a change of the configuration wakes us
	}
	next := l.scanned.Add(s.scanEvery())
	next = sooner(sooner(next, again), l.swept.Add(sweepIdle))
	return sooner(next, l.lookActive(now))
}

// idle says whether there is nothing to look at, and none is to come.
func (s *Shipper) idle() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.rules) == 0 && len(s.streams) == 0
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// lookAgain looks at the paths that are to be looked at again by now, and
// returns when the next is.
func (l *loop) lookAgain(now time.Time) time.Time {
	next := now.Add(time.Hour)
	for st, due := range l.later {
		if now.Before(due) {
			next = sooner(next, due)
			continue
		}
		delete(l.later, st)
		l.sync(st)
		if due, ok := l.later[st]; ok {
			next = sooner(next, due)
		}
	}
	return next
}

// lookActive looks at the streams that changed lately, and returns when to do
// so again.
func (l *loop) lookActive(now time.Time) time.Time {
	active := l.s.activeStreams(now)
	if !now.Before(l.glanced.Add(sweepActive)) {
		l.glanced = now
		all := active
		if l.polls {
			all = append(l.s.polledStreams(), active...)
		}
		for _, st := range all {
			if st.glanced != now {
				l.glance(st, now)
			}
		}
	}
	next := now.Add(sweepIdle)
	if l.polls || len(active) > 0 {
		next = l.glanced.Add(sweepActive)
	}
	for _, st := range active {
		if !st.polled.Load() {
			continue
		}
		due := st.glanced.Add(st.pollEvery(now))
		if !now.Before(due) {
			l.glance(st, now)
			due = now.Add(st.pollEvery(now))
		}
		next = sooner(next, due)
	}
	return next
}

// pollEvery returns how often a file is looked at whose changes nobody tells of:
// the more seldom the longer nothing has changed.
func (st *stream) pollEvery(now time.Time) time.Duration {
	since := now.Sub(time.Unix(0, st.touched.Load()))
	return min(max(since/pollSlower, pollFast), sweepActive)
}

// glance looks at the file of a stream, and at its path if nobody tells of a
// rotation either. On a file server that is done more seldom: its client
// remembers names for seconds.
func (l *loop) glance(st *stream, now time.Time) {
	st.glanced = now
	if st.polled.Load() && (!st.odd() || now.Sub(st.lookedUp) >= min(max(l.s.scanEvery(), pathsSoonest), pathsLatest)) {
		st.lookedUp = now
		l.sync(st)
	}
	l.look(st)
}

// scan applies the patterns, looks at every path in a folder that changed, and
// renews the watches.
func (l *loop) scan(now time.Time, recheck time.Duration) {
	s := l.s
	s.findFiles(recheck)
	s.watchFolders() // before the paths are looked at, so that nothing comes between
	folders := map[string]follow.Stamp{}
	for _, st := range s.all() {
		dir := filepath.Dir(st.path)
		stamp, ok := folders[dir]
		if !ok {
			stamp, _ = follow.StampOf(dir) // a zero stamp is no folder
			folders[dir] = stamp
		}
		if old, ok := l.folders[dir]; !ok || old != stamp || !stamp.Settled(now) || st.odd() {
			l.sync(st)
		}
	}
	l.folders = folders
	l.polls = len(s.polledStreams()) > 0
	l.scanned = now
}

// sync looks at the path of a stream.
func (l *loop) sync(st *stream) {
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return
	}
	changed, err := st.chain.Sync()
	st.takeArrivals(time.Now())
	news := false
	if err == nil && st.chain.Settled() {
		st.missing = 0
		var wait time.Duration
		if news, wait = l.s.countPassed(st, time.Now()); wait > 0 {
			l.later[st] = time.Now().Add(wait)
		}
	} else if err == nil { // it changed all the time
		l.later[st] = time.Now().Add(min(matchAgain<<min(st.missing, 10), pathsLatest))
		st.missing++
	}
	if st.session == nil || !st.granted {
		l.prove(st)
	}
	if st.named.Load() {
		changed = l.revisit(st) || changed
	}
	if changed {
		l.s.log.Debug("the files of a stream changed", "alias", st.alias, "files", st.describe())
	}
	st.mu.Unlock()
	if err != nil {
		l.s.rejectError(st.path, err)
	}
	news = l.s.watchFiles(st) || news
	if changed || news {
		l.s.touch(st)
	}
	l.s.limitRotated()
}

// look sees whether a file of the stream changed though nothing was heard.
func (l *loop) look(st *stream) {
	st.mu.Lock()
	var touched bool
	if st.session != nil && st.granted {
		touched = l.differs(st)
	} else {
		touched = l.prove(st)
	}
	st.mu.Unlock()
	if touched {
		l.s.touch(st)
	}
}

// differs reports whether a file has another size than what was read of it, or
// changed in another way; the caller holds st.mu.
func (l *loop) differs(st *stream) bool {
	for _, g := range st.chain.Generations {
		if g.File != nil && !g.Copy && g.Changed() && !l.rests(st, g) {
			return true
		}
	}
	return false
}

// rests proves that nothing is to be done for a file that changed: most often
// all of it was read, and nobody has looked at it since. Whatever else it may be
// is left to the connection.
func (l *loop) rests(st *stream, g *follow.Generation) bool {
	if len(st.chain.Generations) > 1 || g != st.chain.Current() || g.Doubtful() || g.File.Remote() {
		return false
	}
	_, err := l.prover.Look(g)
	return err == nil && g.Left() == 0 && len(g.Losses) == 0
}

// prove keeps track of what happens to files of which nothing can be sent at
// the moment: how long they were, and whether they were truncated.
func (l *loop) prove(st *stream) bool {
	changed := false
	for i := 0; i < len(st.chain.Generations); i++ {
		g := st.chain.Generations[i]
		if g.File == nil || g.Copy || g.Doubtful() {
			continue
		}
		seen := g.Seen
		stat, err := l.prover.Look(g)
		if errors.Is(err, follow.ErrCut) && (stat.Size == 0 || stat.Size >= g.Position()) {
			st.chain.Cut(l.prover, g)
			changed = true
		}
		changed = changed || g.Seen != seen
	}
	return changed
}

// listen takes the system's events until the watcher is closed.
func (s *Shipper) listen(w *follow.Watcher) {
	var events []follow.Event
	for {
		var err error
		events, err = w.Next(events[:0])
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				s.log.Warn("changes of files are told no longer, and are looked for instead", "error", err)
				s.loseWatcher()
			}
			return
		}
		s.heed(events)
		if x := s.session.Load(); x != nil {
			x.attend()
		}
	}
}

// heed notes what events concern, and leaves it to its caller to let the
// connection look.
func (s *Shipper) heed(events []follow.Event) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range events {
		switch e := &events[i]; {
		case e.Token != 0:
			if st := s.tokens[e.Token]; st != nil {
				s.note(st)
			}
		case e.Kind == follow.Lost:
			s.forgetPassages()
			s.soilAll()
		default:
			s.heedName(e)
		}
	}
}

// heedName finds the streams that a change of a name concerns.
func (s *Shipper) heedName(e *follow.Event) {
	names := s.places[e.Folder]
	sp := names[e.Name]
	if sp == nil {
		sp = names[""] // of links that lie in the folder, whatever their names
	}
	if sp != nil {
		for _, st := range sp.streams {
			if e.Kind == follow.Wrote {
				s.note(st)
			} else {
				s.heedPath(st, e)
				s.soil(st)
			}
		}
		if names[e.Name] != nil {
			return
		}
	}
	related := false
	for _, rot := range follow.Rotations(e.Name) {
		if sp := names[rot.Base]; sp != nil {
			related = true
			for _, st := range sp.streams {
				if e.Kind != follow.Wrote || st.named.Load() {
					s.soil(st)
				}
			}
		}
	}
	if !related && e.Kind != follow.Wrote {
		s.soilPatterns()
	}
}
