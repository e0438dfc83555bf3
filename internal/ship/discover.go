package ship

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"dtc"
	"dtc/internal/follow"
)

const maxRejected = 1000

// addPlain follows the path of a rule without wildcards; the caller holds s.mu.
func (s *Shipper) addPlain(r *rule) {
	s.add(r, r.Path, r.Alias)
}

// add makes a stream, unless there is one of that alias; the caller holds s.mu.
func (s *Shipper) add(r *rule, path, alias string) *stream {
	key := fold(alias)
	if st := s.streams[key]; st != nil {
		if st.path != path {
			s.rejectLocked(path, fmt.Sprintf("its alias %q is that of %s already", alias, st.path))
		}
		return st
	}
	if err := s.check(alias); err != nil {
		s.rejectLocked(path, fmt.Sprintf("its name makes no legal alias: %q: %v", alias, err))
		return nil
	}
	if len(s.streams) >= dtc.MaxStreams {
		s.rejectLocked(path, fmt.Sprintf("%d files are followed already", len(s.streams)))
		return nil
	}
	st := &stream{
		alias: alias, path: path, rule: r, fromEnd: r.FromEnd, finder: s.finder,
		chain:     s.host.NewChain(path),
		shipments: map[*follow.Generation]*shipment{},
		tokens:    map[*follow.Generation]uint64{},
	}
	s.streams[key] = st
	s.added++
	s.place(st, filepath.Dir(path), filepath.Base(path))
	s.soil(st)
	if x := s.session.Load(); x != nil {
		x.wake()
	}
	return st
}

// place lets events of name in folder reach st; the caller holds s.mu.
func (s *Shipper) place(st *stream, folder, name string) {
	at := [2]string{folder, name}
	if slices.Contains(st.places, at) {
		return
	}
	st.places = append(st.places, at)
	names := s.places[folder]
	if names == nil {
		names = map[string]*spot{}
		s.places[folder] = names
	}
	if names[name] == nil {
		names[name] = &spot{}
	}
	names[name].streams = append(names[name].streams, st)
}

// unplace is the inverse of every place; the caller holds s.mu.
func (s *Shipper) unplace(st *stream) {
	for _, at := range st.places {
		names := s.places[at[0]]
		sp := names[at[1]]
		if sp == nil {
			continue
		}
		sp.streams = slices.DeleteFunc(sp.streams, func(o *stream) bool { return o == st })
		if len(sp.streams) == 0 {
			delete(names, at[1])
		}
		if len(names) == 0 {
			delete(s.places, at[0])
		}
	}
	st.places = nil
}

// drop forgets a stream and lets its files go; the caller holds s.mu.
func (s *Shipper) drop(st *stream) {
	s.unplace(st)
	delete(s.streams, fold(st.alias))
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	for _, token := range st.tokens {
		s.forgetToken(token)
	}
	clear(st.tokens)
	st.chain.Close()
	clear(st.shipments)
	if x := st.session; x != nil {
		x.inflight.Add(-st.inflight)
		st.inflight = 0
		x.forgo(st.number)
	}
}

func (s *Shipper) forgetToken(token uint64) {
	delete(s.tokens, token)
	if s.watcher != nil {
		s.watcher.ForgetFile(token)
	}
}

// dropUnwanted forgets the streams of rules that are gone, unless another rule
// gives the same alias to the same path; the caller holds s.mu.
func (s *Shipper) dropUnwanted() {
	for _, st := range slices.Collect(maps.Values(s.streams)) {
		i := slices.IndexFunc(s.rules, func(r *rule) bool {
			return r.Path == st.rule.Path && r.Alias == st.rule.Alias
		})
		if i < 0 {
			i = slices.IndexFunc(s.rules, func(r *rule) bool { return r.gives(st) })
		}
		if i < 0 {
			s.drop(st)
			continue
		}
		st.rule = s.rules[i]
	}
}

// findFiles applies the patterns. Where nothing changed since the last time,
// what they match is looked at again only if that was more than recheck ago.
func (s *Shipper) findFiles(recheck time.Duration) {
	s.mu.RLock()
	rules := s.rules
	s.mu.RUnlock()
	for _, r := range rules {
		if r.glob == nil {
			continue
		}
		paths, changed, err := r.glob.Glob()
		s.mu.Lock()
		if _, refused := errors.AsType[*follow.Refusal](err); refused {
			s.rejectLocked(r.Path, err.Error())
		} else if err != nil {
			s.log.Debug("a folder cannot be searched", "pattern", r.Path, "error", err)
		}
		if (changed || time.Since(r.checked) >= recheck) && slices.Contains(s.rules, r) {
			r.checked = time.Now()
			s.addMatches(r, paths)
		}
		s.mu.Unlock()
	}
}

// addMatches makes streams of the paths that a pattern matched, but of those
// that are a rotated file of another, or a followed file under another name.
func (s *Shipper) addMatches(r *rule, paths []string) {
	fresh := slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		st := s.streams[fold(r.alias(p))]
		return st != nil && st.path == p
	})
	if len(fresh) == 0 {
		return
	}
	all := map[string]bool{}
	for _, p := range paths {
		all[p] = true
	}
	var held map[follow.Identity]bool
	for _, p := range fresh {
		if s.isSibling(r, p, all) {
			continue
		}
		if held == nil {
			held = s.heldFiles(r)
		}
		if id, err := follow.Glance(p); err == nil && held[id] {
			continue
		}
		s.add(r, p, r.alias(p))
	}
}

// isSibling reports whether path is what a rotation makes of the name of a file
// that the rule follows or finds now.
func (s *Shipper) isSibling(r *rule, path string, found map[string]bool) bool {
	dir, name := filepath.Split(path)
	for _, rot := range follow.Rotations(name) {
		base := filepath.Join(dir, rot.Base)
		if !r.glob.Matches(base) {
			continue
		}
		if found[base] {
			return true
		}
		if st := s.streams[fold(r.alias(base))]; st != nil && st.path == base {
			return true
		}
	}
	return false
}

// heldFiles returns the files that the streams of a rule hold.
func (s *Shipper) heldFiles(r *rule) map[follow.Identity]bool {
	held := map[follow.Identity]bool{}
	for _, st := range s.streams {
		if st.rule.Path != r.Path || st.rule.Alias != r.Alias {
			continue
		}
		st.mu.Lock()
		for _, g := range st.chain.Generations {
			if g.File != nil {
				held[g.File.Identity().Light()] = true
			}
		}
		st.mu.Unlock()
	}
	return held
}

// rejectLocked notes, once, that a file is not followed; the caller holds s.mu.
func (s *Shipper) rejectLocked(path, reason string) {
	text := fmt.Sprintf("%s is not followed: %s", path, reason)
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	id := max(h.Sum64(), 1)
	if _, ok := s.rejected[id]; ok || len(s.rejected) >= maxRejected {
		return
	}
	s.rejected[id] = text
	s.log.Warn("a file is not followed", "path", path, "reason", reason)
	if x := s.session.Load(); x != nil {
		x.wake()
	}
}

// rejectError notes that the file of st cannot be followed.
func (s *Shipper) rejectError(path string, err error) {
	var reason string
	if refusal, ok := errors.AsType[*follow.Refusal](err); ok {
		path, reason = refusal.Path, refusal.Reason
	} else if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		reason = pathErr.Err.Error()
	} else {
		reason = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejectLocked(path, reason)
}

// rejections returns what is not followed, nil if there is nothing beyond the
// first known ones.
func (s *Shipper) rejections(known int) map[uint64]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.rejected) <= known {
		return nil
	}
	return maps.Clone(s.rejected)
}

// unattached returns the streams that x does not know of.
func (s *Shipper) unattached(x *session) []*stream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if x.seen == s.added {
		return nil
	}
	x.seen = s.added
	return slices.Collect(maps.Values(s.streams))
}
