package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"dtc"
)

// The frames of the log protocol, ALPN dtc-log/1, follow each other without a
// pause on the connection, the same in both directions:
//
//	byte 0      kind, dtc.FrameKind
//	byte 1      fields, a bit for each that is not zero, see below
//	bytes 2-3   length of the head, big endian
//	bytes 4-7   length of the data, big endian
//	head        the fields with a bit, lowest bit first
//	data        dtc.Frame.Data, as it is
//
//	bit  field       in the head
//	0    Stream      number
//	1    Epoch       number
//	2    Generation  number
//	3    Offset      position
//	4    End         position
//	5    Sum         4 bytes, big endian
//	6    ID          number
//	7    Text and    length (number) and bytes of Text, then the number of
//	     States      States, then each of them
//
// A state is: Generation (number), Identity (its length as a number, its
// bytes), Start, Position, Durable (positions), Sum (4 bytes), HeadLen
// (number), Head (16 bytes), MarkerLen (number), Marker (16 bytes), Sealed (one
// byte, 0 or 1).
//
// A number is an unsigned LEB128 varint of the shortest form. A position is
// the number one more than it, so that dtc.Absent is 0.
//
// There is one encoding of a frame and no other is accepted: not an unknown
// kind, a field that is zero behind its bit, a longer varint, a byte behind the
// last field, a number that the field's type does not hold. These limits are
// checked before anything is allocated:
//
//	Data      Append, Packed: dtc.MaxChunk; Open: dtc.MaxIdentity; Answer: 64; else none
//	Text      Attach, Known: dtc.MaxAlias; else dtc.MaxText
//	States    State, Known: dtc.MaxGenerations, each Identity dtc.MaxIdentity,
//	          HeadLen dtc.HeadSize, MarkerLen dtc.MarkerSize; else none
//
// Which fields a kind uses, and what they mean, is told in package dtc.
const (
	framePrefix  = 8
	frameMaxHash = 64 // bytes of data in an Answer

	// frameMaxState is the longest that one state can be.
	frameMaxState = 3*binary.MaxVarintLen64 + dtc.MaxIdentity + 4*binary.MaxVarintLen64 + 4 + 2*len(dtc.Hash{}) + 1

	// frameMaxFields is the longest that a head can be but for its states.
	frameMaxFields = 8*binary.MaxVarintLen64 + 4 + dtc.MaxText

	// frameMaxHead is the longest head; it must fit its 16 bits.
	frameMaxHead = frameMaxFields + dtc.MaxGenerations*frameMaxState
	_            = uint16(frameMaxHead)
)

// The bits of the fields.
const (
	frameHasStream = 1 << iota
	frameHasEpoch
	frameHasGeneration
	frameHasOffset
	frameHasEnd
	frameHasSum
	frameHasID
	frameHasMore
)

// ErrFrame is in the chain of the error of a frame that breaks the protocol:
// of [Link.Send] when it was asked to send one, of [Link.Recv] when the peer
// sent one. The connection is of no use after the latter.
var ErrFrame = errors.New("invalid frame")

func frameErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFrame, fmt.Sprintf(format, args...))
}

// frameLimits are the most bytes, and states, that a frame of one kind holds.
type frameLimits struct{ head, data, text, states int }

// frameLimitsOf returns the limits of a kind, false if there is no such kind.
func frameLimitsOf(kind dtc.FrameKind) (frameLimits, bool) {
	lim := frameLimits{head: frameMaxFields, text: dtc.MaxText}
	switch kind {
	case dtc.FrameAppend, dtc.FramePacked:
		lim.data = dtc.MaxChunk
	case dtc.FrameOpen:
		lim.data = dtc.MaxIdentity
	case dtc.FrameAnswer:
		lim.data = frameMaxHash
	case dtc.FrameAttach:
		lim.text = dtc.MaxAlias
	case dtc.FrameKnown:
		lim.head, lim.text, lim.states = frameMaxHead, dtc.MaxAlias, dtc.MaxGenerations
	case dtc.FrameState:
		lim.head, lim.states = frameMaxHead, dtc.MaxGenerations
	default:
		return lim, kind >= dtc.FrameHello && kind <= dtc.FrameFollow
	}
	return lim, true
}

// frameCheck says what of f cannot be sent.
func frameCheck(f *dtc.Frame) error {
	lim, ok := frameLimitsOf(f.Kind)
	switch {
	case !ok:
		return frameErrorf("unknown kind %d", f.Kind)
	case len(f.Data) > lim.data:
		return frameErrorf("%d bytes of data in kind %d, at most %d", len(f.Data), f.Kind, lim.data)
	case len(f.Text) > lim.text:
		return frameErrorf("%d bytes of text in kind %d, at most %d", len(f.Text), f.Kind, lim.text)
	case len(f.States) > lim.states:
		return frameErrorf("%d generations in kind %d, at most %d", len(f.States), f.Kind, lim.states)
	case f.Offset < dtc.Absent || f.End < dtc.Absent:
		return frameErrorf("position %d below zero", min(f.Offset, f.End))
	}
	for i := range f.States {
		if err := frameCheckState(&f.States[i]); err != nil {
			return err
		}
	}
	return nil
}

func frameCheckState(s *dtc.GenerationState) error {
	switch {
	case len(s.Identity) > dtc.MaxIdentity:
		return frameErrorf("%d bytes of identity, at most %d", len(s.Identity), dtc.MaxIdentity)
	case min(s.Start, s.Position, s.Durable) < dtc.Absent:
		return frameErrorf("position %d below zero", min(s.Start, s.Position, s.Durable))
	case s.HeadLen < 0 || s.HeadLen > dtc.HeadSize:
		return frameErrorf("head of %d bytes, at most %d", s.HeadLen, dtc.HeadSize)
	case s.MarkerLen < 0 || s.MarkerLen > dtc.MarkerSize:
		return frameErrorf("marker of %d bytes, at most %d", s.MarkerLen, dtc.MarkerSize)
	}
	return nil
}

// frameAppend appends f but for its data, which is to follow.
func frameAppend(b []byte, f *dtc.Frame) ([]byte, error) {
	if err := frameCheck(f); err != nil {
		return b, err
	}
	start := len(b)
	b = append(b, byte(f.Kind), 0, 0, 0, 0, 0, 0, 0)
	fields := byte(0)
	number := func(bit byte, n uint64) {
		if n != 0 {
			fields |= bit
			b = binary.AppendUvarint(b, n)
		}
	}
	position := func(bit byte, n int64) {
		if n != 0 {
			fields |= bit
			b = frameAppendPosition(b, n)
		}
	}
	number(frameHasStream, uint64(f.Stream))
	number(frameHasEpoch, f.Epoch)
	number(frameHasGeneration, f.Generation)
	position(frameHasOffset, f.Offset)
	position(frameHasEnd, f.End)
	if f.Sum != 0 {
		fields |= frameHasSum
		b = binary.BigEndian.AppendUint32(b, f.Sum)
	}
	number(frameHasID, f.ID)
	if f.Text != "" || len(f.States) > 0 {
		fields |= frameHasMore
		b = frameAppendMore(b, f)
	}
	b[start+1] = fields
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start-framePrefix)) // frameMaxHead fits
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(f.Data)))              // checked
	return b, nil
}

func frameAppendPosition(b []byte, n int64) []byte { return binary.AppendUvarint(b, uint64(n)+1) }

func frameAppendMore(b []byte, f *dtc.Frame) []byte {
	b = binary.AppendUvarint(b, uint64(len(f.Text)))
	b = append(b, f.Text...)
	b = binary.AppendUvarint(b, uint64(len(f.States)))
	for i := range f.States {
		s := &f.States[i]
		b = binary.AppendUvarint(b, s.Generation)
		b = binary.AppendUvarint(b, uint64(len(s.Identity)))
		b = append(b, s.Identity...)
		b = frameAppendPosition(b, s.Start)
		b = frameAppendPosition(b, s.Position)
		b = frameAppendPosition(b, s.Durable)
		b = binary.BigEndian.AppendUint32(b, s.Sum)
		b = binary.AppendUvarint(b, uint64(s.HeadLen))
		b = append(b, s.Head[:]...)
		b = binary.AppendUvarint(b, uint64(s.MarkerLen))
		b = append(b, s.Marker[:]...)
		sealed := byte(0)
		if s.Sealed {
			sealed = 1
		}
		b = append(b, sealed)
	}
	return b
}

// frameStart is what the first bytes of a frame tell.
type frameStart struct {
	kind       dtc.FrameKind
	fields     byte
	head, data int // bytes that follow, within the kind's limits
}

// frameParseStart reads the first framePrefix bytes of a frame.
func frameParseStart(b []byte) (frameStart, error) {
	s := frameStart{
		kind:   dtc.FrameKind(b[0]),
		fields: b[1],
		head:   int(binary.BigEndian.Uint16(b[2:])),
	}
	data := binary.BigEndian.Uint32(b[4:])
	lim, ok := frameLimitsOf(s.kind)
	switch {
	case !ok:
		return s, frameErrorf("unknown kind %d", s.kind)
	case s.head > lim.head:
		return s, frameErrorf("head of %d bytes in kind %d", s.head, s.kind)
	case data > uint32(lim.data):
		return s, frameErrorf("%d bytes of data in kind %d, at most %d", data, s.kind, lim.data)
	}
	s.data = int(data)
	return s, nil
}

// frameParseHead fills f with all but its data. Identities in States point into
// head; the row of States is f's own, used again.
func frameParseHead(f *dtc.Frame, s frameStart, head []byte) error {
	*f = dtc.Frame{Kind: s.kind, States: f.States[:0]}
	r := frameReader{rest: head}
	if s.fields&frameHasStream != 0 {
		f.Stream = uint32(r.nonzero(math.MaxUint32))
	}
	if s.fields&frameHasEpoch != 0 {
		f.Epoch = r.nonzero(math.MaxUint64)
	}
	if s.fields&frameHasGeneration != 0 {
		f.Generation = r.nonzero(math.MaxUint64)
	}
	if s.fields&frameHasOffset != 0 {
		f.Offset = r.nonzeroPosition()
	}
	if s.fields&frameHasEnd != 0 {
		f.End = r.nonzeroPosition()
	}
	if s.fields&frameHasSum != 0 {
		f.Sum = r.sum()
		if f.Sum == 0 {
			r.fail()
		}
	}
	if s.fields&frameHasID != 0 {
		f.ID = r.nonzero(math.MaxUint64)
	}
	if s.fields&frameHasMore != 0 {
		r.more(f)
	}
	if len(r.rest) > 0 {
		r.fail()
	}
	if r.bad {
		return frameErrorf("malformed head in kind %d", s.kind)
	}
	return nil
}

// frameReader takes fields off a head. After the first fault it gives zeros.
type frameReader struct {
	rest []byte
	bad  bool
}

func (r *frameReader) fail() { r.bad, r.rest = true, nil }

// number reads a varint of the shortest form, of at most limit.
func (r *frameReader) number(limit uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || size > 1 && r.rest[size-1] == 0 || n > limit {
		r.fail()
	}
	if r.bad {
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *frameReader) nonzero(limit uint64) uint64 {
	n := r.number(limit)
	if n == 0 {
		r.fail()
	}
	return n
}

func (r *frameReader) position() int64 { return int64(r.number(math.MaxInt64+1) - 1) }

func (r *frameReader) nonzeroPosition() int64 {
	n := r.position()
	if n == 0 {
		r.fail()
	}
	return n
}

// bytes reads n bytes without copying them.
func (r *frameReader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.fail()
	}
	if r.bad {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *frameReader) sum() uint32 {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// more reads the text and the states of f.
func (r *frameReader) more(f *dtc.Frame) {
	lim, _ := frameLimitsOf(f.Kind)
	f.Text = string(r.bytes(int(r.number(uint64(lim.text)))))
	n := int(r.number(uint64(lim.states)))
	if f.Text == "" && n == 0 {
		r.fail()
	}
	for range n {
		if r.bad {
			return
		}
		f.States = append(f.States, r.state())
	}
}

func (r *frameReader) state() dtc.GenerationState {
	s := dtc.GenerationState{Generation: r.number(math.MaxUint64)}
	s.Identity = r.bytes(int(r.number(dtc.MaxIdentity)))
	s.Start, s.Position, s.Durable = r.position(), r.position(), r.position()
	s.Sum = r.sum()
	s.HeadLen = int(r.number(dtc.HeadSize))
	copy(s.Head[:], r.bytes(len(s.Head)))
	s.MarkerLen = int(r.number(dtc.MarkerSize))
	copy(s.Marker[:], r.bytes(len(s.Marker)))
	sealed := r.bytes(1)
	if len(sealed) != 1 || sealed[0] > 1 {
		r.fail()
	}
	s.Sealed = !r.bad && sealed[0] == 1
	return s
}
