package ship

import (
	"path/filepath"

	"dtc"
	"dtc/internal/follow"
)

// knownStream is what the monitor has of a stream, as far as it helps to find
// files that were renamed while nobody followed them.
type knownStream struct {
	alias   string
	origins []follow.Origin // of the generations, the newest last
	open    bool            // one of them is not at its end
}

// learn takes note of a stream that the monitor has.
func (s *Shipper) learn(f *dtc.Frame) {
	k := knownStream{alias: f.Text}
	for _, g := range f.States {
		if o, err := follow.DecodeOrigin(g.Identity); err == nil {
			k.origins = append(k.origins, o)
			k.open = k.open || !g.Sealed
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]knownStream{}
	}
	if len(s.known) < dtc.MaxStreams {
		s.known[fold(k.alias)] = k
	}
}

// adoptKnown makes the streams that the monitor has of files that a pattern
// matched, though they may have been renamed since: a file stays the alias's
// that it was matched under.
func (s *Shipper) adoptKnown() {
	s.rounds.Lock() // a stream that was added and whose file is not open yet would be missed
	defer s.rounds.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := map[follow.Identity]string{}
	for key, k := range s.known {
		if n := len(k.origins); n > 0 && k.open {
			owners[k.origins[n-1].Light()] = key
		}
	}
	for _, st := range s.streams {
		s.giveBack(st, owners)
	}
	for _, k := range s.known {
		if k.open && s.streams[fold(k.alias)] == nil {
			s.adopt(k)
		}
	}
	s.known = nil
}

// giveBack drops a stream that the monitor does not have, of a file that
// another stream of the monitor's goes on in.
func (s *Shipper) giveBack(st *stream, owners map[follow.Identity]string) {
	if _, known := s.known[fold(st.alias)]; known || st.rule.glob == nil {
		return
	}
	st.mu.Lock()
	g := st.chain.Current()
	st.mu.Unlock()
	if g == nil {
		return
	}
	key, ok := owners[g.Origin.Light()]
	if !ok {
		return
	}
	k := s.known[key]
	other := s.streams[key]
	if other == nil {
		other = s.adopt(k)
	}
	if other == nil || other == st {
		return
	}
	st.mu.Lock()
	file := st.chain.Take(g)
	st.mu.Unlock()
	if file != nil {
		other.mu.Lock()
		origin := k.origins[len(k.origins)-1]
		if !other.resolved {
			origin.Incarnation = 0
		}
		other.chain.Insert(file, origin, other.after(0))
		other.mu.Unlock()
	}
	s.drop(st)
}

// adopt makes the stream of a pattern for what the monitor has, if the pattern
// gives that alias to the path that it came from.
func (s *Shipper) adopt(k knownStream) *stream {
	for _, r := range s.rules {
		if r.glob == nil {
			continue
		}
		path := k.origins[len(k.origins)-1].Path
		// The path is the monitor's word: behind a link ".." leads out of the
		// pattern's folders.
		if filepath.IsAbs(path) && filepath.Clean(path) == path && r.glob.Matches(path) && r.alias(path) == k.alias {
			return s.add(r, path, k.alias)
		}
	}
	return nil
}
