package logs

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path"
	"time"

	"dtc"
)

// replica is one copy with its side record, loaded: the files and what they
// say. Its stream's mutex guards it. After an error of any method but the
// reading ones it is thrown away and loaded anew: the disk is the truth.
type replica struct {
	model
	place

	side    *os.File  // locked
	data    *os.File  // nil: there is no copy yet, or it was removed
	journal int64     // length of the side record
	synced  int64     // of it is safe from a power loss
	slots   [2]uint64 // numbers of the newest durable and live slot

	length  int64  // logical: bytes that the stream has had
	size    int64  // of the data file, as it must be
	suspect int64  // bytes at the end of size that a power loss may have spoiled, not counted in length
	durable slot   // the newest durable mark
	epoch   uint64 // of the connection that has the stream
	unsure  bool   // no boot record of this boot yet: a live slot would not count
	fresh   bool   // the folder's entries are not safe yet
	unsafe  bool   // nor is the only extent, so no byte may come
	looked  time.Time

	limits    limits    // of the live file, as retention says
	hollow    int64     // bytes of the data file that are known to take no room
	rollAfter time.Time // the live file is not closed before; zero: whenever
	noRoll    string    // why it was not closed
	ripe      bool      // the live file is long enough to be closed
	hasRolled bool      // it was, and nobody has looked yet what may be dropped

	inHand  bool       // a syncer uses the files without the lock
	retired []*os.File // to be closed when it does no more

	compacted int64     // length of the journal after its last compaction
	dirty     time.Time // since when there is something to make durable; zero: nothing
	buf       []byte
}

// place says where a replica lies and in what surroundings.
type place struct {
	root   *os.Root
	dir    *os.File // the same, for leadsPlainly; nil: it does without
	folder string
	alias  string
	boot   string // id of this boot of the monitor, "" if unknown
	now    func() time.Time
	sync   func(*os.File) error // makes a file's bytes durable
}

func (p *place) dataPath() string { return path.Join(p.folder, p.alias) }
func (p *place) sidePath() string { return path.Join(p.folder, sideName(p.alias)) }

// receiving returns the generation whose bytes come at the end, nil at first.
func (c *replica) receiving() *generation {
	if c.last.seq == 0 {
		return nil
	}
	return c.find(c.last.generation)
}

// append adds bytes of g, of that sum, that follow its position. An error says
// nothing of how many of them the copy has taken: loading it anew tells.
func (c *replica) append(g *generation, data []byte, sum uint32) error {
	if err := c.ready(); err != nil {
		return err
	}
	if c.suspect > 0 {
		n, err := c.compare(g, data)
		if err != nil || n == len(data) {
			return err
		}
		data = data[n:]
		sum = crc32.Checksum(data, castagnoli())
	}
	if err := c.rollIfFull(g, int64(len(data))); err != nil {
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
	return c.write(g, data, sum)
}

// write appends to the data file, between a live slot that says what is about
// to happen and a look at what did.
func (c *replica) write(g *generation, data []byte, sum uint32) error {
	if err := c.writeLive(int64(len(data))); err != nil {
		return err
	}
	_, err := c.data.Write(data)
	st, statErr := statOf(c.data)
	if err != nil || statErr != nil {
		return errors.Join(err, statErr)
	}
	if st.size != c.size+int64(len(data)) {
		return c.writeRaced(g, data, st.size)
	}
	c.size = st.size
	c.advanceBy(g, int64(len(data)), sum)
	return nil
}

// writeRaced is the end of a write during which somebody else changed the
// length of the data file: it finds where the bytes are.
func (c *replica) writeRaced(g *generation, data []byte, size int64) error {
	n := int64(len(data))
	what := changeCut
	if size > c.size {
		what = changeGrown
	}
	if start := size - n; start >= 0 && start != c.size && c.holds(start, data) {
		// The change came first.
		if err := c.adoptSize(what, start); err != nil {
			return err
		}
		c.size = size
		c.advance(g, data)
		return nil
	}
	// It came behind them, or they went with the rest: then they have been in
	// the copy all the same, and do not come again.
	c.size += n
	c.advance(g, data)
	return c.adoptSize(what, size)
}

// holds tells whether the data file has these bytes at a place.
func (c *replica) holds(physical int64, data []byte) bool {
	have := make([]byte, len(data))
	_, err := c.data.ReadAt(have, physical)
	return err == nil && string(have) == string(data)
}

// advance counts bytes of the receiving generation that are in the data file.
func (c *replica) advance(g *generation, data []byte) {
	c.advanceBy(g, int64(len(data)), crc32.Checksum(data, castagnoli()))
}

// advanceBy is advance for n bytes whose sum is known.
func (c *replica) advanceBy(g *generation, n int64, sum uint32) {
	if n == 0 {
		return
	}
	c.length += n
	g.sum = dtc.JoinSum(g.sum, sum, n)
	g.position = c.position(c.length)
	c.touch()
}

// touch notes that there is something to make durable.
func (c *replica) touch() {
	if c.dirty.IsZero() {
		c.dirty = c.now()
	}
}

// switchTo makes g the receiving generation from a source position on. What
// the copy holds is made durable before, the new extent before any byte comes.
func (c *replica) switchTo(g *generation, source int64, also ...entry) error {
	if c.suspect > 0 {
		if err := c.cutSuspect(); err != nil {
			return err
		}
	}
	if err := c.settle(); err != nil {
		return err
	}
	if r := c.receiving(); r != nil && r != g {
		c.prove(r)
		also = append(also, r)
	}
	return c.commit(c.extentOf(g, source, also...)...)
}

// extentOf returns the records of a new extent of g behind others.
func (c *replica) extentOf(g *generation, source int64, also ...entry) []entry {
	g.moveTo(source)
	c.prove(g)
	return append(also, g, &extentEntry{
		seq: c.last.seq + 1, epoch: c.epoch, base: c.length, physical: c.size,
		generation: g.number, source: source, sum: g.sum,
	})
}

// commit writes records and makes them safe; afterwards the copy is durable
// up to its end, which the caller has seen to.
func (c *replica) commit(entries ...entry) error {
	if err := c.record(entries...); err != nil {
		return err
	}
	return c.syncSide()
}

// settle makes every byte of the data file durable.
func (c *replica) settle() error {
	if c.data == nil || c.length == c.durableBase() {
		return nil
	}
	if err := c.place.sync(c.data); err != nil {
		return &syncError{err}
	}
	return nil
}

// durableBase returns the logical position up to which the copy is safe from
// a power loss: that of the newest mark, or of an extent that is newer.
func (c *replica) durableBase() int64 {
	if c.durable.extent == c.last.seq {
		return max(c.durable.base, c.last.base)
	}
	return c.last.base
}

// syncError is a failed fsync: what was written since the last durable mark
// may be lost although the page cache shows it.
type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// record appends records to the journal and applies them.
func (c *replica) record(entries ...entry) error {
	c.buf = c.buf[:0]
	for _, e := range entries {
		c.buf = appendRecord(c.buf, e)
	}
	if _, err := c.side.WriteAt(c.buf, c.journal); err != nil {
		return errors.Join(err, c.side.Truncate(c.journal))
	}
	c.journal += int64(len(c.buf))
	for _, e := range entries {
		if err := e.applyTo(&c.model); err != nil {
			return fmt.Errorf("write %s: %w", c.sidePath(), err)
		}
	}
	return nil
}

// syncSide makes the side record safe from a power loss, and the names in the
// folder if they are new.
func (c *replica) syncSide() error {
	length := c.journal
	if err := c.place.sync(c.side); err != nil {
		return &syncError{err}
	}
	c.synced = length
	if c.fresh {
		if err := syncDir(c.root, c.folder); err != nil {
			return err
		}
		c.fresh = false
	}
	c.unsafe = false
	return nil
}

// writeLive says that n bytes are about to be appended.
func (c *replica) writeLive(n int64) error {
	s := slot{boots: c.boots, extent: c.last.seq, base: c.length, physical: c.size, writing: n}
	if g := c.receiving(); g != nil {
		s.sum = g.sum
	}
	return c.writeSlot(live, &s)
}

// The two kinds of slots.
const (
	durable = iota
	live
)

// slotAt returns where the slot with a number of its kind lies.
func slotAt(kind int, seq uint64) int64 {
	return [...]int64{durableAt, liveAt}[kind] + slotSize*int64(seq%2)
}

// writeSlot writes a slot over the older one of its kind.
func (c *replica) writeSlot(kind int, s *slot) error {
	c.slots[kind]++
	s.seq, s.synced = c.slots[kind], c.synced
	c.buf = s.encode(c.buf)
	_, err := c.side.WriteAt(c.buf, slotAt(kind, s.seq))
	return err
}

// confirm sees to it that bytes may come: that their extent is safe, and that
// there is a boot record of this boot, so that live slots count.
func (c *replica) confirm() error {
	if c.unsafe {
		if err := c.syncSide(); err != nil {
			return err
		}
	}
	if !c.unsure {
		return nil
	}
	key, _, err := keyOf(c.data)
	if err != nil {
		return err
	}
	c.boots++ // the slot belongs to the record that follows it
	err = c.writeLive(0)
	c.boots--
	if err != nil {
		return err
	}
	if err := c.record(&bootEntry{c.place.boot, key, true}); err != nil {
		return err
	}
	c.unsure = false
	return nil
}

// noteArrival writes down when the bytes that come now arrived.
func (c *replica) noteArrival() error {
	if now := c.now().Unix(); now != c.lastArrival.time {
		return c.record(&markEntry{arrival{c.length, now, 1}})
	}
	return nil
}

// event writes down what is to be told of the stream.
func (c *replica) event(state dtc.State, from, to *int64, reason string) *eventEntry {
	return &eventEntry{c.eventSeq + 1, c.now(), state, from, to, reason}
}

// retire closes a file as soon as no syncer uses it.
func (c *replica) retire(f *os.File) error {
	if c.inHand {
		c.retired = append(c.retired, f)
		return nil
	}
	return f.Close()
}

// closeRetired closes what waited for a syncer.
func (c *replica) closeRetired() error {
	var err error
	for _, f := range c.retired {
		if e := f.Close(); !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	c.retired = nil
	return err
}

// close gives the files back.
func (c *replica) close() error {
	err := c.closeRetired()
	if c.data != nil {
		err = errors.Join(err, c.data.Close())
	}
	return errors.Join(err, c.side.Close())
}
