package logs

import (
	"errors"
	"fmt"
	"time"

	"dtc"
)

// kind says what a record of the journal is. The numbers are on disk.
type kind byte

const (
	kindHeader     kind = 1
	kindGeneration kind = 2
	kindExtent     kind = 3
	kindGap        kind = 4
	kindRewind     kind = 5
	kindBoot       kind = 6
	kindEvent      kind = 7
	kindTold       kind = 8
	kindMark       kind = 9
	kindMarks      kind = 10
	kindSummary    kind = 11
	kindUnverified kind = 12
	kindHole       kind = 13
	kindSegment    kind = 14
	kindDrop       kind = 15
	kindSegments   kind = 16
	kindChanged    kind = 17
	kindLost       kind = 18
	kindProven     kind = 19
)

// formatVersion is that of the side record.
const formatVersion = 1

// entry is one record of the journal. put adds its payload to b.
type entry interface {
	kind() kind
	put(b []byte) []byte
	applyTo(m *model) error
}

// errNewer refuses a record that a later version of the program wrote.
var errNewer = errors.New("written by a newer version of dtc")

// decodeEntry reads the body of a record.
func decodeEntry(body []byte) (entry, error) {
	d := &decoder{b: body[1:]}
	var e entry
	switch kind(body[0]) {
	case kindHeader:
		e = readHeader(d)
	case kindGeneration:
		e = readGeneration(d)
	case kindExtent:
		e = readExtent(d)
	case kindGap:
		e = &gapEntry{d.int(), d.int(), uint32(d.uint())}
	case kindRewind:
		e = &rewindEntry{d.uint(), d.position(), d.position()}
	case kindBoot:
		e = readBoot(d)
	case kindEvent:
		e = readEvent(d)
	case kindTold:
		e = &toldEntry{d.uint()}
	case kindMark:
		e = &markEntry{arrival{d.position(), d.int(), 1}}
	case kindMarks:
		e = readMarks(d)
	case kindSummary:
		e = readSummary(d)
	case kindUnverified:
		e = &unverifiedEntry{span{d.position(), d.position()}}
	case kindSegment:
		e = readSegment(d)
	case kindDrop:
		e = &dropEntry{d.position(), d.position()}
	case kindSegments:
		e = readSegments(d)
	case kindChanged:
		e = readChanged(d)
	case kindHole:
		e = &holeEntry{d.position(), d.position()}
	case kindLost:
		e = readLost(d)
	case kindProven:
		e = readProven(d)
	default:
		return nil, errNewer
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("kind %d: %w", body[0], err)
	}
	return e, nil
}

// headerEntry begins every journal.
type headerEntry struct {
	version uint64
	id      string // of the stream, random
	peer    string // id of the agent that owns the stream
	alias   string
	created time.Time
}

func (*headerEntry) kind() kind { return kindHeader }

func (e *headerEntry) put(b []byte) []byte {
	b = putUint(b, e.version)
	b = putBytes(b, e.id)
	b = putBytes(b, e.peer)
	b = putBytes(b, e.alias)
	return putInt(b, e.created.UnixNano())
}

func readHeader(d *decoder) *headerEntry {
	return &headerEntry{d.uint(), d.text(64), d.text(1024), d.text(dtc.MaxAlias), time.Unix(0, d.int())}
}

// generation is what the copy holds of one generation of the source. As an
// entry it is a snapshot that replaces what was known of it.
type generation struct {
	number   uint64
	identity []byte
	start    int64 // where in the source the copy begins
	position int64 // after the last byte that the copy holds
	sum      uint32
	end      int64 // position at which it was sealed; -1: it was not
	flags    uint64

	head   proof // of the bytes [start, start+len)
	marker proof // of the bytes before markAt
	markAt int64
}

// Flags of a generation.
const (
	flagSumBroken uint64 = 1 << iota // sum is not that of [start, position): a gap or a rewind lies in between
	flagLost                         // ended by a gap without an end, not by a seal
	flagDiffers                      // its sum was not the source's when it was sealed
)

// proof is the hash of some bytes.
type proof struct {
	len  int // 0: none
	hash dtc.Hash
}

func (g *generation) sealed() bool { return g.end >= 0 && g.end == g.position }

func (*generation) kind() kind { return kindGeneration }

func (g *generation) put(b []byte) []byte {
	b = putUint(b, g.number)
	b = putBytes(b, g.identity)
	b = putInt(b, g.start)
	b = putInt(b, g.position)
	b = putUint(b, uint64(g.sum))
	b = putInt(b, g.end)
	b = putUint(b, g.flags)
	b = g.head.put(b)
	b = g.marker.put(b)
	return putInt(b, g.markAt)
}

func readGeneration(d *decoder) *generation {
	g := &generation{
		number:   d.uint(),
		identity: d.bytes(dtc.MaxIdentity),
		start:    d.position(),
		position: d.position(),
		sum:      uint32(d.uint()),
		end:      d.int(),
		flags:    d.uint(),
		head:     readProof(d),
		marker:   readProof(d),
		markAt:   d.position(),
	}
	if g.number == 0 || g.position < g.start || g.end < -1 {
		d.fail()
	}
	return g
}

func (p proof) put(b []byte) []byte {
	b = putUint(b, uint64(p.len))
	return append(b, p.hash[:]...)
}

func readProof(d *decoder) (p proof) {
	n := d.uint()
	if n > max(dtc.HeadSize, dtc.MarkerSize) {
		d.fail()
		return p
	}
	p.len = int(n)
	d.fixed(p.hash[:])
	return p
}

// extentEntry says from where on the bytes of the copy are those of which
// generation.
type extentEntry struct {
	seq        uint64
	epoch      uint64 // of the connection that made it, for whoever reads the record
	base       int64  // logical position in the stream
	physical   int64  // position in the data file
	generation uint64
	source     int64  // position in the generation
	sum        uint32 // the generation's at source
	foreign    uint64 // 1: it is there because somebody else changed the copy
}

func (*extentEntry) kind() kind { return kindExtent }

func (e *extentEntry) put(b []byte) []byte {
	b = putUint(b, e.seq)
	b = putUint(b, e.epoch)
	b = putInt(b, e.base)
	b = putInt(b, e.physical)
	b = putUint(b, e.generation)
	b = putInt(b, e.source)
	b = putUint(b, uint64(e.sum))
	return putUint(b, e.foreign)
}

func readExtent(d *decoder) *extentEntry {
	return &extentEntry{d.uint(), d.uint(), d.position(), d.position(), d.uint(), d.position(), uint32(d.uint()), d.uint()}
}

// gapEntry remembers a gap that was told and stands nowhere else, so that it
// is told once.
type gapEntry struct {
	from, to int64
	text     uint32 // CRC-32C of its reason
}

func (*gapEntry) kind() kind { return kindGap }

func (e *gapEntry) put(b []byte) []byte {
	return putUint(putInt(putInt(b, e.from), e.to), uint64(e.text))
}

// rewindEntry tells that a source went back. The new position stands in the
// extent that follows; this is for whoever reads the record.
type rewindEntry struct {
	generation uint64
	from, to   int64
}

func (*rewindEntry) kind() kind { return kindRewind }

func (e *rewindEntry) put(b []byte) []byte {
	return putInt(putInt(putUint(b, e.generation), e.from), e.to)
}

// bootEntry says which file the copy is and in which boot of the monitor the
// live slots count.
type bootEntry struct {
	boot string
	file fileKey // zero: there is none yet
	kept bool    // the file holds what the one before it held
}

func (*bootEntry) kind() kind { return kindBoot }

func (e *bootEntry) put(b []byte) []byte {
	b = putBytes(b, e.boot)
	b = e.file.put(b)
	if e.kept {
		return append(b, 1)
	}
	return append(b, 0)
}

func readBoot(d *decoder) *bootEntry {
	e := &bootEntry{boot: d.text(128), file: readKey(d)}
	var kept [1]byte
	d.fixed(kept[:])
	e.kept = kept[0] != 0
	return e
}

// eventEntry is an event that is to be told, until a toldEntry has its number.
type eventEntry struct {
	seq      uint64
	time     time.Time
	state    dtc.State
	from, to *int64
	reason   string
}

func (*eventEntry) kind() kind { return kindEvent }

func (e *eventEntry) put(b []byte) []byte {
	b = putUint(b, e.seq)
	b = putInt(b, e.time.UnixNano())
	b = putBytes(b, string(e.state))
	b = putOptional(b, e.from)
	b = putOptional(b, e.to)
	return putBytes(b, e.reason)
}

func putOptional(b []byte, v *int64) []byte {
	if v == nil {
		return putUint(b, 0)
	}
	return putInt(putUint(b, 1), *v)
}

func (d *decoder) optional() *int64 {
	if d.uint() == 0 {
		return nil
	}
	v := d.int()
	return &v
}

func readEvent(d *decoder) *eventEntry {
	return &eventEntry{
		d.uint(), time.Unix(0, d.int()), dtc.State(d.text(32)), d.optional(), d.optional(), d.text(4 * dtc.MaxText),
	}
}

// toldEntry says up to which number the events have been told.
type toldEntry struct{ seq uint64 }

func (*toldEntry) kind() kind            { return kindTold }
func (e *toldEntry) put(b []byte) []byte { return putUint(b, e.seq) }

// span is a range of logical positions, [from, to).
type span struct{ from, to int64 }

// unverifiedEntry says that a range of the copy could not be compared with
// the source after a power loss.
type unverifiedEntry struct{ span }

func (*unverifiedEntry) kind() kind { return kindUnverified }

func (e *unverifiedEntry) put(b []byte) []byte { return putInt(putInt(b, e.from), e.to) }
