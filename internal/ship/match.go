package ship

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"dtc"
	"dtc/internal/follow"
)

// remote is a generation that the monitor has, while it is being found again.
type remote struct {
	dtc.GenerationState
	origin follow.Origin
	found  *follow.Generation // where its bytes are; nil: not found (yet)
	known  bool               // its file was met, and nothing of it is wanted
	told   bool               // its end was reached before, and is to be told again
}

const (
	matchAgain = 100 * time.Millisecond // after files that were renamed while they were looked for
	matchSlow  = time.Second            // after files that could not be read
	matchTries = 50
)

// granted takes the monitor's state of a stream.
func (x *session) granted(st *stream, f *dtc.Frame) {
	st.mu.Lock()
	defer st.mu.Unlock()
	fenced := st.fences > 0 && !st.retry.IsZero()
	if st.session != x || st.stopped && !fenced || st.closed {
		return
	}
	if st.fences > 0 {
		x.log.Debug("a stream is this connection's again", "alias", st.alias, "path", st.path)
	}
	st.stopped, st.fences, st.retry = false, 0, time.Time{}
	x.inflight.Add(-st.inflight)
	st.inflight = 0
	st.epoch, st.granted, st.toMatch = f.Epoch, false, true
	st.pending = nil
	for _, s := range f.States {
		r := remote{GenerationState: s}
		// What cannot be read is an identity that no file has.
		r.origin, _ = follow.DecodeOrigin(s.Identity)
		st.pending = append(st.pending, r)
	}
	x.enqueue(st)
}

// match finds what the monitor has again among the files. If they are being
// renamed at this very moment it is tried again later: that something was not
// seen does not mean that it is gone.
func (x *session) match(st *stream) {
	m := &matching{x: x, st: st, reader: x.reader, remotes: slices.Clone(st.pending), plain: true, log: x.log}
	if err := m.run(); err != nil {
		if errors.Is(err, errAsked) { // the answer wakes it
			st.wakeAt(time.Now().Add(matchSlow))
			return
		}
		st.attempts++
		if st.attempts%matchTries == 1 {
			x.log.Info("a stream waits until its files can be read", "alias", st.alias, "path", st.path, "error", err)
		}
		again := matchSlow
		if errors.Is(err, errUnstable) {
			again = matchAgain
		}
		st.wakeAt(time.Now().Add(again))
		return
	}
	x.log.Debug("a stream was matched", "alias", st.alias, "monitor", len(m.remotes), "lost", len(st.lost), "files", st.describe(), "family", m.seen)
	st.toMatch, st.granted, st.pending, st.attempts = false, true, nil, 0
	m.keepKnown()
	st.takeArrivals(time.Now())
	if len(st.searches) > 0 {
		x.s.finder.add(st, time.Now())
	}
	st.account()
}

// matching is one try to find the generations of one stream again.
type matching struct {
	x       *session
	st      *stream
	reader  *follow.Reader
	log     *slog.Logger
	remotes []remote                         // ascending
	before  map[*follow.Generation]*shipment // of the connection before
	first   bool                             // no match was without doubt in this process
	seen    string                           // the family, for debugging
	doubt   bool                             // the monitor must be asked how much of a file is left

	archives []follow.Member // of the family
	from     uint64          // the generation that is looked after for later ones
	plain    bool            // files that are no archives may have come later than what the monitor has
}

var errUnstable = errors.New("its siblings are being renamed")

func (m *matching) run() error {
	st := m.st
	if _, err := st.chain.Sync(); err != nil && len(m.remotes) > 0 {
		return err
	}
	m.cutUnread()
	m.before, m.first = st.shipments, !st.matched
	st.shipments = map[*follow.Generation]*shipment{}
	st.lost = nil
	st.highest = 0
	if n := len(m.remotes); n > 0 {
		st.highest = m.remotes[n-1].Generation
	}
	m.resolve()
	if err := m.findHeld(); err != nil {
		return err
	}
	m.findFinished()
	if slices.ContainsFunc(m.remotes, func(r remote) bool { return r.found == nil }) {
		if err := m.findRotated(); err != nil {
			return err
		}
	}
	m.tellMissing()
	for g, old := range m.before {
		if old.reason != "" && slices.Contains(st.chain.Generations, g) {
			st.shipment(g).reason = old.reason
		}
	}
	st.matched = st.matched || !m.doubt
	return m.resetUnknown()
}

// cutUnread ends what was seen of files of which nothing was read, and was
// truncated before it could be: the monitor may have its beginning.
func (m *matching) cutUnread() {
	for _, g := range slices.Clone(m.st.chain.Generations) {
		if g.File == nil || g.Copy || g.Doubtful() || g.Mark.Length > 0 {
			continue
		}
		if _, err := m.reader.Look(g); errors.Is(err, follow.ErrCut) {
			m.st.chain.Cut(m.reader, g)
		}
	}
}

// resetUnknown lets what the monitor does not have begin at the beginning. What
// it had once and forgot, because so much came later, is done with.
func (m *matching) resetUnknown() error {
	for _, g := range slices.Clone(m.st.chain.Generations) {
		if sh := m.st.shipments[g]; sh != nil && sh.number != 0 {
			continue
		}
		old := m.before[g]
		switch {
		case old != nil && old.number > 0 && len(m.remotes) > 0 && old.number < m.remotes[0].Generation, m.orphaned(g):
			m.st.discard(g)
		case g.Position() == g.Start:
		case g.File == nil || g.Start == 0:
			g.Mark, g.Head, g.Low = follow.Mark{Offset: g.Start}, follow.Mark{}, g.Start
		default:
			if err := m.reader.StartAt(g, g.Start); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve counts the incarnations of the files that are held as the monitor
// does. Until the first contact they are counted from 0.
func (m *matching) resolve() {
	st := m.st
	if st.resolved {
		return
	}
	st.resolved = true
	seen := map[follow.Identity]bool{}
	for _, g := range slices.Clone(st.chain.Generations) {
		if !seen[g.Origin.Identity] {
			seen[g.Origin.Identity] = true
			m.resolveFile(g.Origin.Identity)
		}
	}
}

func (m *matching) resolveFile(id follow.Identity) {
	r := m.newest(id)
	if r == nil {
		return
	}
	var mine []*follow.Generation
	for _, g := range m.st.chain.Generations {
		if g.Origin.Identity == id {
			mine = append(mine, g)
		}
	}
	first, last := mine[0], mine[len(mine)-1]
	base := r.origin.Incarnation + 1
	switch probe := *last; {
	case m.reader.Resume(&probe, r.GenerationState) == nil:
		base = r.origin.Incarnation - last.Origin.Incarnation
	case len(mine) > 1 && first.Seen >= r.Position, probe.Low > 0 && probe.Low < r.Position && len(mine) == 1:
		base = r.origin.Incarnation // what was truncated since was the monitor's
	}
	for _, g := range mine {
		g.Origin.Incarnation += base
	}
}

// newest returns the newest generation that came from the file id.
func (m *matching) newest(id follow.Identity) *remote {
	for i := range slices.Backward(m.remotes) {
		if m.remotes[i].origin.Same(id) {
			return &m.remotes[i]
		}
	}
	return nil
}

// findHeld finds the generations whose files are held.
func (m *matching) findHeld() error {
	for i := range m.remotes {
		r := &m.remotes[i]
		for _, g := range m.st.chain.Generations {
			if r.origin.Same(g.Origin.Identity) && r.origin.Incarnation == g.Origin.Incarnation {
				if err := m.bind(r, g); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// bind continues r in g, if g's file holds what the monitor has. If it does
// not, g is a later incarnation.
func (m *matching) bind(r *remote, g *follow.Generation) error {
	sh := m.st.shipment(g)
	if g.File == nil {
		g.Assume(r.GenerationState)
		m.continueIn(r, sh)
		return nil
	}
	probe := *g
	err := m.reader.Resume(&probe, r.GenerationState)
	switch {
	case err == nil:
		*g = probe
		m.continueIn(r, sh)
		return nil
	case errors.Is(err, follow.ErrStale):
		m.st.chain.Forsake(g)
		if !r.Sealed && g.Seen <= r.Position {
			m.st.lost = append(m.st.lost, loss{r.Generation, r.Position, removedOnServer(r.origin.Path)})
		}
		return m.bind(r, g)
	case !errors.Is(err, follow.ErrCut):
		return err
	}
	low := probe.Low
	if low > r.Start && low < r.Position && !m.st.refuted[r.Generation] && !g.Copy {
		// Perhaps it only lost its end. The monitor is asked, in the next turn.
		if g.Mark.Length == 0 || g.Position() < r.Position {
			g.Assume(r.GenerationState)
		}
		g.Low, m.doubt = low, true
		m.continueIn(r, sh)
		return nil
	}
	if g.Copy || g.Mark.Length > 0 { // it was read from in this process: what is known of its end stays known
		m.st.chain.Cut(m.reader, g)
		return m.bind(r, g)
	}
	g.Restart(r.origin.Incarnation + 1)
	return nil
}

func (m *matching) continueIn(r *remote, sh *shipment) {
	sh.number, sh.acked, sh.durable, sh.sum, sh.sealed = r.Generation, r.Position, r.Durable, r.Sum, r.Sealed
	r.found = sh.Generation
}

// findFinished finds the generations that were complete when their files were
// let go.
func (m *matching) findFinished() {
	for i := range m.remotes {
		r := &m.remotes[i]
		j := slices.IndexFunc(m.st.finished, func(f finished) bool {
			return f.number == r.Generation && f.end == r.Position && f.origin.Same(r.origin.Identity)
		})
		if r.found == nil && j >= 0 && !r.Sealed {
			f := m.st.finished[j]
			r.told = true
			m.x.send(m.st, dtc.Frame{Kind: dtc.FrameSeal, Generation: f.number, End: f.end, Sum: f.sum})
		}
	}
}

// findRotated finds generations in the family of the path, and the files that
// came between the newest of them and what is at the path now.
func (m *matching) findRotated() error {
	st := m.st
	family, err := st.chain.FamilyAndArchives(follow.Everyone)
	if err != nil {
		return err
	}
	defer family.Close()
	if !family.Stable {
		return errUnstable
	}
	m.noteArchives(&family)
	for _, mem := range family.Members {
		m.seen += fmt.Sprintf(" [%s: inode %d size %d]", mem.Name, mem.ID.Node[0], mem.Stat.Size)
	}
	last := -1 // index of the newest member that the monitor has
	for i := range family.Members {
		mem := &family.Members[i]
		r := m.newest(mem.ID)
		if g := m.st.chain.Held(mem.ID); g != nil { // it was not opened: its identity is not known whole
			r = m.newest(g.Origin.Identity)
		}
		if r == nil {
			continue
		}
		if r.Generation == m.remotes[len(m.remotes)-1].Generation {
			last = i // also if it has other content by now, or none, or is held
		}
		if mem.File == nil {
			continue
		}
		if err := m.takeKnown(r, mem); err != nil {
			return err
		}
	}
	for i := range m.remotes {
		if j := m.takeCopy(&m.remotes[i], &family); j >= 0 && i == len(m.remotes)-1 {
			last = j
		}
	}
	if err := m.takeNewer(&family, last); err != nil {
		return err
	}
	m.sortNew(&family)
	return nil
}

// takeKnown continues a generation in a member of the family that is its file.
// If that has other content by now, it is a generation of its own.
func (m *matching) takeKnown(r *remote, mem *follow.Member) error {
	if r.found != nil {
		return nil
	}
	size := mem.Stat.Size
	g := m.insert(mem.File, r)
	mem.File = nil
	if err := m.bind(r, g); err != nil {
		return err
	}
	sh := m.st.shipment(g)
	switch complete := r.Sealed || r.told; {
	case r.found == nil && size > 0:
		return nil
	case r.found == nil || complete && !g.Doubtful() && size <= r.Position: // nothing of it is wanted
		r.known, r.found = complete, nil
		sh.sealed = complete
		m.st.remove(sh)
	}
	return nil
}

// insert puts the file of r before everything that came later.
func (m *matching) insert(f *follow.File, r *remote) *follow.Generation {
	return m.st.chain.Insert(f, r.origin, m.place(r))
}

// place returns the first generation that came later than r.
func (m *matching) place(r *remote) *follow.Generation {
	for _, g := range m.st.chain.Generations {
		if sh := m.st.shipments[g]; sh != nil && sh.number > r.Generation {
			return g
		}
	}
	return m.firstNew()
}

// firstNew returns the first generation that the monitor does not know.
func (m *matching) firstNew() *follow.Generation {
	for _, g := range m.st.chain.Generations {
		if sh := m.st.shipments[g]; sh == nil || sh.number == 0 {
			return g
		}
	}
	return nil
}

// missing reports whether the rest of r is wanted, and was not found.
func (m *matching) missing(r *remote) bool {
	return r.found == nil && !r.known && !r.told && !r.Sealed
}

// tellMissing notes the generations that were not found anywhere.
func (m *matching) tellMissing() {
	for i := range m.remotes {
		r := &m.remotes[i]
		if !m.missing(r) || m.search(r) {
			continue
		}
		m.st.lost = append(m.st.lost, loss{r.Generation, r.Position, whatFollowed(m.st.path)})
	}
}
