package logs

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"

	"dtc"
)

// The frames of a stream that its connection still has. Each of these runs in
// the connection's goroutine.

// lock takes the stream if the connection still has it and it does not wait.
// Where it answers false nothing is locked, and the frame is dropped.
func (att *attachment) lock() bool {
	st := att.stream
	st.mu.Lock()
	if st.owner == att && st.pause == "" && st.made {
		return true
	}
	if !st.made {
		att.want(wantState) // nothing was declared yet
	}
	st.mu.Unlock()
	return false
}

// lockOnce is lock for a frame that the agent does not repeat: it is sent the
// state when the stream goes on.
func (att *attachment) lockOnce() bool {
	if att.lock() {
		return true
	}
	st := att.stream
	st.mu.Lock()
	st.missed = true
	st.mu.Unlock()
	return false
}

// open declares a generation.
func (att *attachment) open(f *dtc.Frame) error {
	if len(f.Data) > dtc.MaxIdentity || f.Offset < 0 || f.Offset > maxPosition {
		return fmt.Errorf("%w: an open that cannot be", errProtocol)
	}
	st := att.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.owner != att || st.pause != "" {
		st.missed = true
		return nil
	}
	if !st.made && !att.makeStream(f) {
		return nil
	}
	st.try(func(c *replica) error {
		if g := c.find(f.Generation); g != nil {
			if !bytes.Equal(g.identity, f.Data) {
				att.want(wantState)
			}
			return nil
		}
		if f.Generation != c.highest()+1 {
			att.want(wantState)
			return nil
		}
		return st.addGeneration(c, f)
	})
	return nil
}

// makeStream makes a stream for its first generation.
func (att *attachment) makeStream(f *dtc.Frame) bool {
	if f.Generation != 1 {
		att.want(wantState)
		return false
	}
	return att.makeNow()
}

// makeNow makes a stream.
func (att *attachment) makeNow() bool {
	st := att.stream
	if err := st.make(); err != nil {
		st.missed = true
		st.fail(err)
		return false
	}
	if c, err := st.open(); err == nil {
		c.fresh = true // the record's name is not safe yet
	}
	return true
}

// try is update for a frame that the agent does not repeat.
func (st *stream) try(f func(*replica) error) {
	if err := st.update(f); err != nil {
		st.missed = true
	}
}

// addGeneration writes a new generation down. Nothing depends on it until it
// has bytes; only where a copy does not begin at 0 it must be known for ever.
func (st *stream) addGeneration(c *replica, f *dtc.Frame) error {
	entries := st.retire(c)
	g := &generation{
		number: f.Generation, identity: bytes.Clone(f.Data),
		start: f.Offset, position: f.Offset, end: -1,
	}
	entries = append(entries, g)
	if f.Offset > 0 {
		return c.commit(entries...)
	}
	c.touch()
	return c.record(entries...)
}

// retire ends the oldest open generation when there are too many of them.
func (st *stream) retire(c *replica) []entry {
	open := 0
	var oldest *generation
	for _, g := range c.generations {
		if g.sealed() {
			continue
		}
		open++
		if oldest == nil && g != c.receiving() {
			oldest = g
		}
	}
	if open < maxOpen || oldest == nil {
		return nil
	}
	c.prove(oldest)
	oldest.end = oldest.position
	oldest.flags |= flagLost
	return st.eventFor(c, &eventEntry{
		state: dtc.StateGap, from: new(oldest.position),
		reason: fmt.Sprintf("more than %d generations of the source are open: the oldest is given up", maxOpen),
	}, oldest)
}

// eventFor returns the records with one for an event behind them, if the agent
// has not had too many told.
func (st *stream) eventFor(c *replica, e *eventEntry, entries ...entry) []entry {
	if !st.store.allow(st.peer) {
		st.muted++
		return entries
	}
	if st.muted > 0 {
		e.reason = cut(fmt.Sprintf("%s (and %d more events of this stream that were too many to tell)", e.reason, st.muted), 2*dtc.MaxText)
		st.muted = 0
	}
	e.seq, e.time = c.eventSeq+1, c.now()
	return append(entries, e)
}

// Acknowledgments are sent when the agent pauses, and at least this often.
const (
	ackChunks = 16
	ackBytes  = 1 << 20
)

// append stores bytes.
func (att *attachment) append(f *dtc.Frame) error {
	if f.Offset < 0 || f.Offset > maxPosition || len(f.Data) > dtc.MaxChunk {
		return fmt.Errorf("%w: an append that cannot be", errProtocol)
	}
	if crc32.Checksum(f.Data, castagnoli()) != f.Sum {
		return fmt.Errorf("%w: the checksum of an append is wrong", errProtocol)
	}
	if !att.lock() {
		return nil
	}
	st := att.stream
	defer st.mu.Unlock()
	err := st.update(func(c *replica) error {
		g := c.find(f.Generation)
		if g == nil {
			att.want(wantState)
			return nil
		}
		if f.Offset > g.position {
			if !att.nacked[g.number] {
				att.goBack(g.number)
			}
			return nil
		}
		delete(att.nacked, g.number)
		data, sum := f.Data[min(g.position-f.Offset, int64(len(f.Data))):], f.Sum
		if len(data) < len(f.Data) {
			sum = crc32.Checksum(data, castagnoli())
		}
		return att.store(c, g, data, sum)
	})
	_ = err // the stream waits then, and the agent is told
	return nil
}

// goBack tells the agent, once until it does, to go on where the copy ends.
func (att *attachment) goBack(generation uint64) {
	if att.nacked == nil {
		att.nacked = map[uint64]bool{}
	}
	att.nacked[generation] = true
	att.nack(generation)
}

// store appends the bytes that the copy does not have, and acknowledges.
func (att *attachment) store(c *replica, g *generation, data []byte, sum uint32) error {
	if len(data) > 0 {
		if !att.stream.store.disk.take(len(data)) {
			return errFloor
		}
		before := c.receiving()
		if err := c.append(g, data, sum); err != nil {
			return err
		}
		att.stream.stored()
		if before != nil && before != g {
			att.ack(before.number)
		}
	}
	att.bytes += int64(len(data))
	att.chunks++
	if att.chunks >= ackChunks || att.bytes >= ackBytes {
		att.bytes, att.chunks = 0, 0
		att.ack(g.number)
		return nil
	}
	att.ackLater(g.number, int64(len(data)))
	return nil
}

// seal ends a generation whose bytes have all arrived.
func (att *attachment) seal(f *dtc.Frame) error {
	if !att.lockOnce() {
		return nil
	}
	st := att.stream
	defer st.mu.Unlock()
	st.try(func(c *replica) error {
		g := c.find(f.Generation)
		switch {
		case g == nil:
			att.want(wantState)
			return nil
		case g.sealed() && g.end == f.End:
			att.ack(g.number)
			return nil
		case g == c.receiving() && c.suspect > 0:
			if err := st.proveSuspect(c, g, f); err != nil {
				return err
			}
		}
		if g.position < f.End {
			att.nack(g.number)
			return nil
		}
		att.ack(g.number)
		return c.commit(st.sealed(c, g, f)...)
	})
	return nil
}

// proveSuspect takes what a power loss left behind the end if the checksum of
// the whole generation proves it.
func (st *stream) proveSuspect(c *replica, g *generation, f *dtc.Frame) error {
	if f.End != g.position+c.suspect || g.flags&flagSumBroken != 0 {
		return nil // a position before the end is answered by a nack
	}
	sum, err := c.sumSuspect(g.sum)
	if err != nil || sum != f.Sum {
		return err
	}
	return c.takeSuspect(c.suspect)
}

// sealed returns the records of the end of a generation.
func (st *stream) sealed(c *replica, g *generation, f *dtc.Frame) []entry {
	c.prove(g)
	g.end = g.position
	g.flags &^= flagLost | flagDiffers
	var why string
	switch {
	case g.position > f.End:
		why = fmt.Sprintf("the source ended at byte %d, but the copy goes on to %d", f.End, g.position)
	case g.flags&flagSumBroken == 0 && g.sum != f.Sum:
		why = fmt.Sprintf("the copy's checksum %08x is not the source's %08x: see dtc logs verify", g.sum, f.Sum)
	default:
		return []entry{g}
	}
	g.flags |= flagDiffers
	return st.eventFor(c, &eventEntry{state: dtc.StateCorrupt, from: new(g.start), to: new(g.position), reason: why}, g)
}

// gap records that bytes of the source are lost.
func (att *attachment) gap(f *dtc.Frame) error {
	if f.Offset < 0 || f.Offset > maxPosition || f.End > maxPosition || f.End < dtc.Absent || len(f.Text) > dtc.MaxText {
		return fmt.Errorf("%w: a gap that cannot be", errProtocol)
	}
	if !att.lockForGap(f) {
		return nil
	}
	st := att.stream
	defer st.mu.Unlock()
	st.try(func(c *replica) error {
		if f.Generation == 0 {
			return st.gapSomewhere(c, f)
		}
		g := c.find(f.Generation)
		if g == nil {
			att.want(wantState)
			return nil
		}
		return att.gapIn(c, g, f)
	})
	return nil
}

// gapSomewhere records a gap of which nobody knows the generation. An agent
// that does not know whether that was recorded says it again.
func (st *stream) gapSomewhere(c *replica, f *dtc.Frame) error {
	key := gapEntry{f.Offset, f.End, crc32.Checksum([]byte(f.Text), castagnoli())}
	if slices.Contains(c.gaps, key) {
		return nil
	}
	return c.commit(st.eventFor(c, gapEvent(f, f.Offset), &key)...)
}

func gapEvent(f *dtc.Frame, from int64) *eventEntry {
	e := &eventEntry{state: dtc.StateGap, from: new(from), reason: f.Text}
	if f.End >= 0 {
		e.to = new(f.End)
	}
	return e
}

// gapIn records a gap in a generation that is known.
func (att *attachment) gapIn(c *replica, g *generation, f *dtc.Frame) error {
	st := att.stream
	if g == c.receiving() {
		// What nobody can send again is kept, proven or not.
		if err := c.ready(); err != nil {
			return err
		}
		if err := c.keepSuspect(); err != nil {
			return err
		}
	}
	from := max(f.Offset, g.position)
	switch {
	case f.Offset > g.position:
		att.nack(g.number)
		return nil
	case f.End < 0 && g.sealed() && g.flags&flagLost != 0:
		return nil // it was told
	case f.End < 0:
		c.prove(g)
		g.end = g.position
		g.flags |= flagLost
		return c.commit(st.eventFor(c, gapEvent(f, from), g)...)
	case f.End <= g.position:
		return nil // the copy has them
	}
	g.flags |= flagSumBroken
	g.end = f.End // whose end is lost has nothing more, also if the agent cannot say so any more
	entries := st.eventFor(c, gapEvent(f, from))
	defer att.ack(g.number)
	return c.switchTo(g, f.End, entries...)
}

// rewind goes on from an earlier position of the source.
func (att *attachment) rewind(f *dtc.Frame) error {
	if f.Offset < 0 || len(f.Text) > dtc.MaxText {
		return fmt.Errorf("%w: a rewind that cannot be", errProtocol)
	}
	if !att.lockOnce() {
		return nil
	}
	st := att.stream
	defer st.mu.Unlock()
	st.try(func(c *replica) error {
		g := c.find(f.Generation)
		if g == nil || f.Offset < g.start || f.Offset > g.position {
			att.want(wantState)
			return nil
		}
		if f.Offset == g.position {
			return nil
		}
		from, to := f.Offset, g.position
		g.flags |= flagSumBroken
		g.end = -1
		defer att.ack(g.number)
		return c.switchTo(g, f.Offset, st.eventFor(c, &eventEntry{
			state: dtc.StateRewound, from: &from, to: &to, reason: f.Text,
		}, &rewindEntry{g.number, to, from})...)
	})
	return nil
}

// size notes how long the source is.
func (att *attachment) size(f *dtc.Frame) error {
	if f.Offset < 0 || f.End < 0 || f.Offset > maxPosition || f.End > maxPosition {
		return fmt.Errorf("%w: a size that cannot be", errProtocol)
	}
	st := att.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.owner == att {
		st.source = sourceSize{f.Generation, f.Offset, f.End, true}
	}
	return nil
}
