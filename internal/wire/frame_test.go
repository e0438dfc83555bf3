package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dtc"
	"dtc/internal/bounds"
)

// frameDecode reads one whole frame.
func frameDecode(b []byte) (dtc.Frame, error) {
	var f dtc.Frame
	if len(b) < framePrefix {
		return f, frameErrorf("short")
	}
	start, err := frameParseStart(b)
	if err != nil {
		return f, err
	}
	b = b[framePrefix:]
	if len(b) != start.head+start.data {
		return f, frameErrorf("short or long")
	}
	if err := frameParseHead(&f, start, b[:start.head]); err != nil {
		return f, err
	}
	if start.data > 0 {
		f.Data = b[start.head:]
	}
	return f, nil
}

func frameEncode(tb testing.TB, f *dtc.Frame) []byte {
	tb.Helper()
	b, err := frameAppend(nil, f)
	if err != nil {
		tb.Fatal(err)
	}
	return append(b, f.Data...)
}

// frameSame compares frames; an empty row of states is none.
func frameSame(a, b dtc.Frame) bool {
	for _, f := range []*dtc.Frame{&a, &b} {
		if len(f.States) == 0 {
			f.States = nil
		}
		if len(f.Data) == 0 {
			f.Data = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

// The bytes of frames are a promise between versions: here is what they are.
func TestFrameBytes(t *testing.T) {
	for _, c := range []struct {
		want  string
		frame dtc.Frame
	}{
		{"01c0 0006 00000000 | 01 03 626f6f 00", dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boo"}},
		{"03 00 0000 00000000", dtc.Frame{Kind: dtc.FrameReady}},
		{"09 3f 000a 00000003 | 01 02 03 8101 00 00000004 | 616263", dtc.Frame{
			Kind: dtc.FrameAppend, Stream: 1, Epoch: 2, Generation: 3, Offset: 128, End: dtc.Absent, Sum: 4, Data: []byte("abc"),
		}},
		{"05 83 0032 00000000 | 07 09 00 01 | 01 02 6964 01 0b 00 00000005 05" + strings.Repeat("aa", 16) + " 08 " + strings.Repeat("bb", 16) + " 01", dtc.Frame{
			Kind: dtc.FrameState, Stream: 7, Epoch: 9, States: []dtc.GenerationState{{
				Generation: 1, Identity: []byte("id"), Start: 0, Position: 10, Durable: dtc.Absent, Sum: 5,
				HeadLen: 5, Head: dtc.Hash(bytes.Repeat([]byte{0xaa}, 16)), MarkerLen: 8, Marker: dtc.Hash(bytes.Repeat([]byte{0xbb}, 16)), Sealed: true,
			}},
		}},
	} {
		want, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(c.want))
		if err != nil {
			t.Fatal(err)
		}
		if got := frameEncode(t, &c.frame); !bytes.Equal(got, want) {
			t.Errorf("%+v:\n got %x\nwant %x", c.frame, got, want)
		}
		if got, err := frameDecode(want); err != nil || !frameSame(got, c.frame) {
			t.Errorf("%x:\n got %+v, %v\nwant %+v", want, got, err, c.frame)
		}
	}
}

// frameDraw makes any frame that may be sent.
func frameDraw(t *rapid.T) dtc.Frame {
	number := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 300), rapid.Uint64())
	position := rapid.OneOf(rapid.SampledFrom([]int64{0, dtc.Absent, 1, math.MaxInt64}), rapid.Int64Range(0, math.MaxInt64))
	f := dtc.Frame{
		Kind:       dtc.FrameKind(rapid.IntRange(1, int(dtc.FramePong)).Draw(t, "kind")),
		Stream:     rapid.Uint32().Draw(t, "stream"),
		Epoch:      number.Draw(t, "epoch"),
		Generation: number.Draw(t, "generation"),
		Offset:     position.Draw(t, "offset"),
		End:        position.Draw(t, "end"),
		Sum:        rapid.Uint32().Draw(t, "sum"),
		ID:         number.Draw(t, "id"),
	}
	lim, _ := frameLimitsOf(f.Kind)
	f.Text = string(rapid.SliceOfN(rapid.Byte(), 0, lim.text).Draw(t, "text"))
	f.Data = rapid.SliceOfN(rapid.Byte(), 0, min(lim.data, 1000)).Draw(t, "data")
	for range rapid.IntRange(0, lim.states).Draw(t, "states") {
		f.States = append(f.States, dtc.GenerationState{
			Generation: number.Draw(t, "g"), Identity: rapid.SliceOfN(rapid.Byte(), 0, dtc.MaxIdentity).Draw(t, "identity"),
			Start: position.Draw(t, "start"), Position: position.Draw(t, "position"), Durable: position.Draw(t, "durable"),
			Sum: rapid.Uint32().Draw(t, "sum"), HeadLen: rapid.IntRange(0, dtc.HeadSize).Draw(t, "headLen"),
			Head:      dtc.Hash(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "head")),
			MarkerLen: rapid.IntRange(0, dtc.MarkerSize).Draw(t, "markerLen"), Sealed: rapid.Bool().Draw(t, "sealed"),
		})
	}
	return f
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := frameDraw(t)
		b, err := frameAppend(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := frameDecode(append(b, want.Data...))
		if err != nil {
			t.Fatal(err)
		}
		if !frameSame(got, want) {
			t.Fatalf("got %+v", got)
		}
	})
}

// frameFull is a frame with all its fields at their longest.
func frameFull() dtc.Frame {
	f := dtc.Frame{
		Kind: dtc.FrameState, Stream: math.MaxUint32, Epoch: math.MaxUint64, Generation: math.MaxUint64, Offset: math.MaxInt64,
		End: math.MaxInt64, Sum: math.MaxUint32, ID: math.MaxUint64, Text: strings.Repeat("x", dtc.MaxText),
	}
	for range dtc.MaxGenerations {
		f.States = append(f.States, dtc.GenerationState{
			Generation: math.MaxUint64, Identity: make([]byte, dtc.MaxIdentity), Start: math.MaxInt64, Position: math.MaxInt64,
			Durable: math.MaxInt64, HeadLen: dtc.HeadSize, MarkerLen: dtc.MarkerSize, Sealed: true,
		})
	}
	return f
}

func TestFrameLongest(t *testing.T) {
	want := frameFull()
	b := frameEncode(t, &want)
	if got, err := frameDecode(b); err != nil || !frameSame(got, want) {
		t.Error(err)
	}
	if len(b) > framePrefix+frameMaxHead {
		t.Errorf("%d bytes, at most %d are accepted", len(b), framePrefix+frameMaxHead)
	}
}

// What is over a limit is not sent.
func TestFrameRefusesToEncode(t *testing.T) {
	state := func(s dtc.GenerationState) dtc.Frame {
		return dtc.Frame{Kind: dtc.FrameState, States: []dtc.GenerationState{s}}
	}
	for name, f := range map[string]dtc.Frame{
		"no kind":          {},
		"unknown kind":     {Kind: dtc.FrameFollow + 1},
		"data":             {Kind: dtc.FrameAppend, Data: make([]byte, dtc.MaxChunk+1)},
		"identity":         {Kind: dtc.FrameOpen, Data: make([]byte, dtc.MaxIdentity+1)},
		"hash":             {Kind: dtc.FrameAnswer, Data: make([]byte, frameMaxHash+1)},
		"data in another":  {Kind: dtc.FramePing, Data: []byte("x")},
		"text":             {Kind: dtc.FrameGap, Text: strings.Repeat("x", dtc.MaxText+1)},
		"alias":            {Kind: dtc.FrameAttach, Text: strings.Repeat("x", dtc.MaxAlias+1)},
		"known alias":      {Kind: dtc.FrameKnown, Text: strings.Repeat("x", dtc.MaxAlias+1)},
		"states":           {Kind: dtc.FrameState, States: make([]dtc.GenerationState, dtc.MaxGenerations+1)},
		"state in another": {Kind: dtc.FrameAck, States: make([]dtc.GenerationState, 1)},
		"offset":           {Kind: dtc.FrameAck, Offset: -2},
		"end":              {Kind: dtc.FrameAck, End: math.MinInt64},
		"state identity":   state(dtc.GenerationState{Identity: make([]byte, dtc.MaxIdentity+1)}),
		"state position":   state(dtc.GenerationState{Position: -2}),
		"state start":      state(dtc.GenerationState{Start: math.MinInt64}),
		"state head":       state(dtc.GenerationState{HeadLen: dtc.HeadSize + 1}),
		"state no head":    state(dtc.GenerationState{HeadLen: -1}),
		"state marker":     state(dtc.GenerationState{MarkerLen: dtc.MarkerSize + 1}),
		"state no marker":  state(dtc.GenerationState{MarkerLen: -1}),
	} {
		b, err := frameAppend([]byte("before"), &f)
		if !errors.Is(err, ErrFrame) || string(b) != "before" {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// There is one encoding of a frame; of any other byte the frame is refused.
func TestFrameRefusesToDecode(t *testing.T) {
	head := func(kind dtc.FrameKind, fields byte, head string) string {
		return string([]byte{byte(kind), fields, byte(len(head) >> 8), byte(len(head)), 0, 0, 0, 0}) + head
	}
	size := func(kind dtc.FrameKind, n uint32) string {
		return string(binary.BigEndian.AppendUint32([]byte{byte(kind), 0, 0, 0}, n)) + strings.Repeat("x", int(min(n, 1<<20)))
	}
	for name, b := range map[string]string{
		"no kind":            head(0, 0, ""),
		"unknown kind":       head(dtc.FrameFollow+1, 0, ""),
		"last kind":          head(255, 0, ""),
		"a byte behind":      head(dtc.FramePing, 0, "x"),
		"zero behind bit":    head(dtc.FramePing, frameHasStream, "\x00"),
		"zero position":      head(dtc.FrameAck, frameHasOffset, "\x01"),
		"zero sum":           head(dtc.FrameAppend, frameHasSum, "\x00\x00\x00\x00"),
		"nothing more":       head(dtc.FrameGap, frameHasMore, "\x00\x00"),
		"short sum":          head(dtc.FrameAppend, frameHasSum, "\x00\x00\x01"),
		"missing field":      head(dtc.FramePing, frameHasID, ""),
		"long varint":        head(dtc.FramePing, frameHasID, "\x81\x00"),
		"unended varint":     head(dtc.FramePing, frameHasID, "\x81"),
		"varint overflow":    head(dtc.FramePing, frameHasID, strings.Repeat("\xff", 9)+"\x02"),
		"stream too large":   head(dtc.FrameAck, frameHasStream, "\x80\x80\x80\x80\x10"),
		"position too large": head(dtc.FrameAck, frameHasOffset, strings.Repeat("\xff", 9)+"\x01"),
		"text too long":      head(dtc.FrameAttach, frameHasMore, "\xc9\x01"+strings.Repeat("x", 201)+"\x00"),
		"text cut":           head(dtc.FrameAttach, frameHasMore, "\x05abc"),
		"text huge":          head(dtc.FrameGap, frameHasMore, strings.Repeat("\xff", 9)+"\x01"),
		"no states":          head(dtc.FrameGap, frameHasMore, "\x01a"),
		"state in another":   head(dtc.FrameGap, frameHasMore, "\x01a\x01"+strings.Repeat("\x00", 45)),
		"states missing":     head(dtc.FrameState, frameHasMore, "\x00\x40"),
		"too many states":    head(dtc.FrameState, frameHasMore, "\x00\x41"+strings.Repeat("\x00", 65*45)),
		"sealed twice":       head(dtc.FrameState, frameHasMore, "\x00\x01"+strings.Repeat("\x00", 43)+"\x02"),
		"head too long":      head(dtc.FramePing, 0, strings.Repeat("x", frameMaxFields+1)),
		"data too long":      size(dtc.FrameAppend, dtc.MaxChunk+1),
		"data huge":          size(dtc.FrameAppend, math.MaxUint32),
		"data in another":    size(dtc.FramePing, 1),
		"identity too long":  size(dtc.FrameOpen, dtc.MaxIdentity+1),
	} {
		if f, err := frameDecode([]byte(b)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: got %+v, error %v", name, f, err)
		}
	}
	good := head(dtc.FrameState, frameHasMore, "\x00\x01"+strings.Repeat("\x00", 43)+"\x01")
	if _, err := frameDecode([]byte(good)); err != nil {
		t.Errorf("the frame that those are variants of: %v", err)
	}
}

// FuzzFrame reads any bytes as a row of frames, as a link does: what is accepted
// is within all limits and has exactly these bytes.
func FuzzFrame(f *testing.F) {
	full := frameFull()
	full.States = full.States[:2] // short seeds are changed faster
	for _, frame := range []dtc.Frame{
		{Kind: dtc.FrameHello, ID: 1, Text: "boot"},
		{Kind: dtc.FrameAttach, Stream: 3, Text: "app.log"},
		{Kind: dtc.FrameAppend, Stream: 1, Epoch: 2, Generation: 3, Offset: 4, Sum: 5, Data: []byte("abc")},
		{Kind: dtc.FrameGap, Stream: 1, Offset: 7, End: dtc.Absent, Text: "why"},
		{Kind: dtc.FrameKnown, Text: "app.log", States: full.States},
		full,
	} {
		f.Add(frameEncode(f, &frame))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		var frame dtc.Frame
		for len(b) >= framePrefix {
			start, err := frameParseStart(b)
			if err != nil {
				return
			}
			size := framePrefix + start.head + start.data
			if size > len(b) {
				return
			}
			if err := frameParseHead(&frame, start, b[framePrefix:framePrefix+start.head]); err != nil {
				return
			}
			frame.Data = b[framePrefix+start.head : size]
			again, err := frameAppend(nil, &frame)
			if err != nil {
				t.Fatalf("%x was accepted as %+v: %v", b[:size], frame, err)
			}
			if again = append(again, frame.Data...); !bytes.Equal(again, b[:size]) {
				t.Fatalf("%x became %x", b[:size], again)
			}
			b = b[size:]
		}
	})
}
