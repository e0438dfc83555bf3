package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// compactAt is how long a journal may get before it is written anew, and
// compactTimes how many times longer than it was after the last time.
const (
	compactAt    = 256 << 10
	compactTimes = 2
)

// bloated tells whether the journal is large compared with what it says.
func (c *replica) bloated() bool {
	return c.journal > compactAt && c.journal > compactTimes*c.compacted
}

// compact writes the side record anew, without what no longer counts.
func (c *replica) compact() error {
	b, err := readSide(c.side)
	if err != nil {
		return err
	}
	// The arrivals are not kept in memory; everything else is.
	s, err := parseSide(b, withArrivals)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.sidePath(), err)
	}
	m := c.model
	m.arrivals = s.arrivals
	image := encodeSide(m.compact(c.now().Unix()), s.durable, s.live)
	f, err := replaceSide(&c.place, c.side, image)
	if err != nil {
		return err
	}
	_ = c.retire(c.side) // it was read only since, or is closed already
	c.side, c.journal, c.synced = f, int64(len(image)), int64(len(image))
	c.compacted = c.journal
	return nil
}

// encodeSide returns a whole side record.
func encodeSide(entries []entry, slots ...slot) []byte {
	b := make([]byte, journalStart)
	copy(b, encodeSuper())
	for _, e := range entries {
		b = appendRecord(b, e)
	}
	for kind, s := range slots {
		if s.seq > 0 {
			s.synced = int64(len(b))
			copy(b[slotAt(kind, s.seq):], s.encode(nil))
		}
	}
	return b
}

// replaceSide puts a new side record in the place of the old one, in one step
// that a power loss does not split. The new file is open and locked.
func replaceSide(p *place, old *os.File, image []byte) (f *os.File, err error) {
	temporary := p.sidePath() + ".tmp"
	if err := p.root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err = createPlain(p.root, temporary, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := lockFile(f); err != nil {
		return nil, err
	}
	if _, err := f.Write(image); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := letReplace(old); err != nil {
		return nil, err
	}
	if err := p.root.Rename(temporary, p.sidePath()); err != nil {
		return nil, err
	}
	return f, syncDir(p.root, p.folder)
}
