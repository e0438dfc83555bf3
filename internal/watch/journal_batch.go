package watch

import (
	"slices"
)

// unsaved is what of a session is not in the journal yet.
type unsaved struct {
	targets map[int]struct{}
	rules   map[string]struct{}
	kept    uint64 // all kept sightings up to this place are
	left    bool   // whether there is a call, and when the last one ended
	dropped *markRecord
}

func newUnsaved() unsaved {
	return unsaved{targets: map[int]struct{}{}, rules: map[string]struct{}{}}
}

// noteTarget has the journal take up what a pid of the session is now. w.mu is
// held.
func (w *Watcher) noteTarget(s *session, pid int) {
	if w.journal != nil {
		s.unsaved.targets[pid] = struct{}{}
		signal(w.journal.later)
	}
}

// noteRule has the journal take up what a rule remembers, or that its session
// has it no longer. What changes within one hold of w.mu comes to stand there
// together. w.mu is held.
func (w *Watcher) noteRule(r *rule) {
	if w.journal != nil {
		r.session.unsaved.rules[r.spec.Name] = struct{}{}
		signal(w.journal.later)
	}
}

// noteLeft has the journal take up whether the session has a call.
func (w *Watcher) noteLeft(s *session) {
	if w.journal != nil {
		s.unsaved.left = true
		signal(w.journal.later)
	}
}

// noteDropped has the journal take up that all kept sightings up to one are
// dropped.
func (w *Watcher) noteDropped(s *session, last *entry) {
	if w.journal != nil {
		s.unsaved.dropped = &markRecord{Run: text(last.sighting.Run), Number: last.sighting.Number}
		signal(w.journal.later)
	}
}

// noteKept has the journal take up a new kept sighting, now.
func (w *Watcher) noteKept() {
	if w.journal != nil {
		signal(w.journal.urgent)
	}
}

// noteForgotten has the journal forget a session.
func (w *Watcher) noteForgotten(s *session) {
	if w.journal != nil {
		w.forgotten = append(w.forgotten, s.asker)
		signal(w.journal.later)
	}
}

// batch is what belongs together in the journal: a state of everything, or the
// way from one to the next. It shares no memory that still changes.
type batch struct {
	boot      string
	forgotten []string
	sessions  []sessionBatch
	upTo      uint64 // the place of the last kept sighting there is
}

type sessionBatch struct {
	asker    string
	left     *leftRecord
	targets  []targetRecord
	untarget []int
	rules    []*ruleRecord
	unrule   []text
	kept     []entry
	dropped  *markRecord
}

// takeBatch takes what is to be written, and unmarks it.
func (w *Watcher) takeBatch(h how) *batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := &batch{boot: w.boot, forgotten: w.forgotten, upTo: w.place}
	w.forgotten = nil
	clock := readClock()
	for _, s := range w.sessions {
		if h == everything {
			s.markAll()
		}
		if taken := s.take(w.boot, clock); !taken.empty() {
			b.sessions = append(b.sessions, taken)
		}
		s.unsaved = newUnsaved()
		s.unsaved.kept = w.place
	}
	return b
}

// markAll marks all that there is. A file that begins with it needs no marks of
// what is gone.
func (s *session) markAll() {
	s.unsaved = newUnsaved()
	s.unsaved.left = true
	for pid, t := range s.targets {
		if t.lasting() {
			s.unsaved.targets[pid] = struct{}{}
		}
	}
	for name := range s.rules {
		s.unsaved.rules[name] = struct{}{}
	}
}

// take returns what is marked.
func (s *session) take(boot string, clock clock) sessionBatch {
	b := sessionBatch{asker: s.asker, dropped: s.unsaved.dropped}
	if s.unsaved.left {
		b.left = s.leftRecord(clock)
	}
	for pid := range s.unsaved.targets {
		if t := s.targets[pid]; t != nil && t.lasting() {
			b.targets = append(b.targets, t.record(boot))
		} else {
			b.untarget = append(b.untarget, pid)
		}
	}
	for name := range s.unsaved.rules {
		if r := s.rules[name]; r != nil {
			b.rules = append(b.rules, newRuleRecord(r))
		} else {
			b.unrule = append(b.unrule, text(name))
		}
	}
	first, _ := slices.BinarySearchFunc(s.kept, s.unsaved.kept+1, func(e entry, place uint64) int { return compare(e.place, place) })
	b.kept = s.kept[first:len(s.kept):len(s.kept)]
	return b
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func (s *session) leftRecord(clock clock) *leftRecord {
	if s.calls > 0 {
		return &leftRecord{}
	}
	return &leftRecord{Left: max(1, clock.wall(s.left).UnixNano())}
}

// lasting says whether the target's state is to outlive the agent.
func (t *target) lasting() bool { return t.state == targetHeld || t.state == targetEnded }

func (t *target) record(boot string) targetRecord {
	if t.state == targetHeld {
		return targetRecord{PID: t.held.id.PID, Start: t.held.id.Start, Name: text(t.held.name)}
	}
	return targetRecord{PID: t.last.id.PID, Start: t.last.id.Start, Boot: otherThan(boot, t.last.boot), Ended: true}
}

func (b *sessionBatch) empty() bool {
	return b.left == nil && b.dropped == nil &&
		len(b.targets)+len(b.untarget)+len(b.rules)+len(b.unrule)+len(b.kept) == 0
}

func (b *batch) empty() bool { return len(b.forgotten) == 0 && len(b.sessions) == 0 }

// write writes the batch and the line that makes it count.
func (b *batch) write(out *lineWriter) {
	for _, asker := range b.forgotten {
		out.line(&record{Forget: text(asker)})
	}
	clock := readClock()
	for i := range b.sessions {
		b.sessions[i].write(out, b.boot, clock)
	}
	out.line(&record{Done: true})
}

func (b *sessionBatch) write(out *lineWriter, boot string, clock clock) {
	asker := text(b.asker)
	if b.left != nil {
		out.line(&record{Asker: asker, Session: b.left})
	}
	for len(b.untarget) > 0 {
		n := min(len(b.untarget), 1000)
		out.line(&record{Asker: asker, Untarget: b.untarget[:n]})
		b.untarget = b.untarget[n:]
	}
	for i := range b.targets {
		out.line(&record{Asker: asker, Target: &b.targets[i]})
	}
	for _, name := range b.unrule {
		out.line(&record{Asker: asker, Unrule: name})
	}
	for _, r := range b.rules {
		out.line(&record{Asker: asker, Rule: r})
	}
	for i := range b.kept {
		out.line(&record{Asker: asker, Kept: newKeptRecord(&b.kept[i], boot, clock)})
	}
	if b.dropped != nil {
		out.line(&record{Asker: asker, Dropped: b.dropped})
	}
}
