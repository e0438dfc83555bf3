package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"dtc"
)

// The places in a side record. Each slot has a disk sector of its own, so that
// a torn write hurts no other.
const (
	slotSize     = 512
	superAt      = 0
	durableAt    = 1 * slotSize // two slots, written in turn
	liveAt       = 3 * slotSize // two slots, written in turn
	journalStart = 4096
)

// maxSide bounds a side record that is read: compaction keeps it far smaller.
const maxSide = 64 << 20

// magic begins a side record. Its last byte is the format's version.
const magic = "DTC log side record\x00\x01"

// slot is the newest known state of the copy's end. A durable slot says what
// is safe from a power loss; a live slot what a write that was under way could
// have done.
type slot struct {
	seq      uint64 // counts the slots ever written, of both kinds
	boots    uint64 // the boot record that it belongs to
	extent   uint64 // the extent that it belongs to
	base     int64  // logical position
	physical int64  // the same in the data file
	writing  int64  // bytes that were about to be appended there (live slots)
	sum      uint32 // of the generation up to base
	marker   proof  // of the bytes before base (durable slots)
	synced   int64  // length of the journal that is safe from a power loss
}

// encode returns the slot as it stands on disk.
func (s *slot) encode(b []byte) []byte {
	b = append(b[:0], make([]byte, 8)...)
	for _, v := range []uint64{
		s.seq, s.boots, s.extent, uint64(s.base), uint64(s.physical), uint64(s.writing), uint64(s.sum), uint64(s.synced), uint64(s.marker.len),
	} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, s.marker.hash[:]...)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli()))
	return b
}

// slotLen is the length of an encoded slot.
const slotLen = 8 + 9*8 + len(dtc.Hash{})

// decodeSlot reads a slot; ok is false where none was written, or a torn one.
func decodeSlot(b []byte) (s slot, ok bool) {
	if len(b) < slotLen || binary.LittleEndian.Uint32(b) != uint32(slotLen) ||
		crc32.Checksum(b[8:slotLen], castagnoli()) != binary.LittleEndian.Uint32(b[4:]) {
		return s, false
	}
	var v [9]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	s = slot{
		seq: v[0], boots: v[1], extent: v[2], base: int64(v[3]), physical: int64(v[4]), writing: int64(v[5]),
		sum: uint32(v[6]), synced: int64(v[7]), marker: proof{len: int(v[8])},
	}
	copy(s.marker.hash[:], b[8+8*len(v):])
	for _, p := range []int64{s.base, s.physical, s.writing, s.synced} {
		if p < 0 || p > maxPosition {
			return s, false
		}
	}
	return s, s.marker.len >= 0 && s.marker.len <= dtc.MarkerSize
}

// newest returns the newer valid slot of a pair; seq 0 when there is none.
func newest(side []byte, at int) (best slot) {
	for i := range 2 {
		lo := at + i*slotSize
		if s, ok := decodeSlot(side[lo : lo+slotSize]); ok && s.seq > best.seq {
			best = s
		}
	}
	return best
}

// side is a side record that was read.
type side struct {
	model
	durable slot // seq 0: none
	live    slot // seq 0: none
	journal int64
	torn    int64 // bytes of an unfinished last write behind the journal
}

// The ways in which a side record cannot be used.
var (
	errDamaged = errors.New("the side record is damaged")
	// errUnfinished is a side record whose making was cut short: nothing
	// depends on it.
	errUnfinished = errors.New("the side record was never finished")
)

// encodeSuper returns the first sector.
func encodeSuper() []byte {
	b := make([]byte, slotSize)
	n := copy(b, magic)
	binary.LittleEndian.PutUint32(b[n:], crc32.Checksum(b[:n], castagnoli()))
	return b
}

// parseSide reads a whole side record, and its arrival marks if they are wanted.
func parseSide(b []byte, arrivals arrivalMode) (*side, error) {
	if len(b) < journalStart+recordHead {
		return nil, errUnfinished
	}
	if !bytes.Equal(b[:len(magic)-1], []byte(magic)[:len(magic)-1]) {
		if len(bytes.Trim(b, "\x00")) == 0 {
			return nil, errUnfinished
		}
		return nil, fmt.Errorf("%w: it does not begin like one", errDamaged)
	}
	if !bytes.Equal(b[:slotSize], encodeSuper()) {
		if b[len(magic)-1] > magic[len(magic)-1] {
			return nil, errNewer
		}
		return nil, fmt.Errorf("%w: its first sector", errDamaged)
	}
	s := &side{durable: newest(b, durableAt), live: newest(b, liveAt)}
	s.keepArrivals = arrivals == withArrivals
	if err := s.replay(b); err != nil {
		return nil, err
	}
	if s.header.version == 0 {
		return nil, errUnfinished
	}
	return s, s.check()
}

// arrivalMode says whether arrival marks are wanted.
type arrivalMode bool

const (
	withArrivals    arrivalMode = true
	withoutArrivals arrivalMode = false
)

// replay applies the journal's records up to its end. What does not read as a
// record is the torn end of the last write if it lies behind all that was safe
// and nothing valid comes after it; else it is damage.
func (s *side) replay(b []byte) error {
	at := int64(journalStart)
	for at < int64(len(b)) {
		body, n, ok := cutRecord(b[at:])
		if !ok {
			break
		}
		e, err := decodeEntry(body)
		if err == nil {
			err = e.applyTo(&s.model)
		}
		if errors.Is(err, errNewer) {
			return err
		}
		if err != nil {
			return fmt.Errorf("%w: at byte %d: %w", errDamaged, at, err)
		}
		at += int64(n)
	}
	s.journal, s.torn = at, int64(len(b))-at
	if at < s.durable.synced || at < s.live.synced {
		return fmt.Errorf("%w: from byte %d on", errDamaged, at)
	}
	if s.torn > 2*maxRecord || validBehind(b[at:]) {
		return fmt.Errorf("%w: at byte %d", errDamaged, at)
	}
	return nil
}

// check compares the slots with the journal: a slot is written after the
// extent that it belongs to was safe.
func (s *side) check() error {
	if s.durable.extent > s.last.seq {
		return fmt.Errorf("%w: an extent is missing at its end", errDamaged)
	}
	if s.durable.extent == s.last.seq && s.durable.seq > 0 && s.durable.base < s.last.base {
		return fmt.Errorf("%w: its last durable mark lies before its last extent", errDamaged)
	}
	return nil
}
