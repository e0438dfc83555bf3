package logs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"dtc"
)

// teller tells events, in the order in which each stream wrote them down.
type teller struct {
	mu     sync.Mutex
	queue  []*stream
	in     map[*stream]bool
	direct []directEvent
	lost   int // direct events that found no place
	wake   chan struct{}
}

// directEvent is an event that no side record holds.
type directEvent struct {
	folder string
	event  dtc.Event
}

// maxDirect bounds the direct events that wait.
const maxDirect = 10_000

func (t *teller) add(st *stream) {
	t.put(st)
	signal(t.wake)
}

// put is add for the teller itself.
func (t *teller) put(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in == nil {
		t.in = map[*stream]bool{}
	}
	if !t.in[st] {
		t.in[st] = true
		t.queue = append(t.queue, st)
	}
}

func (t *teller) addDirect(folder string, e dtc.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.direct) >= maxDirect {
		t.lost++
		return
	}
	t.direct = append(t.direct, directEvent{folder, e})
	signal(t.wake)
}

func (t *teller) take() (queue []*stream, direct []directEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue, direct = t.queue, t.direct
	t.queue, t.direct = nil, nil
	clear(t.in)
	return queue, direct
}

// tellAgain is how long after a failure the teller tries again.
const tellAgain = time.Second

// runTeller tells events until ctx is done. First it looks at every stream
// once: a crash may have left events that nobody was told of.
func (s *Store) runTeller(ctx context.Context) {
	s.lookAtAll(ctx)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(time.Hour)
		if !s.tell() {
			timer.Reset(tellAgain)
		}
		select {
		case <-ctx.Done():
			s.tell()
			return
		case <-timer.C:
		case <-s.teller.wake:
		}
	}
}

// lookAtAll loads every stream once, which finds what was changed while the
// monitor was away, and the events that were not told.
func (s *Store) lookAtAll(ctx context.Context) {
	s.mu.Lock()
	all := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		all = append(all, st)
	}
	s.mu.Unlock()
	for _, st := range all {
		if ctx.Err() != nil {
			return
		}
		st.mu.Lock()
		if st.made && st.pause == "" && st.c == nil {
			_ = st.update(func(*replica) error { return nil }) // an error makes the stream wait, and is told there
		}
		st.mu.Unlock()
	}
}

// tell tells what waits; what could not be told waits on, and false is the
// answer.
func (s *Store) tell() bool {
	queue, direct := s.teller.take()
	ok := true
	for i, d := range direct {
		if err := s.opts.Report(d.folder, d.event); err != nil {
			s.log.Error("record event", "folder", d.folder, "alias", d.event.Alias, "error", err)
			s.teller.mu.Lock()
			s.teller.direct = append(direct[i:len(direct):len(direct)], s.teller.direct...)
			s.teller.mu.Unlock()
			ok = false
			break
		}
	}
	for _, st := range queue {
		if err := s.tellStream(st); err != nil {
			s.log.Error("record event", "copy", st.dataPath(), "error", err)
			s.teller.put(st)
			ok = false
		}
	}
	return ok
}

// tellStream tells the events of one stream.
func (s *Store) tellStream(st *stream) error {
	st.mu.Lock()
	c, err := st.open()
	if err != nil {
		st.mu.Unlock()
		return nil // it comes again when the stream can be loaded
	}
	events := append([]*eventEntry(nil), c.events...)
	id := c.header.id
	st.mu.Unlock()
	var told uint64
	for _, e := range events {
		if err = s.opts.Report(st.folder, st.newEvent(eventID(id, e.seq), e)); err != nil {
			break
		}
		told = e.seq
	}
	if told == 0 {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return errors.Join(err, st.update(func(c *replica) error {
		c.touch()
		return c.record(&toldEntry{told})
	}))
}

// randomID is an id for what has none of its own.
func randomID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// eventID is the id of an event that a side record holds.
func eventID(stream string, seq uint64) string { return fmt.Sprintf("%s-%d", stream, seq) }

// stableID is the id of an event that is the same whenever it is noticed.
func stableID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// tellDamage tells that a side record cannot be used.
func (s *Store) tellDamage(st *stream) {
	s.log.Error("side record cannot be used; its stream is refused", "copy", st.dataPath(), "error", st.damage)
	s.teller.addDirect(st.folder, st.newEvent(stableID("damage", st.folder, st.alias, st.damage.Error()), &eventEntry{
		time: s.opts.Now(), state: dtc.StateRefused,
		reason: fmt.Sprintf("its side record cannot be used (%v): nothing is written until it is put right or the copy and it are moved away", st.damage),
	}))
}

// tellRefused tells that an agent may not have a stream.
func (s *Store) tellRefused(folder, alias string, peer dtc.Peer, why string) {
	s.teller.addDirect(folder, dtc.Event{
		ID: stableID("refused", folder, alias, peer.ID, why), Time: s.opts.Now(), Kind: dtc.EventLog, State: dtc.StateRefused,
		Alias: alias, Reason: why,
	})
}

// tellRivals tells that two agents run with one certificate.
func (s *Store) tellRivals(folder string, peer dtc.Peer) {
	s.teller.addDirect(folder, dtc.Event{
		ID: stableID("rivals", folder, peer.ID, randomID()), Time: s.opts.Now(), Kind: dtc.EventLog, State: dtc.StateRefused,
		Reason: fmt.Sprintf("two agents run with the certificate of the agent %s: the one that connected last ships its files, "+
			"the other waits; stop one, or give it a certificate of its own with dtc invite", peer.ID),
	})
}

// Limits of what one agent's frames may have told as events: more than any
// host does that is in order.
const (
	budgetEvents = 20_000
	budgetEvery  = time.Second
)

// budget is a bucket of events that refills with time.
type budget struct {
	spent int
	at    time.Time
}

// allow takes one event out of an agent's budget.
func (s *Store) allow(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, now := &s.peer(peer).budget, s.opts.Now()
	if back := int(now.Sub(b.at) / budgetEvery); back > 0 || b.at.IsZero() {
		b.spent = max(0, b.spent-max(back, 0))
		b.at = now
	}
	if b.spent >= budgetEvents {
		return false
	}
	b.spent++
	return true
}
