package logs

import (
	"bytes"
	"hash/crc32"
	"os"
	"slices"
	"time"

	"dtc"
)

// The first bytes of a copy may come only after its record is safe from a power
// loss: else nobody would know afterwards whose they are. That is two fsyncs,
// and ten thousand new copies in a row would wait for them one by one. So the
// first bytes of many wait, in memory, for one syncfs of all their records.
const (
	maxBirths   = 256      // copies that wait for each other
	birthBytes  = 1 << 20  // that wait with them
	birthChunk  = 64 << 10 // more first bytes than that do not wait
	worthBirths = 8        // fewer are each made safe by itself
	birthSlow   = slowSync // a syncfs that takes longer, for each copy, is not worth it
)

// births are the first bytes that wait on one connection.
type births struct {
	waiting []birth
	bytes   int
	slow    int // how often more to do without syncfs

	// What syncfs is called with: of a write that failed each descriptor is told
	// once, so none may take that from another. Nil: none could be opened.
	file *os.File
}

// birth is a first append, whose extent is written down and not safe.
type birth struct {
	att   *attachment
	c     *replica
	frame dtc.Frame
}

// expect takes a frame if it can wait for others. One that has to come behind
// something that waits ends the wait.
func (c *conn) expect(f *dtc.Frame) (taken bool, err error) {
	b := &c.births
	if b.endedBy(f) {
		if err := c.bear(); err != nil {
			return false, err
		}
	}
	att := c.attached[f.Stream]
	if f.Kind != dtc.FrameAppend || len(f.Data) > birthChunk || att == nil || att.epoch != f.Epoch {
		return false, nil
	}
	b.prepare(c.store)
	r := att.declare(f)
	if r == nil {
		return false, nil
	}
	frame := *f
	frame.Data = bytes.Clone(f.Data)
	b.waiting = append(b.waiting, birth{att, r, frame})
	if b.bytes += len(f.Data); len(b.waiting) >= maxBirths || b.bytes >= birthBytes {
		return true, c.bear()
	}
	return true, nil
}

// prepare opens what syncfs is called with, before anything is written that it
// is to make safe.
func (b *births) prepare(s *Store) {
	if b.file == nil {
		b.file, _ = s.root.Open(".") // without it each record is made safe by itself
	}
}

// close gives that back.
func (b *births) close() {
	if b.file != nil {
		_ = b.file.Close() // nothing was written
	}
}

// endedBy tells whether a frame has to come behind something that waits: what is
// for the same stream does, and what tells the agent that all before was heard.
func (b *births) endedBy(f *dtc.Frame) bool {
	if len(b.waiting) == 0 {
		return false
	}
	switch f.Kind {
	case dtc.FrameSize, dtc.FrameFollow:
		return false
	case dtc.FrameAttach, dtc.FrameOpen, dtc.FrameAppend:
		return slices.ContainsFunc(b.waiting, func(w birth) bool { return w.frame.Stream == f.Stream })
	default:
		return true
	}
}

// declare writes the extent of the first bytes of a copy down without making it
// safe. It returns nil if the frame is nothing of the kind.
func (att *attachment) declare(f *dtc.Frame) *replica {
	st := att.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.owner != att || st.pause != "" || st.c == nil || st.c.last.seq != 0 || crc32.Checksum(f.Data, castagnoli()) != f.Sum {
		return nil
	}
	declared := false
	err := st.update(func(c *replica) error {
		g := c.find(f.Generation)
		if g == nil || g.position != f.Offset || !st.store.disk.take(len(f.Data)) {
			return nil
		}
		if err := c.ready(); err != nil {
			return err
		}
		if c.last.seq != 0 || c.length > 0 || c.suspect > 0 { // somebody's file was there
			return nil
		}
		declared = true
		return c.declare(g)
	})
	if err != nil || !declared {
		return nil
	}
	return st.c
}

// declare writes the first extent down without making it safe.
func (c *replica) declare(g *generation) error {
	c.unsafe = true
	c.touch()
	return c.record(c.extentOf(g, g.position)...)
}

// bear makes what waits safe, and appends it.
func (c *conn) bear() error {
	b := &c.births
	waiting := b.waiting
	b.waiting, b.bytes = b.waiting[:0], 0
	c.settleBirths(waiting)
	for i := range waiting {
		if err := c.handle(&waiting[i].frame); err != nil {
			return err
		}
	}
	clear(waiting)
	return nil
}

// settleBirths makes the records of many new copies safe at once. Where that
// cannot be, each is made safe before its bytes come.
func (c *conn) settleBirths(waiting []birth) {
	b := &c.births
	if len(waiting) < worthBirths || b.file == nil {
		return
	}
	if b.slow > 0 {
		b.slow--
		return
	}
	lengths := make([]int64, len(waiting))
	for i := range waiting {
		lengths[i] = waiting[i].written()
	}
	start := time.Now()
	if err := c.store.opts.syncfs(b.file); err != nil {
		return
	}
	if time.Since(start) > time.Duration(len(waiting))*birthSlow {
		b.slow = slowRounds
	}
	for i := range waiting {
		waiting[i].safe(lengths[i])
	}
}

// written returns the length of the record, before it is made safe.
func (b *birth) written() int64 {
	b.att.stream.mu.Lock()
	defer b.att.stream.mu.Unlock()
	return b.c.journal
}

// safe notes that a record of that length is, if it still is the one that was.
func (b *birth) safe(length int64) {
	st := b.att.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.c == b.c && b.c.journal == length {
		b.c.synced, b.c.fresh, b.c.unsafe = length, false, false
	}
}
