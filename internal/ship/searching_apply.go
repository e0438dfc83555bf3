package ship

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dtc/internal/follow"
)

// close lets go of what was not taken.
func (t *searching) close() {
	t.family.Close()
	if t.file != nil {
		_ = t.file.Close()
	}
}

// apply takes the verdict. It returns the archive if there is one to be read.
func (t *searching) apply(now time.Time) *follow.File {
	st := t.st
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || !st.granted || st.sought(t.g) != t.q || t.g.Position() != t.position {
		return nil // what would be told is told by the next look
	}
	t.q.unfinished = t.ended
	defer st.forgetKnown()
	log := t.finder.s.log.With("path", st.path, "alias", st.alias, "position", t.position)
	switch t.verdict {
	case verdictLater:
		if t.q.wait = min(max(2*t.q.wait, searchAgain), searchSlow); t.wait == 0 {
			t.wait = t.q.wait
		}
		t.q.due = now.Add(t.wait)
	case verdictFound:
		log.Info("the rest of a followed file was found in an archive", "archive", t.file.Real(), "to", t.finding.Length)
		f := t.file
		t.finder.unpacker.Unpack(t.reader, t.g, t.finding, t.proof, t.ready)
		t.file = nil
		if t.q.arrived != nil {
			st.chain.CountFile()
		}
		t.takeLater(t.member)
		st.forget(t.g)
		return f
	case verdictKnown:
		log.Debug("an archive holds what the monitor has", "generation", t.numbers[max(t.proof, 0)])
		t.dropKnown()
	case verdictMissing:
		t.giveUp()
	}
	return nil
}

// ready lets the connection go on when bytes were decompressed.
func (t *searching) ready() {
	if x := t.finder.s.session.Load(); x != nil {
		x.enqueue(t.st)
	}
}

// dropKnown ends what was taken for a generation of its own. What the archive
// has beyond the end that the monitor was told is lost.
func (t *searching) dropKnown() {
	st := t.st
	st.forget(t.g)
	for _, r := range st.known {
		if t.proof >= 0 && r.Generation == t.numbers[t.proof] && r.Sealed && r.Position < t.finding.Length {
			st.lost = append(st.lost, loss{r.Generation, r.Position, fmt.Sprintf(
				"bytes that came to %s after its end are in an archive only", st.path)})
		}
	}
	if n := t.numbers[max(t.proof, 0)]; t.proof >= 0 && n < t.q.from {
		st.lost = append(st.lost, loss{reason: fmt.Sprintf(
			"an archive of %s is not sent: it holds the same as what was sent before, unless that was written once more", st.path)})
	}
	if st.shipment(t.g).number == 0 {
		st.discard(t.g)
	} else { // its end is told, which has nothing before it
		st.givenUp[t.g] = ""
	}
}

// giveUp notes that nothing was found, to be told.
func (t *searching) giveUp() {
	if t.q.arrived != nil && t.whole {
		t.giveUpArrival()
		return
	}
	st, sh := t.st, t.st.shipment(t.g)
	why := strings.Join(t.unreadable, "; ")
	t.takeLater(-1)
	st.forget(t.g)
	switch {
	case t.whole:
		why = cmp.Or(why, fmt.Sprintf("an archive of %s was removed before it could be read", st.path))
	case t.q.unbounded && why != "":
		why = fmt.Sprintf("what followed in %s is gone or in an archive: %s", st.path, why)
	case t.q.unbounded:
		why = whatFollowed(st.path)
	default:
		st.givenUp[t.g] = why
		return
	}
	st.lost = append(st.lost, loss{sh.number, sh.Position(), why})
	st.discard(t.g)
}

func whatFollowed(path string) string {
	return fmt.Sprintf("what followed in %s is gone: it was removed or overwritten while nobody followed it", path)
}

// takeLater takes what came after g, of which member number last of the family
// is the archive; -1 if there is none.
func (t *searching) takeLater(last int) {
	if !t.q.after || len(t.st.known) == 0 {
		return
	}
	m := &matching{from: t.st.shipment(t.g).number, st: t.st, reader: t.reader, remotes: slices.Clone(t.st.known), first: true, plain: t.q.newest, log: t.finder.s.log}
	if last < 0 {
		if !t.q.newest {
			return
		}
		m.remotes[len(m.remotes)-1].found = nil
	}
	_ = m.takeNewer(&t.family, last) // it asks nobody
	m.sortNew(&t.family)
}
