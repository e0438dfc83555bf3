package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"dtc"
)

const (
	// maxHollow is how many bytes of holes one stream may have: nobody is to read
	// for ever what costs an agent nothing to claim.
	maxHollow = 4 << 40
	// tellHole is how long a hole is that an event tells of.
	tellHole = 1 << 20
)

// errTooLong says that the file system takes no file of that length.
var errTooLong = errors.New("no file may be as long on the monitor's disk")

// hole stores zeros that take no room.
func (att *attachment) hole(f *dtc.Frame) error {
	n := f.End - f.Offset
	if f.Offset < 0 || f.End > maxPosition || n <= 0 || n > dtc.MaxHole {
		return fmt.Errorf("%w: a hole that cannot be", errProtocol)
	}
	if f.Sum != dtc.ZeroSum(0, n) {
		return fmt.Errorf("%w: the checksum of a hole is wrong", errProtocol)
	}
	if !att.lock() {
		return nil
	}
	st := att.stream
	defer st.mu.Unlock()
	var refused error
	_ = st.update(func(c *replica) error { // on an error the stream waits, and the agent is told
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
		err := att.storeHole(c, g, f.End-g.position)
		if errors.Is(err, errTooLong) {
			refused, err = err, nil
		}
		return err
	})
	if refused != nil {
		return att.refuse(fmt.Sprintf("the source has holes that are too long: %v; leave the file out, or have it begun anew", refused))
	}
	return nil
}

// storeHole appends n zeros, and acknowledges: none if it is less than one.
func (att *attachment) storeHole(c *replica, g *generation, n int64) error {
	st := att.stream
	if n > 0 {
		if c.hollowAfter(n) > maxHollow {
			return fmt.Errorf("%w: more than %d TiB of them are not stored", errTooLong, int64(maxHollow)>>40)
		}
		if !st.store.disk.take(0) {
			return errFloor
		}
		before := c.receiving()
		if err := c.appendHole(g, n, st.holeEvent); err != nil {
			return err
		}
		st.stored()
		if before != nil && before != g {
			att.ack(before.number)
		}
	}
	att.ack(g.number)
	return nil
}

// holeEvent returns the records that tell of a hole of n bytes at the end of a
// generation.
func (st *stream) holeEvent(c *replica, g *generation, n int64) []entry {
	if n < tellHole {
		return nil
	}
	return st.eventFor(c, &eventEntry{
		state: dtc.StateHole, from: new(g.position), to: new(g.position + n),
		reason: fmt.Sprintf("%d bytes of the source were never written: they are zeros in the copy, and take no room there either", n),
	})
}

// refuse gives the stream up, for a reason that lasts. The stream's mutex is
// held.
func (att *attachment) refuse(why string) error {
	st, c := att.stream, att.conn
	if st.owner == att {
		st.owner = nil
	}
	att.refused = true
	delete(c.attached, att.number)
	c.store.tellRefused(st.folder, st.alias, c.peer, why)
	return c.out.push(dtc.Frame{Kind: dtc.FrameRefused, Stream: att.number, Text: why})
}

// appendHole is append for n zeros. tell makes the records that tell of them.
func (c *replica) appendHole(g *generation, n int64, tell func(*replica, *generation, int64) []entry) error {
	if err := c.ready(); err != nil {
		return err
	}
	if c.suspect > 0 {
		same, err := c.compareZeros(g, n)
		if err != nil || same == n {
			return err
		}
		n -= same
	}
	if err := c.rollIfFull(g, 0); err != nil {
		return err
	}
	if c.receiving() != g {
		if err := c.switchTo(g, g.position); err != nil {
			return err
		}
	}
	if err := c.confirm(); err != nil {
		return err
	}
	if err := c.noteArrival(); err != nil {
		return err
	}
	if c.length+n > c.holeEnd { // else a kill came after it had been written down
		entries := []entry{&holeEntry{c.length, n}}
		if c.length >= c.holeEnd {
			entries = append(entries, tell(c, g, n)...)
		}
		if err := c.record(entries...); err != nil {
			return err
		}
	}
	return c.extend(g, n)
}

// raceTries is how often a hole is tried while somebody else changes the data
// file at the same moment.
const raceTries = 4

// extend makes the data file n zeros longer, between a live slot that says what
// is about to happen and a look at what did.
func (c *replica) extend(g *generation, n int64) error {
	for range raceTries {
		if err := c.writeLive(n); err != nil {
			return err
		}
		makeSparse(c.data)
		err := c.data.Truncate(c.size + n)
		st, statErr := statOf(c.data)
		switch {
		case statErr != nil:
			return errors.Join(err, statErr)
		case err != nil && isTooLong(err) && st.size == c.size:
			return errors.Join(fmt.Errorf("%w: %w", errTooLong, err), c.writeLive(0))
		case err != nil:
			return err
		}
		// Only what others wrote before it is not zero now.
		clean, err := isZero(c.data, c.size, min(n, dtc.MarkerSize, max(st.size-c.size, 0)))
		if err != nil {
			return err
		}
		if !clean {
			if err := c.adoptSize(changeGrown, st.size); err != nil {
				return err
			}
			continue
		}
		c.size += n
		c.hollow += n
		c.advanceZeros(g, n)
		switch {
		case st.size < c.size:
			return c.adoptSize(changeCut, st.size)
		case st.size > c.size:
			return c.adoptSize(changeGrown, st.size)
		}
		return nil
	}
	return fmt.Errorf("make %s longer: somebody else writes to it all the time", c.dataPath())
}

// advanceZeros counts zeros of the receiving generation that are in the data
// file.
func (c *replica) advanceZeros(g *generation, n int64) {
	if n == 0 {
		return
	}
	c.length += n
	g.sum = dtc.ZeroSum(g.sum, n)
	g.position = c.position(c.length)
	c.touch()
}

// compareZeros is compare for n zeros.
func (c *replica) compareZeros(g *generation, n int64) (int64, error) {
	if g != c.receiving() {
		return 0, c.cutSuspect()
	}
	n = min(n, c.suspect)
	from := c.size - c.suspect
	end, err := zerosTo(c.data, from, from+n)
	if err != nil {
		return 0, err
	}
	same := end - from
	c.suspect -= same
	c.advanceZeros(g, same)
	if same < n {
		return same, c.cutSuspect()
	}
	if c.suspect == 0 {
		return same, c.confirm()
	}
	return same, nil
}

// holeEntry counts a hole of n bytes from a logical position on, before it is
// made. What was counted before does not count again.
type holeEntry struct{ base, n int64 }

func (*holeEntry) kind() kind            { return kindHole }
func (e *holeEntry) put(b []byte) []byte { return putInt(putInt(b, e.base), e.n) }

func (e *holeEntry) applyTo(m *model) error {
	end := e.base + e.n
	if end > maxPosition {
		return errRecord
	}
	if end > m.holeEnd {
		m.hollowBytes += end - max(e.base, m.holeEnd)
		m.holeEnd = end
	}
	return nil
}

// hollowAfter returns how many bytes of the stream are holes when n more have
// come.
func (c *replica) hollowAfter(n int64) int64 {
	return c.hollowBytes + max(0, c.length+n-max(c.length, c.holeEnd))
}

// zeroBlock is how many bytes are looked at at a time.
const zeroBlock = 64 << 10

// zerosTo returns the first position in [from, to) of a file that is not zero,
// to if there is none.
func zerosTo(f io.ReaderAt, from, to int64) (int64, error) {
	buf := make([]byte, min(zeroBlock, max(to-from, 0)))
	for from < to {
		b := buf[:min(int64(len(buf)), to-from)]
		if _, err := f.ReadAt(b, from); err != nil {
			return from, err
		}
		if rest := bytes.TrimLeft(b, "\x00"); len(rest) > 0 {
			return from + int64(len(b)-len(rest)), nil
		}
		from = holeTo(f, from+int64(len(b)), to)
	}
	return to, nil
}

// isZero tells whether n bytes of a file are zero.
func isZero(f io.ReaderAt, from, n int64) (bool, error) {
	end, err := zerosTo(f, from, from+n)
	return end == from+n, err
}

// holeTo returns where the hole ends that begins at from in a file, at most to;
// from itself if none begins there. It is asked for only behind zeros.
func holeTo(f io.ReaderAt, from, to int64) int64 {
	if r, ok := f.(contextReader); ok {
		f = r.ReaderAt
	}
	file, ok := f.(*os.File)
	if !ok || from >= to {
		return from
	}
	return dataFrom(file, from, to)
}
