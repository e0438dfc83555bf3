package ship

import (
	"cmp"
	"slices"

	"dtc/internal/follow"
)

// limitRotated lets rotated files go if too many are held: first those of which
// all is safe at the monitor, then those that were written to longest ago. Of
// these the rest is lost, and told.
func (s *Shipper) limitRotated() {
	if s.held.Load() <= int64(s.rotated) {
		return
	}
	type candidate struct {
		st   *stream
		g    *follow.Generation
		safe bool
		last int64 // when something was last written to it, or to one before it
	}
	var all []candidate
	for _, st := range s.all() {
		st.mu.Lock()
		last := int64(0)
		for i, g := range st.chain.Generations {
			// The last one was not rotated for anything, though nothing may be at
			// the path at this moment.
			newest := g == st.chain.Current() || i == len(st.chain.Generations)-1
			if g.File == nil || newest || g.Packed() {
				continue
			}
			if stat, err := g.File.Stat(); err == nil {
				last = max(last, stat.Modified)
			}
			all = append(all, candidate{st, g, st.shipment(g).safe(), last})
		}
		st.mu.Unlock()
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(-compareBool(a.safe, b.safe), cmp.Compare(a.last, b.last))
	})
	for _, c := range all[:max(0, len(all)-s.rotated)] {
		c.st.mu.Lock()
		s.letGo(c.st, c.g)
		c.st.mu.Unlock()
		s.touch(c.st)
		s.watchFiles(c.st)
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// safe reports whether all of a generation is at the monitor, as far as it was
// written.
func (sh *shipment) safe() bool {
	return sh.sealed && sh.durable >= sh.Position() && sh.Left() == 0
}

func (s *Shipper) letGo(st *stream, g *follow.Generation) {
	if g.File == nil || !slices.Contains(st.chain.Generations, g) {
		return
	}
	sh := st.shipment(g)
	if sh.safe() {
		st.remove(sh)
		return
	}
	s.log.Warn("a rotated file is let go before all of it was sent: too many are held", "path", st.path, "alias", st.alias)
	sh.reason = "let go before it could be sent, for too many rotated files are held"
	_ = g.File.Close()
	g.File, g.Ended = nil, true
}

// revisit takes files up again that had been let go as complete and have grown
// since; the caller holds st.mu.
func (l *loop) revisit(st *stream) bool {
	if !slices.ContainsFunc(st.finished, func(f finished) bool { return f.named }) {
		st.named.Store(false)
		return false
	}
	grown := func(id follow.Identity, stat follow.Stat) int {
		return slices.IndexFunc(st.finished, func(f finished) bool {
			return f.named && f.origin.Light() == id.Light() && stat.Size > f.end
		})
	}
	family, err := st.chain.Family(func(id follow.Identity, stat follow.Stat) bool { return grown(id, stat) >= 0 })
	if err != nil {
		return false
	}
	defer family.Close()
	found := false
	for i := range family.Members {
		mem := &family.Members[i]
		j := grown(mem.ID, mem.Stat)
		if mem.File == nil || j < 0 || !st.finished[j].origin.Same(mem.ID) {
			continue
		}
		f := st.finished[j]
		st.finished = slices.Delete(st.finished, j, j+1)
		g := st.chain.Insert(mem.File, f.origin, st.after(f.number))
		mem.File = nil
		g.Start, g.Mark, g.Head, g.Low = f.start, f.mark, f.head, f.end
		sh := st.shipment(g)
		sh.number, sh.acked, sh.durable, sh.sum, sh.late = f.number, f.end, f.end, f.sum, 1
		found = true
	}
	return found
}

// reopen opens the file of a generation that was let go, if it is still in the
// family; nil if it is not. The caller holds st.mu, and closes the file.
func (st *stream) reopen(number uint64) *follow.File {
	i := slices.IndexFunc(st.finished, func(f finished) bool { return f.number == number && f.named })
	if i < 0 {
		return nil
	}
	origin := st.finished[i].origin
	family, err := st.chain.Family(func(id follow.Identity, _ follow.Stat) bool { return id.Light() == origin.Light() })
	if err != nil {
		return nil
	}
	defer family.Close()
	for i := range family.Members {
		if m := &family.Members[i]; m.File != nil && origin.Same(m.ID) {
			f := m.File
			m.File = nil
			return f
		}
	}
	return nil
}

// after returns the first generation that comes after that of the number.
func (st *stream) after(number uint64) *follow.Generation {
	for _, g := range st.chain.Generations {
		if sh := st.shipments[g]; sh == nil || sh.number == 0 || sh.number > number {
			return g
		}
	}
	return nil
}
