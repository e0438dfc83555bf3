package logs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"dtc"
)

// trustMode says whether bytes behind the last durable mark may be believed.
type trustMode int

const (
	trust    trustMode = iota
	distrust           // an fsync failed: the disk may not have what the cache shows
)

// load opens a copy and brings what its side record says and what its data
// file is together. It answers fs.ErrNotExist where there is no side record.
func load(p place, mode trustMode) (*replica, error) {
	f, err := openPlain(p.root, p.sidePath(), os.O_RDWR)
	if err != nil {
		return nil, err
	}
	c, err := loadFrom(p, f, mode)
	if err != nil {
		if c != nil && c.data != nil {
			err = errors.Join(err, c.data.Close())
		}
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

func loadFrom(p place, f *os.File, mode trustMode) (*replica, error) {
	if err := lockFile(f); err != nil {
		return nil, err
	}
	b, err := readSide(f)
	if err != nil {
		return nil, err
	}
	s, err := parseSide(b, withoutArrivals)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.sidePath(), err)
	}
	if s.torn > 0 {
		if err := f.Truncate(s.journal); err != nil {
			return nil, err
		}
	}
	c := &replica{model: s.model, place: p, side: f, journal: s.journal, compacted: s.journal}
	c.slots = [2]uint64{s.durable.seq, s.live.seq}
	c.synced = max(s.durable.synced, journalStart)
	c.durable = s.durable
	c.unsafe = s.last.seq > 0 && s.durable.seq == 0
	if err := c.reconcile(s, mode); err != nil {
		return c, err
	}
	return c, c.checkSegments()
}

// readSide reads a side record whole.
func readSide(f *os.File) ([]byte, error) {
	st, err := statOf(f)
	if err != nil {
		return nil, err
	}
	if st.size > maxSide {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", errDamaged, st.size, maxSide)
	}
	b := make([]byte, st.size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil // it was replaced by a shorter one
	}
	return b[:n], err
}

// reconcile finds the end of the copy.
func (c *replica) reconcile(s *side, mode trustMode) error {
	same := c.place.boot != "" && c.model.boot.boot == c.place.boot && c.boots > 0
	if same && s.live.boots == c.boots && s.live.extent > c.last.seq {
		return fmt.Errorf("%w: an extent is missing at its end", errDamaged)
	}
	at := c.safe()
	if same && mode == trust && s.live.boots == c.boots && s.live.extent == c.last.seq && s.live.base+s.live.writing > at.base {
		at = s.live
	}
	c.unsure = !same
	c.setEnd(&at)
	if err := c.settleRoll(); err != nil {
		return err
	}
	f, err := openPlain(c.root, c.dataPath(), os.O_RDWR|os.O_APPEND)
	if errors.Is(err, fs.ErrNotExist) {
		return c.reconcileAbsent()
	}
	if err != nil {
		return err
	}
	c.data, c.looked = f, c.now()
	key, st, err := keyOf(f)
	if err != nil {
		return err
	}
	if !c.isFile(key, same) {
		return c.reconcileOther(st.size)
	}
	if st.size >= c.size && !c.endsAsKnown() {
		return c.adoptSize(changeEdited, st.size)
	}
	if same && mode == trust {
		return c.reconcileSize(&at, st.size)
	}
	return c.reconcileCrash(st.size, mode)
}

// safe returns the end of the copy that no power loss can take.
func (c *replica) safe() slot {
	if c.durable.extent == c.last.seq && c.durable.base >= c.last.base && c.durable.seq > 0 {
		return c.durable
	}
	return slot{extent: c.last.seq, base: c.last.base, physical: c.last.physical, sum: c.last.sum}
}

// setEnd takes a slot as the end of the copy.
func (c *replica) setEnd(at *slot) {
	c.length, c.size = at.base, at.physical
	g := c.receiving()
	if g == nil {
		return
	}
	g.position, g.sum = c.position(c.length), at.sum
	if at.marker.len > 0 {
		g.marker, g.markAt = at.marker, g.position
	}
}

// isFile tells whether the data file is the one that the record knows.
func (c *replica) isFile(key fileKey, sameBoot bool) bool {
	known := c.model.boot.file
	if known == (fileKey{}) {
		return false
	}
	return known.is(key) && (key.device == known.device || !sameBoot)
}

// reconcileAbsent is the end where no data file is.
func (c *replica) reconcileAbsent() error {
	if c.model.boot.file == (fileKey{}) || c.last.seq == 0 {
		if c.last.seq > 0 && c.size > 0 {
			return c.anchor(0) // a kill came between two records
		}
		c.size = 0
		return nil // there was none before
	}
	return c.adoptNothing(changeRemoved)
}

// reconcileOther is the end in a data file that the record does not know: the
// new one of a copy that was removed, a restored one, or somebody else's.
func (c *replica) reconcileOther(size int64) error {
	none := c.model.boot.file == (fileKey{})
	switch {
	case none && size == 0:
		key, _, err := keyOf(c.data)
		if err != nil {
			return err
		}
		c.size, c.unsure = 0, false
		return c.record(&bootEntry{boot: c.place.boot, file: key, kept: true})
	case none:
		return c.adoptFile(changeFound)
	case size == c.size && c.provable() && c.endsAsKnown():
		return c.adoptFile(changeSame)
	default:
		return c.adoptFile(changeReplaced)
	}
}

// provable tells whether it is known how the copy ends.
func (c *replica) provable() bool {
	g := c.receiving()
	return g != nil && g.marker.len > 0 && g.markAt == g.position
}

// endsAsKnown tells whether the data file ends as the copy does, as far as
// that is known.
func (c *replica) endsAsKnown() bool {
	// Only what came in the last extent stands before its end as it did in
	// the source.
	if !c.provable() || c.length-c.last.base < int64(c.receiving().marker.len) {
		return true
	}
	b := make([]byte, c.receiving().marker.len)
	_, err := c.data.ReadAt(b, c.size-int64(len(b)))
	return err != nil || hash(b) == c.receiving().marker.hash
}

// reconcileSize is the end after a kill: the page cache has all that was
// written, so the size tells how far the last write came.
func (c *replica) reconcileSize(at *slot, size int64) error {
	most := at.physical + at.writing
	n := min(max(size-at.physical, 0), at.writing)
	if err := c.readOn(n); err != nil {
		return err
	}
	switch {
	case size < at.physical:
		return c.adoptSize(changeCut, size)
	case size > most:
		return c.adoptSize(changeGrown, size)
	}
	return nil
}

// readOn counts n bytes behind the end that the data file has.
func (c *replica) readOn(n int64) error {
	g := c.receiving()
	if n == 0 || g == nil {
		return nil
	}
	sum, err := sumOn(c.data, g.sum, c.size, n)
	if err != nil {
		return err
	}
	c.length += n
	c.size += n
	g.sum, g.position = sum, c.position(c.length)
	c.touch()
	return nil
}

// sumOn goes on with a checksum over n bytes of a file.
func sumOn(f io.ReaderAt, sum uint32, at, n int64) (uint32, error) {
	buf := make([]byte, min(n, 64<<10))
	for n > 0 {
		k, err := f.ReadAt(buf[:min(n, int64(len(buf)))], at)
		if k == 0 && err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli(), buf[:k])
		at, n = at+int64(k), n-int64(k)
		if nulsAtEnd(buf[:k]) == k {
			hole := holeTo(f, at, at+n) - at
			sum = dtc.ZeroSum(sum, hole)
			at, n = at+hole, n-hole
		}
	}
	return sum, nil
}

// reconcileCrash is the end after a power loss or a failed fsync: what lies
// behind the last durable mark may be anything.
func (c *replica) reconcileCrash(size int64, mode trustMode) error {
	switch {
	case size < c.size:
		return c.adoptSize(changeCut, size)
	case size == c.size:
		// From now on a change is somebody's, not the power loss's. It is no
		// harm if that cannot be written yet.
		if err := c.confirm(); err != nil && !noRoom(err) {
			return err
		}
		return nil
	case mode == distrust:
		// The pages look right but may never reach the disk: write them anew.
		c.suspect = size - c.size
		c.size = size
		return c.cutSuspect()
	}
	c.suspect = size - c.size
	c.size = size
	return nil
}

// compare takes the bytes of g as far as they are what a power loss has left
// behind the end. From the first difference on the rest of that goes: it was
// never acknowledged as durable.
func (c *replica) compare(g *generation, data []byte) (int, error) {
	if g != c.receiving() {
		return 0, c.cutSuspect()
	}
	n := min(int64(len(data)), c.suspect)
	have := make([]byte, n)
	if _, err := c.data.ReadAt(have, c.size-c.suspect); err != nil {
		return 0, err
	}
	same := 0
	for same < len(have) && have[same] == data[same] {
		same++
	}
	c.suspect -= int64(same)
	c.advance(g, data[:same])
	if same < len(have) {
		return same, c.cutSuspect()
	}
	if c.suspect == 0 {
		return same, c.confirm()
	}
	return same, nil
}

// cutSuspect drops what a power loss has left behind the end.
func (c *replica) cutSuspect() error {
	n := c.suspect
	c.size, c.suspect = c.size-n, 0
	// Whatever a kill leaves of the next step, the live slot covers it.
	if err := c.writeLive(n); err != nil {
		return err
	}
	if err := c.data.Truncate(c.size); err != nil {
		return err
	}
	if err := c.writeLive(0); err != nil {
		return err
	}
	return c.record(c.event(dtc.StateChanged, nil, nil, fmt.Sprintf(
		"after a failure of the monitor's disk or power %d bytes from byte %d of the copy on were not safe: they are gone and come again",
		n, c.size)))
}

// keepSuspect takes what a power loss has left behind the end unseen: the
// source that could prove it is gone. A run of NULs at its end is none of it.
func (c *replica) keepSuspect() error {
	g := c.receiving()
	if c.suspect == 0 || g == nil {
		return nil
	}
	keep, err := c.beforeNULs(c.size-c.suspect, c.size)
	if err != nil {
		return err
	}
	start := c.size - c.suspect
	if keep < c.size {
		if err := c.data.Truncate(keep); err != nil {
			return err
		}
	}
	from := g.position
	if err := c.takeSuspect(keep - start); err != nil {
		return err
	}
	to := g.position
	return c.record(
		&unverifiedEntry{span{c.length - (keep - start), c.length}},
		c.event(dtc.StateCorrupt, &from, &to,
			"after a power loss of the monitor these bytes could not be compared with the source, which is gone; they are kept"),
	)
}

// takeSuspect counts the first n bytes behind the end, and forgets the rest,
// which is not there any more.
func (c *replica) takeSuspect(n int64) error {
	c.size -= c.suspect
	c.suspect = 0
	return c.readOn(n)
}

// sumSuspect returns the checksum of a generation with all that lies behind
// the end.
func (c *replica) sumSuspect(sum uint32) (uint32, error) {
	return sumOn(c.data, sum, c.size-c.suspect, c.suspect)
}

// beforeNULs returns where the run of NULs at the end of [from, to) of the
// data file begins.
func (c *replica) beforeNULs(from, to int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for to > from {
		n := min(int64(len(buf)), to-from)
		if _, err := c.data.ReadAt(buf[:n], to-n); err != nil {
			return 0, err
		}
		nuls := int64(nulsAtEnd(buf[:n]))
		to -= nuls
		if nuls < n {
			return to, nil
		}
		for n = min(2*n, to-from); n > 0 && holeTo(c.data, to-n, to) == to; n = min(2*n, to-from) {
			to -= n
		}
	}
	return from, nil
}

// nulsAtEnd returns how many NULs b ends with.
func nulsAtEnd(b []byte) int { return len(b) - len(bytes.TrimRight(b, "\x00")) }
