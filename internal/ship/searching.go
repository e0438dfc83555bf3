package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dtc/internal/follow"
)

const (
	stableLooks   = 50               // at a folder whose files are being renamed
	settledAfter  = 2 * time.Second  // without growth and without a writer: an archive without an end stays so
	stalledAfter  = 10 * time.Minute // without growth, where nobody tells whether there is a writer
	maxArchives   = 1000             // of one family that are looked into
	namedArchives = 3                // of those that cannot be read, in a reason
)

// verdict is what one look for a generation came to.
type verdict uint8

const (
	verdictLater   verdict = iota // it cannot be said yet
	verdictFound                  // an archive holds it
	verdictKnown                  // what was taken for a new generation is one that the monitor has, or will have
	verdictMissing                // no archive holds it
)

// searching is one look for one generation in the archives of its family.
type searching struct {
	finder *finder
	st     *stream
	g      *follow.Generation
	q      *search
	reader *follow.Reader

	// As it was at the beginning.
	path     string
	position int64
	whole    bool                     // all of the archive is wanted, and nothing was read of it
	proofs   []follow.Proof           // of g, then of what else the monitor has
	numbers  []uint64                 // of the generations of proofs
	files    []*follow.File           // that are held
	held     map[follow.Identity]bool // the same, light
	ended    map[follow.Identity]unfinished
	times    []int64 // when files that are known were last changed, of an archive that came lately

	verdict    verdict
	wait       time.Duration // until the next look, if it is not the usual time
	unreadable []string
	file       *follow.File // the archive, verified
	finding    follow.Finding
	proof      int           // the number of the proof that held, -1 if none had to
	family     follow.Family // as it was at the end
	member     int           // the archive in it
	unique     bool          // no other archive may hold it
	ambiguous  bool          // another one does
}

// begin takes the first search of st that is due, nil if there is none; then it
// returns when the next one is, if any. Without the monitor nothing is looked
// for: it must say what it has.
func (f *finder) begin(st *stream, now time.Time) (*searching, time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	var next time.Time
	if st.closed || !st.granted {
		return nil, next
	}
	for _, g := range st.chain.Generations {
		q := st.sought(g)
		if q == nil {
			continue
		}
		if q.due.After(now) {
			if next.IsZero() || q.due.Before(next) {
				next = q.due
			}
			continue
		}
		t := &searching{
			finder: f, st: st, g: g, q: q, reader: f.s.host.NewProver(), path: st.chain.FamilyPath(), position: g.Position(),
			held: map[follow.Identity]bool{}, ended: map[follow.Identity]unfinished{}, proof: -1,
		}
		t.collect()
		return t, next
	}
	return nil, next
}

// collect notes what is known of g and of everything else, with the stream's
// lock held.
func (t *searching) collect() {
	st, sh := t.st, t.st.shipment(t.g)
	t.whole = t.position == t.g.Start && t.g.Start == 0 && t.q.archive != follow.Identity{}
	proof := t.reader.ProofOf(t.g, sh.sum)
	i := slices.IndexFunc(st.known, func(r remote) bool { return r.Generation == sh.number && r.Position == t.position })
	switch {
	case i >= 0 && sh.number != 0:
		proof = follow.ProofOf(st.known[i].GenerationState)
	case t.g.Doubtful():
		proof = follow.Proof{}
	}
	t.proofs, t.numbers = append(t.proofs, proof), append(t.numbers, sh.number)
	for _, r := range st.known {
		t.add(follow.ProofOf(r.GenerationState), r.Generation)
	}
	for _, f := range st.finished {
		t.add(t.reader.ProofOfMarks(f.start, f.head, f.mark, f.sum), f.number)
	}
	for _, g := range st.chain.Generations {
		if other := st.shipment(g); g.Position() > g.Start {
			t.add(t.reader.ProofOf(g, other.sum), other.number)
		}
		if g.File != nil {
			t.held[g.File.Identity().Light()] = true
		}
		if g.File != nil && !g.Packed() {
			t.files = append(t.files, g.File)
		}
	}
	if t.q.arrived != nil {
		t.collectArrival()
	}
	maps.Copy(t.ended, t.q.unfinished)
}

// add adds what is known of another generation.
func (t *searching) add(p follow.Proof, number uint64) {
	if number != t.numbers[0] && p.Enough() {
		t.proofs, t.numbers = append(t.proofs, p), append(t.numbers, number)
	}
}

// run looks through the archives.
func (t *searching) run(ctx context.Context) {
	if !t.look(ctx) {
		return
	}
	t.verdict = verdictMissing
	for i, m := range t.candidates() {
		if i == maxArchives {
			t.unreadable = append(t.unreadable, fmt.Sprintf("there are more than %d archives", maxArchives))
			break
		}
		t.try(ctx, &m)
		if ctx.Err() != nil {
			t.verdict = verdictLater
			return
		}
		if t.verdict == verdictFound && !t.unique || t.verdict == verdictKnown {
			break
		}
	}
	if more := len(t.unreadable) - namedArchives; more > 0 {
		t.unreadable = append(t.unreadable[:namedArchives], fmt.Sprintf("%d more", more))
	}
	if t.ambiguous {
		t.verdict = verdictMissing
	}
	if t.verdict == verdictFound && !t.locate(ctx) {
		t.verdict = verdictLater
	}
}

// look reads the family until nothing is renamed in it. It reports false if
// that did not come to pass.
func (t *searching) look(ctx context.Context) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for range stableLooks {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		t.family.Close()
		family, err := t.finder.s.host.FamilyAndArchives(t.path, func(id follow.Identity, _ follow.Stat) bool {
			return !t.q.newest || t.held[id] // others are opened only where they may be the monitor's to have
		})
		if err == nil && family.Stable {
			t.family = family
			return true
		}
		family.Close()
		t.family = follow.Family{}
		timer.Reset(matchAgain)
	}
	return false
}

// locate finds the archive again among the files as they are now: reading it
// may have taken long.
func (t *searching) locate(ctx context.Context) bool {
	if !t.look(ctx) {
		return false
	}
	t.member = slices.IndexFunc(t.family.Members, func(m follow.Member) bool { return m.ID.Light() == t.file.Identity().Light() })
	return true
}

// candidates returns the archives that may hold g, the likeliest first. What was
// last written before g was made is not g's, unless somebody set a clock; of the
// others the oldest comes first, as a later one may begin with the same bytes.
// A file that is truncated and not renamed is much older than g: then a few
// bytes that are equal say nothing if there is more than one that has them.
func (t *searching) candidates() []follow.Member {
	var likely, others []follow.Member
	enough, strong := t.proofs[0].Enough(), t.proofs[0].Strong()
	origin := &t.g.Origin
	created := origin.Incarnation == 0 && origin.Birth != 0 && t.g.Met == 0
	for _, m := range t.family.Members {
		switch {
		case !m.Compressed:
		case t.q.archive != follow.Identity{}:
			if m.ID.Light() == t.q.archive {
				return []follow.Member{m}
			}
		case !enough || t.g.Met != 0 && !mayHold(&m, t.g):
		case created && m.Stat.Modified >= origin.Birth-int64(coarse):
			likely = append(likely, m)
		case strong || !created:
			others = append(others, m)
		}
	}
	slices.Reverse(others)
	t.unique = !strong && !created
	return append(likely, others...)
}

// try looks into one archive.
func (t *searching) try(ctx context.Context, m *follow.Member) {
	if t.evident(m) {
		t.verdict = verdictKnown
		return
	}
	f, err := t.finder.s.host.OpenMember(filepath.Dir(t.path), m)
	switch {
	case errors.Is(err, follow.ErrMoved), errors.Is(err, fs.ErrNotExist):
		t.verdict, t.wait = verdictLater, matchAgain
		return
	case errors.Is(err, fs.ErrPermission):
		t.unreadable = append(t.unreadable, fmt.Sprintf("%s cannot be read: %v", m.Name, fs.ErrPermission))
		return
	case err != nil: // there are too many open files, or the disk fails
		t.verdict, t.wait = verdictLater, searchSlow
		return
	}
	defer func() {
		if f != t.file {
			_ = f.Close()
		}
	}()
	if t.unchanged(f, m) {
		t.verdict = verdictLater
		return
	}
	finding, err := t.examine(ctx, f)
	if err != nil {
		t.failed(f, m, err)
		return
	}
	t.judge(f, finding)
}

// examine reads an archive as far as it must be read.
func (t *searching) examine(ctx context.Context, f *follow.File) (follow.Finding, error) {
	if t.q.archive == (follow.Identity{}) {
		return t.finder.unpacker.Search(ctx, f, t.proofs)
	}
	return t.finder.unpacker.Verify(ctx, f, t.proofs, t.strange)
}

// unchanged reports whether the archive had no end when it was last read, and
// nothing says that it has one now.
func (t *searching) unchanged(f *follow.File, m *follow.Member) bool {
	u, seen := t.ended[m.ID.Light()]
	if !seen {
		return false
	}
	st, err := f.Stat()
	if err != nil || st.Size != u.size {
		t.ended[m.ID.Light()] = unfinished{st.Size, time.Now()}
		return true
	}
	some, known := f.Writers()
	return some || !known && time.Since(u.since) < settledAfter
}

// failed takes note of an archive that could not be read to its end.
func (t *searching) failed(f *follow.File, m *follow.Member, err error) {
	if unreadable, ok := errors.AsType[*follow.Unreadable](err); ok {
		t.unreadable = append(t.unreadable, unreadable.Error())
		return
	}
	if !errors.Is(err, follow.ErrUnfinished) {
		t.verdict, t.wait = verdictLater, searchSlow
		return
	}
	if t.hasTwin(m) { // it is being made of that, which was looked at itself
		if t.q.arrived != nil {
			t.verdict = verdictKnown
		}
		return
	}
	u, seen := t.ended[m.ID.Light()]
	if st, err := f.Stat(); err == nil && (!seen || u.size != st.Size) {
		u = unfinished{st.Size, time.Now()}
		t.ended[m.ID.Light()] = u
	}
	patience := stalledAfter
	if some, known := f.Writers(); some {
		patience = time.Hour * 24 * 365
	} else if known {
		patience = settledAfter
	}
	if time.Since(u.since) >= patience {
		t.unreadable = append(t.unreadable, fmt.Sprintf("%s cannot be read: it has no end, and nobody writes to it", m.Name))
		return
	}
	t.verdict = verdictLater
}

// hasTwin reports whether what the archive was made of, by its name, is there.
func (t *searching) hasTwin(m *follow.Member) bool { return hasTwin(&t.family, m) }

func hasTwin(family *follow.Family, m *follow.Member) bool {
	stem := strings.TrimSuffix(m.Name, filepath.Ext(m.Name))
	return slices.ContainsFunc(family.Members, func(o follow.Member) bool {
		return !o.Compressed && o.Name != o.Base && o.Name == stem
	})
}

// judge says what an archive is that was read to its end, or up to where it
// turned out to be nothing that is known.
func (t *searching) judge(f *follow.File, d follow.Finding) {
	if d.Length < 0 {
		return
	}
	if t.q.arrived != nil && t.whole {
		t.judgeArrival(f, d)
		return
	}
	best := -1 // the proof of the most bytes that holds
	for i, holds := range d.Holds {
		if holds && t.proofs[i].Enough() && (best < 0 || t.proofs[i].Position > t.proofs[best].Position) {
			best = i
		}
	}
	switch {
	case best == 0 && !t.whole:
		t.found(f, d, 0)
	case !t.whole:
	case best >= 0:
		t.verdict, t.proof, t.finding = verdictKnown, best, d
	case slices.ContainsFunc(t.files, d.Ends):
		t.verdict = verdictKnown
	default:
		t.found(f, d, -1)
	}
}

func (t *searching) found(f *follow.File, d follow.Finding, proof int) {
	if t.file != nil {
		t.unreadable = append(t.unreadable, "several archives begin as it does")
		t.ambiguous = true
		return
	}
	t.verdict, t.file, t.finding, t.proof = verdictFound, f, d, proof
}
