package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"dtc"
)

// sideRemoved tells of a side record that is not there any more.
const sideRemoved = "somebody removed the side record of the copy, or replaced it; it was written anew, nothing of it is lost"

// checkSide looks whether the name of the side record still leads to the open
// one. Where somebody removed or replaced that it is written anew, with all
// that is known, so that a restart knows it too.
func (c *replica) checkSide() error {
	if c.leadsPlainly(c.side, c.sidePath()) {
		return nil
	}
	there, err := c.root.Lstat(c.sidePath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		open, err := c.side.Stat()
		if err != nil || os.SameFile(open, there) {
			return err
		}
	}
	if err := makeFolder(c.root, c.folder); err != nil {
		return err
	}
	c.touch()
	return c.anew(c.event(dtc.StateChanged, nil, nil, sideRemoved))
}

// anew is compact with some records more, which are safe then.
func (c *replica) anew(entries ...entry) error {
	for _, e := range entries {
		if err := e.applyTo(&c.model); err != nil {
			return fmt.Errorf("write %s: %w", c.sidePath(), err)
		}
	}
	return c.compact()
}

// guardEvery is how often the side records of copies that get no bytes are
// looked after, guardTurns in how many turns all of them are, guardLeast and
// guardMost how many of them at least and at most at a time, and guardAll each
// how manieth time those that are not loaded.
const (
	guardEvery = time.Second
	guardTurns = 10
	guardLeast = 64
	guardMost  = 256
	guardAll   = 30
)

// runGuard looks after the side records of loaded streams until ctx is done.
func (s *Store) runGuard(ctx context.Context) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for round, turn := 1, 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if round%guardAll == 0 {
			guardThem(s.named(nil))
			continue
		}
		s.mu.Lock()
		all := s.all()
		s.mu.Unlock()
		if turn >= len(all) {
			turn = 0
		}
		end := min(turn+min(max(guardLeast, len(all)/guardTurns), guardMost), len(all))
		guardThem(all[turn:end])
		turn = end
	}
}

// guardThem looks after the side records of streams that are not in use.
func guardThem(all []*stream) {
	for _, st := range all {
		if st.mu.TryLock() {
			st.guard()
			st.mu.Unlock()
		}
	}
}

// guardData is how long nothing looks after the data file of a copy that gets no
// bytes.
const guardData = 10 * time.Second

// guard writes the side record of a stream anew if somebody removed or moved it,
// and has what somebody did to the copy told.
func (st *stream) guard() {
	if st.removed() {
		_ = st.update(func(*replica) error { return nil }) // on an error it waits, as below
	}
	if st.c == nil || st.pause != "" {
		return
	}
	if !st.c.leads(st.c.side, st.sidePath()) {
		_ = st.update((*replica).checkSide) // the stream waits then, and its agent is told
	}
	c := st.c
	if c == nil || c.data == nil || c.now().Sub(c.looked) < guardData {
		return
	}
	now, err := statOf(c.data)
	if err != nil || now.size != c.size || !c.leads(c.data, c.dataPath()) {
		_ = st.update((*replica).ready)
		return
	}
	c.looked = c.now()
}

// leads tells whether a name leads to an open file.
func (c *replica) leads(f *os.File, name string) bool {
	if c.leadsPlainly(f, name) {
		return true
	}
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := c.root.Lstat(name)
	return err == nil && os.SameFile(open, there)
}

// takeOver gives an agent the stream of one whose certificate counts no more,
// with all that the copy holds.
func (s *Store) takeOver(st *stream, peer dtc.Peer) (*stream, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.mend(peer.ID)
	switch old := st.peer; {
	case old == "":
		return nil, fmt.Errorf("the side record of %s cannot be used, put it right, or move the copy and it away: %w", st.dataPath(), st.damage)
	case old == peer.ID:
		return st, nil // another connection was quicker
	case s.opts.Valid(old):
		return nil, fmt.Errorf("the alias %q in %s belongs to the agent %s; give the file another alias, or revoke that agent first",
			st.alias, st.folder, old)
	}
	if s.crowded(peer.ID) {
		return nil, errMany
	}
	if st.damage != nil {
		return nil, fmt.Errorf("the side record of %s cannot be used: %w", st.dataPath(), st.damage)
	}
	if st.owner != nil {
		st.owner.want(wantFenced)
		st.owner = nil
	}
	if st.made {
		err := st.update(func(c *replica) error { return c.inherit(peer.ID) })
		if err != nil {
			return nil, fmt.Errorf("take over the alias %q in %s: %w", st.alias, st.folder, err)
		}
	}
	st.source = sourceSize{}
	s.rename(st, peer.ID)
	s.log.Info("stream goes over to another agent", "copy", st.dataPath(), "agent", peer.ID)
	return st, nil
}

// inherit writes down that another agent has the stream.
func (c *replica) inherit(peer string) error {
	old := c.header.peer
	if old == peer {
		return nil // written already, before something failed
	}
	if err := makeFolder(c.root, c.folder); err != nil {
		return err
	}
	c.header.peer = peer
	c.touch()
	return c.anew(c.event(dtc.StateChanged, nil, nil, fmt.Sprintf(
		"the agent %s, whose certificate counts no more, had this stream: the agent %s goes on with it where it was", old, peer)))
}

// crowded tells whether an agent may have no more streams.
func (s *Store) crowded(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer(peer).streams >= dtc.MaxStreams
}

// rename puts a stream under the name of another agent into the tables. The
// stream's mutex is held.
func (s *Store) rename(st *stream, peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, ownerKey{st.peer, fold(st.alias)})
	s.peer(st.peer).streams--
	st.peer = peer
	s.enter(st)
}
