package ship

import (
	"fmt"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/follow"
)

// tellLosses tells of bytes that were destroyed before they were read, again
// and again until that is known to have been heard.
func (x *session) tellLosses(st *stream) {
	declared, ended := true, true // all generations before this one
	for _, g := range st.chain.Generations {
		sh := st.shipment(g)
		turn := sh.number != 0 || ended // its bytes must not overtake those before them
		declared = declared && (sh.number != 0 || len(g.Losses) > 0 && turn)
		ended = ended && (sh.sealed || sh.over)
		if sh.lossesTold > 0 && x.pong.Load() >= sh.lossesPing {
			g.Losses = g.Losses[sh.lossesHeard():]
			sh.lossesTold = 0
		}
		if sh.lossesTold > 0 || len(g.Losses) == 0 || !declared {
			continue // told on this connection, or it cannot be yet
		}
		x.open(st, sh)
		for _, l := range g.Losses {
			x.send(st, x.lossFrame(sh, l))
			x.log.Warn("bytes of a followed file were destroyed before they could be read",
				"path", st.path, "alias", st.alias, "from", l.From, "to", l.To)
		}
		sh.lossesTold, sh.lossesPing, sh.lastLoss = len(g.Losses), x.ping+1, g.Losses[len(g.Losses)-1]
		x.needPing = true
		st.wakeAt(time.Now().Add(pingBusy))
	}
}

// lossesHeard returns how many of the losses that were told need not be told
// again: all but the last one, if more became one with it since.
func (sh *shipment) lossesHeard() int {
	n := min(sh.lossesTold, len(sh.Losses))
	if n > 0 && sh.Losses[n-1] != sh.lastLoss {
		n--
	}
	return n
}

func (x *session) lossFrame(sh *shipment, l follow.Loss) dtc.Frame {
	what := "cut, and written on, before bytes that were there could be read: " + sh.Origin.Path
	if x.features&dtc.FeatureNotes != 0 {
		return dtc.Frame{Kind: dtc.FrameLost, Generation: sh.number, Offset: l.From, End: l.To, Text: clip(what)}
	}
	return dtc.Frame{
		Kind: dtc.FrameGap, Offset: l.From, End: l.To,
		Text: clip(fmt.Sprintf("of generation %d bytes %d to %d: %s", sh.number, l.From, l.To, what)),
	}
}

// passage counts, by what the system tells, the files that were made at a path
// and had left it before anyone looked. Guarded by the Shipper's dmu.
type passage struct {
	fresh bool      // what was made there last is there still
	gone  int       // files that were made there and left since the last rest
	moved time.Time // when the last of it was heard; zero: nothing since the last rest
	clean uint64    // the chain's count of files at the last rest
	files uint64    // the same at the last look
	grew  time.Time // when it was another one
}

const (
	// restAfter is how long nothing must have been heard of a path until what
	// was made there and what was opened is compared.
	restAfter = time.Second
	// maxMissed bounds what waits to be told.
	maxMissed = 16
)

// missed is what is to be told of files that nobody could open.
type missed struct {
	text    string
	session *session // on which it was told; nil: on none
	ping    uint64   // of that, after whose answer it is known to have been heard
}

// note takes note of what the system told of the path.
func (p *passage) note(how follow.How, now time.Time) {
	if p.moved.IsZero() && now.Sub(p.grew) >= restAfter {
		p.clean = p.files
	}
	switch how {
	case follow.Made:
		p.fresh, p.moved = true, now
	case follow.Left, follow.Replaced:
		if p.fresh {
			p.gone++
		}
		p.fresh, p.moved = false, now
	case follow.Other:
	}
}

// rest returns how many files were made and left without being opened, once
// nothing has moved and no file was opened for a while: what was heard and what
// was seen is of the same files then. Else it returns when to ask again. files
// is the chain's count, here how many files are at the path.
func (p *passage) rest(files uint64, here int, now time.Time) (missed int, wait time.Duration) {
	if files != p.files {
		p.files, p.grew = files, now
	}
	if p.moved.IsZero() {
		return 0, 0
	}
	last := p.moved
	if p.grew.After(last) {
		last = p.grew
	}
	if wait := restAfter - now.Sub(last); wait > 0 {
		return 0, wait
	}
	opened := int(min(files-p.clean, 1<<20))
	if p.fresh { // what was opened and is there still did not leave
		opened = max(opened-here, 0)
	}
	missed = max(p.gone-opened, 0)
	p.fresh, p.gone, p.moved, p.clean = false, 0, time.Time{}, files
	return missed, 0
}

// heedPath counts what the system told of the very path of a stream.
func (s *Shipper) heedPath(st *stream, e *follow.Event) {
	if e.How == follow.Other || filepath.Join(e.Folder, e.Name) != st.path {
		return
	}
	s.dmu.Lock()
	st.passage.note(e.How, time.Now())
	s.dmu.Unlock()
}

// forgetPassages starts counting anew, for events are missing; the caller holds
// s.mu.
func (s *Shipper) forgetPassages() {
	s.dmu.Lock()
	defer s.dmu.Unlock()
	for _, st := range s.streams {
		st.passage.moved, st.passage.gone, st.passage.fresh = time.Time{}, 0, false
	}
}

// countPassed compares what was made at the path with what was opened, after a
// look that missed nothing; the caller holds st's lock. It reports whether there
// is something to tell, or when to look again.
func (s *Shipper) countPassed(st *stream, now time.Time) (bool, time.Duration) {
	if st.awaitsArrivals() { // what was not opened may be in there
		return false, restAfter
	}
	s.dmu.Lock()
	defer s.dmu.Unlock()
	p := &st.passage
	if g := st.chain.Current(); g != nil && (len(g.File.Via()) > 0 || g.File.Remote()) {
		// What is made at the path is a link, or others make it.
		*p = passage{clean: st.chain.Files(), files: st.chain.Files()}
		return false, 0
	}
	moved := p.moved
	here := 0
	if st.chain.Current() != nil {
		here = 1
	}
	n, wait := p.rest(st.chain.Files(), here, now)
	if n == 0 {
		return false, wait
	}
	what := "a file was made and removed, or moved away, at %s before it could be opened"
	if n > 1 {
		what = fmt.Sprintf("%d files were made and removed, or moved away, at %%s before they could be opened", n)
	}
	st.miss(fmt.Sprintf(what+", up to %s", st.path, moved.UTC().Format(time.RFC3339Nano)))
	s.log.Warn("files were made and removed before they could be opened", "path", st.path, "alias", st.alias, "files", n)
	return true, 0
}

// tellMissed tells of files that nobody could open, until that is known to have
// been heard.
func (x *session) tellMissed(st *stream) {
	heard := 0
	for i := range st.missed {
		m := &st.missed[i]
		switch {
		case m.session != x:
			x.send(st, dtc.Frame{Kind: dtc.FrameGap, End: dtc.Absent, Text: clip(m.text)})
			m.ping, m.session = x.ping+1, x
			x.needPing = true
			st.wakeAt(time.Now().Add(pingBusy))
		case x.pong.Load() >= m.ping:
			heard++
		}
	}
	st.missed = st.missed[heard:]
}
