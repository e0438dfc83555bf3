package ship

import (
	"path/filepath"
	"slices"
	"time"

	"dtc"
	"dtc/internal/follow"
)

// straggling is how long after a rotation the old file may still be written to,
// so that the time of its last change does not say which of two came first.
const straggling = 10 * time.Minute

// noteArchives keeps the archives of the family.
func (m *matching) noteArchives(family *follow.Family) {
	m.archives = nil
	for _, mem := range family.Members {
		if mem.Compressed {
			m.archives = append(m.archives, mem)
		}
	}
}

// archive returns the archive whose content r is all of, nil if there is none.
func (m *matching) archive(r *remote) *follow.Member {
	i := slices.IndexFunc(m.archives, func(mem follow.Member) bool { return mem.ID.Light() == r.origin.Light() })
	if i < 0 {
		return nil
	}
	return &m.archives[i]
}

// awaits reports whether r is to be searched for in archives: nothing can be
// said of what came after it before that is done.
func (m *matching) awaits(r *remote) bool {
	p := follow.ProofOf(r.GenerationState)
	return m.missing(r) && (m.archive(r) != nil || len(m.archives) > 0 && p.Enough())
}

// search begins to look for r in archives. It reports false if there are none
// that may hold it.
func (m *matching) search(r *remote) bool {
	if !m.awaits(r) {
		return false
	}
	g := m.st.chain.Seek(r.origin, m.place(r))
	g.Assume(r.GenerationState)
	g.Seen = r.Position
	m.continueIn(r, m.st.shipment(g))
	newest := r.Generation == m.remotes[len(m.remotes)-1].Generation
	q := &search{
		since: time.Now(), unbounded: true, newest: newest && m.first,
		// Older ones than all that the monitor tells of it may have had once.
		after: m.first && (newest || len(m.remotes) < dtc.MaxGenerations),
	}
	if mem := m.archive(r); mem != nil {
		q.archive = mem.ID.Light()
	}
	m.st.begin(g, q)
	m.log.Info("the rest of a followed file is looked for in archives", "path", m.st.path, "alias", m.st.alias, "from", r.Position)
	return true
}

// orphaned reports whether g is searched for because the monitor had it, and it
// has it no longer.
func (m *matching) orphaned(g *follow.Generation) bool {
	q := m.st.sought(g)
	return q != nil && q.unbounded
}

// keepKnown remembers what the monitor has if archives are to be looked into:
// what they hold may be that.
func (m *matching) keepKnown() {
	m.st.known, m.st.heard = nil, slices.Clone(m.remotes[max(0, len(m.remotes)-maxHeard):])
	first := slices.IndexFunc(m.remotes, func(r remote) bool { // the oldest that is searched for, or will be
		return r.found != nil && r.found.File == nil
	})
	if first >= 0 || len(m.st.searches) > 0 {
		const before = 4 // they may begin as it does
		m.st.known = slices.Clone(m.remotes[max(0, first-before):])
	}
}

// later reports whether an archive of the family came after the newest
// generation that the monitor has: that is member number last, or else, if it
// is nowhere, it was made before all that is in the archive was written.
func (m *matching) later(family *follow.Family, i, last int) bool {
	mem, newest := &family.Members[i], &m.remotes[len(m.remotes)-1]
	switch {
	case m.newest(mem.ID) != nil || len(m.st.searches) >= maxSearches || hasTwin(family, mem):
		return false
	case slices.ContainsFunc(m.st.chain.Generations, func(g *follow.Generation) bool { return g.Origin.Light() == mem.ID.Light() }):
		return false // it is known already
	case last >= 0:
		return i > last
	default:
		return !m.awaits(newest) && newest.origin.Birth != 0 && newest.origin.Incarnation == 0 &&
			mem.Stat.Modified > newest.origin.Birth+int64(straggling)
	}
}

// takeArchive takes an archive for a generation of its own, all of which is to
// be read. Whether it holds what the monitor has is seen when it is.
func (m *matching) takeArchive(mem *follow.Member, next *follow.Generation) {
	origin := follow.Origin{Identity: mem.ID, Path: m.st.path}
	if f, err := m.st.chain.OpenMember(filepath.Dir(m.st.chain.FamilyPath()), mem); err == nil {
		origin.Identity = f.Identity()
		_ = f.Close()
	}
	m.st.begin(m.st.chain.Seek(origin, next), &search{since: time.Now(), archive: mem.ID.Light(), from: m.from})
	m.log.Info("an archive came while nobody followed the file, and is sent", "path", m.st.path, "alias", m.st.alias, "archive", mem.Name)
}
