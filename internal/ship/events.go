package ship

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"dtc/internal/follow"
)

// touch notes that something of st may have changed, and lets the connection
// look. It may be called by anyone who holds no lock of a stream.
func (s *Shipper) touch(st *stream) {
	if x := s.note(st); x != nil {
		x.wake()
	}
}

// note is touch for who lets the connection look when all is noted. It returns
// the connection if st was not queued up there before.
func (s *Shipper) note(st *stream) *session {
	now := time.Now().UnixNano()
	if old := st.touched.Swap(now); now-old > int64(time.Second) {
		s.dmu.Lock()
		if _, ok := s.active[st]; !ok {
			s.active[st] = struct{}{}
			if len(s.active) == 1 || st.polled.Load() { // else Run looks soon anyway
				s.signal()
			}
		}
		s.dmu.Unlock()
	}
	x := s.session.Load()
	if x == nil {
		s.soil(st) // to keep track of what happens to it
		return nil
	}
	if !x.queueUp(st) {
		return nil
	}
	return x
}

// soil notes that the path of st is to be looked at.
func (s *Shipper) soil(st *stream) {
	s.dmu.Lock()
	s.dirty[st] = struct{}{}
	s.dmu.Unlock()
	s.signal()
}

// soilPatterns notes that there may be new files.
func (s *Shipper) soilPatterns() {
	s.dmu.Lock()
	s.rescan = true
	s.dmu.Unlock()
	s.signal()
}

// soilAll notes that anything may have happened; the caller holds s.mu.
func (s *Shipper) soilAll() {
	s.dmu.Lock()
	s.rescan = true
	for _, st := range s.streams {
		s.dirty[st] = struct{}{}
		s.active[st] = struct{}{}
	}
	s.dmu.Unlock()
	s.signal()
}

// takeDirty returns what is to be looked at, and forgets it.
func (s *Shipper) takeDirty() (rescan bool, dirty []*stream) {
	s.dmu.Lock()
	defer s.dmu.Unlock()
	rescan = s.rescan
	s.rescan = false
	for st := range s.dirty {
		dirty = append(dirty, st)
	}
	clear(s.dirty)
	return rescan, dirty
}

// activeStreams returns the streams that changed lately.
func (s *Shipper) activeStreams(now time.Time) []*stream {
	s.dmu.Lock()
	defer s.dmu.Unlock()
	var all []*stream
	for st := range s.active {
		if now.Sub(time.Unix(0, st.touched.Load())) > activeFor {
			delete(s.active, st)
			continue
		}
		all = append(all, st)
	}
	return all
}

// all returns every stream.
func (s *Shipper) all() []*stream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		all = append(all, st)
	}
	return all
}

func (s *Shipper) scanEvery() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.scan
}

// loseWatcher goes on without the system's events.
func (s *Shipper) loseWatcher() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher, s.unheard = nil, "the system tells no more"
	clear(s.watched)
	s.soilAll() // that nothing is told of them any more is noted with the path
}

// watchFolders watches every folder in which a followed file is or may come to
// be. It looks for patterns' files again if a folder was not watched before:
// something may have come meanwhile.
func (s *Shipper) watchFolders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watcher == nil {
		return
	}
	wanted := map[string]bool{}
	for dir := range s.places {
		wanted[existing(dir)] = true
	}
	for _, r := range s.rules {
		if r.glob != nil {
			for _, dir := range r.glob.Folders() {
				wanted[existing(dir)] = true
			}
		}
	}
	for dir := range s.watched {
		if !wanted[dir] {
			s.watcher.Forget(dir)
			delete(s.watched, dir)
			delete(s.unwatched, dir)
		}
	}
	fresh := false
	for dir := range wanted {
		was, known := s.watched[dir]
		err := s.watcher.Watch(dir)
		if err != nil && (was || !known) {
			s.log.Warn("changes in a folder are not told by the system, and are looked for instead", "folder", dir, "error", err)
		}
		s.watched[dir] = err == nil
		delete(s.unwatched, dir)
		if err != nil {
			s.unwatched[dir] = whyUnwatched(err)
		}
		fresh = fresh || !known && err == nil
	}
	if fresh {
		s.soilAll()
	}
}

// existing returns dir, or the nearest folder above it that there is.
func existing(dir string) string {
	for {
		info, err := os.Stat(dir)
		up := filepath.Dir(dir)
		if err == nil && info.IsDir() || up == dir {
			return dir
		}
		dir = up
	}
}

// watchFiles watches the files of st that events of its folder do not reach:
// those that were renamed and those that a link leads to. It reports whether it
// is news how well the stream can be followed.
func (s *Shipper) watchFiles(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return false
	}
	rotated := int64(0)
	for _, g := range st.chain.Generations {
		if g.File == nil {
			continue
		}
		linked := len(g.File.Via()) > 0
		if g != st.chain.Current() {
			rotated++
		}
		if s.watcher != nil && st.tokens[g] == 0 && !g.Copy && (linked || g != st.chain.Current()) {
			s.watchFile(st, g)
		}
	}
	s.held.Add(rotated - st.rotated)
	st.rotated = rotated
	for g, token := range st.tokens {
		if g.File == nil || !slices.Contains(st.chain.Generations, g) {
			s.forgetToken(token)
			delete(st.tokens, g)
		}
	}
	s.placeLinks(st)
	return s.judge(st)
}

func (s *Shipper) watchFile(st *stream, g *follow.Generation) {
	s.token++
	if err := s.watcher.WatchFile(g.File, s.token); err != nil {
		s.log.Debug("a file cannot be watched by itself", "path", g.File.Real(), "error", err)
		return
	}
	st.tokens[g] = s.token
	s.tokens[s.token] = st
}

// placeLinks lets events of the links that lead to st's file reach it, and
// notes whether its changes are told at all.
func (s *Shipper) placeLinks(st *stream) {
	dir := filepath.Dir(st.path)
	told := s.watched[dir] || s.watcher != nil && !s.knownFolder(dir)
	if g := st.chain.Current(); g != nil {
		for _, via := range g.File.Via() {
			s.place(st, via, "")
		}
		if real := g.File.Real(); len(g.File.Via()) > 0 {
			s.place(st, filepath.Dir(real), filepath.Base(real))
		}
		told = told && !g.File.Remote()
	}
	st.polled.Store(!told)
}

func (s *Shipper) knownFolder(dir string) bool {
	_, known := s.watched[dir]
	return known
}

// polledStreams returns the streams whose changes are not told.
func (s *Shipper) polledStreams() []*stream {
	return slices.DeleteFunc(s.all(), func(st *stream) bool { return !st.polled.Load() })
}

// odd reports whether the folder of st's path does not tell of everything that
// can happen to it.
func (st *stream) odd() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	g := st.chain.Current()
	return g == nil || len(g.File.Via()) > 0 || g.File.Remote()
}
