package dtc

// The bytes of followed files cross from an agent's ship to a monitor's logs
// as frames over a link (each side declares the interface it needs). The
// state of the copy lives at the monitor alone: the agent learns positions from
// it and keeps no registry.
//
//	agent                                     monitor
//	Hello ─────────────────────────────────►
//	      ◄───────────────── Known, Known, … Ready     what streams of this agent exist
//	Attach(stream, alias) ─────────────────►
//	      ◄─────────────────── State | Refused         epoch, generations, positions
//	Open(generation, identity, offset) ────►           idempotent
//	Append(generation, offset, bytes) ─────►               or Packed, or Hole
//	      ◄─────────── Ack(written, durable) | Nack(position)
//	Seal · Gap · Lost · Rewind · Size · Follow ─►
//	Ask ◄──────────────────────────────────► Answer    a hash of a range of either side
//	Ping ◄─────────────────────────────────► Pong

// Limits of the log protocol. A frame that breaks one ends its connection.
const (
	MaxChunk       = 256 << 10 // bytes of data in one Append
	MaxWindow      = 4 << 20   // bytes of one stream that may be unacknowledged (written)
	MaxConnWindow  = 64 << 20  // the same for a whole connection
	MaxAlias       = 200       // bytes
	MaxIdentity    = 512       // bytes
	MaxText        = 1024      // bytes
	MaxStreams     = 10_000    // of one agent
	MaxGenerations = 64        // in one State frame, the newest ones
	MaxHole        = 1 << 40   // bytes of one Hole
	MarkerSize     = 4096      // bytes before a position that prove it
	HeadSize       = 4096      // bytes at the start that prove a generation
)

// FrameKind says what a frame is.
type FrameKind uint8

// The frames. Behind each: the fields that it uses, beside Stream.
const (
	_ FrameKind = iota

	// FrameHello starts a connection: ID is the protocol's version (1), Text
	// the boot id of the agent's host.
	FrameHello
	// FrameKnown tells the agent of one stream of its that the monitor has:
	// Text is the alias, States its generations. Stream is 0.
	FrameKnown
	// FrameReady ends the row of FrameKnown: ID has a bit for each Feature that
	// the monitor has. Frames of a feature that it lacks are not sent to it.
	FrameReady
	// FrameAttach asks for the right to write a stream: Stream is the number
	// that the agent gives it on this connection (from 1), Text the alias. What
	// had the number before is given up; with no Text that is all, and the
	// answer is a FrameRefused.
	FrameAttach
	// FrameState grants it: Epoch to be given in every later frame of the
	// stream, States the generations that the monitor has.
	FrameState
	// FrameRefused refuses the stream: Text says why, for an operator.
	FrameRefused
	// FrameFenced tells that a newer connection has the stream now, or answers
	// so to a FrameAttach. The agent asks again later: that one may end.
	FrameFenced
	// FrameOpen declares a generation: Generation (one more than the highest
	// that the monitor has), Data its identity, Offset where in the source the
	// copy begins (0, or more with from="end"). The same again is no error.
	FrameOpen
	// FrameAppend carries bytes: Generation, Offset in the source of Data[0],
	// Sum the CRC-32C of Data, Data at most MaxChunk.
	FrameAppend
	// FrameAck tells what the copy holds: Generation, Offset the position after
	// the last byte written, End the position that is safe from a power loss.
	FrameAck
	// FrameNack rejects an Append that would leave a hole: Generation, Offset
	// the position that is expected.
	FrameNack
	// FrameSeal says that a generation has ended: Generation, End its length,
	// Sum the CRC-32C of its bytes from where the copy begins to End.
	FrameSeal
	// FrameGap says that bytes are lost: Generation, Offset, End (Absent if
	// unknown), Text why. Generation 0: not known of which.
	FrameGap
	// FrameRewind says that the source lost its end and goes on from Offset,
	// up to where it is the same as the copy: Generation, Offset, Text why.
	FrameRewind
	// FrameSize tells the source's size, for the lag: Generation, Offset the
	// size. Bytes of later generations that are not yet open stand in End.
	FrameSize
	// FrameAsk asks the other side for the SHA-256 of a range: ID, Generation,
	// Offset, End.
	FrameAsk
	// FrameAnswer answers: ID, Generation, Offset, End (less than asked if
	// there is less), Data the hash; Text why there is none.
	FrameAnswer
	// FramePaused and FrameResumed tell that the monitor cannot store, and
	// that it can again: Text why.
	FramePaused
	FrameResumed
	// FrameRejected tells the monitor of a file that the agent does not
	// follow: Text says which and why, for an operator. Stream is 0.
	FrameRejected
	// FramePing and FramePong keep a silent connection proven alive: ID.
	FramePing
	FramePong
	// FramePacked is an Append whose Data is one zstd frame: Generation, Offset
	// and End the range in the source (at most MaxChunk bytes), Sum the CRC-32C
	// of the bytes, not of Data. Feature FeaturePacked.
	FramePacked
	// FrameHole stands for bytes that are all zero and take no room in the
	// source: Generation, Offset, End (at most MaxHole behind it), Sum the
	// CRC-32C of the zeros. It counts as an Append of them. Feature FeatureHoles.
	FrameHole
	// FrameLost says that bytes behind the position were there and were
	// destroyed before they could be read; others may come in their place, and
	// the generation goes on: Generation, Offset, End, Text why. Unlike a
	// FrameGap it moves no position. Feature FeatureNotes.
	FrameLost
	// FrameFollow tells how well the source can be followed: Text is empty if
	// there is nothing to be said, else a few words for an operator ("polled:
	// nfs"). It stands until the next one, or the end of the connection. Feature
	// FeatureNotes.
	FrameFollow
)

// The features that a monitor may have beside the first version of the log
// protocol, bits of the ID of its FrameReady.
const (
	FeaturePacked uint64 = 1 << iota
	FeatureHoles
	FeatureNotes
)

// Frame is one message of the log protocol. Which fields count depends on its
// Kind; the others are zero.
type Frame struct {
	Kind       FrameKind
	Stream     uint32
	Epoch      uint64
	Generation uint64
	Offset     int64
	End        int64
	Sum        uint32
	ID         uint64
	Text       string
	Data       []byte // valid until the next call on the link that gave it
	States     []GenerationState
}

// Hash is the first 16 bytes of a SHA-256.
type Hash [16]byte

// GenerationState is what the monitor's copy holds of one generation of a
// source: one incarnation of its content, be it a file instance or the content
// of one file between two truncations.
type GenerationState struct {
	Generation uint64 // counts up from 1 in its stream
	Identity   []byte // as the agent gave it at Open; opaque to the monitor
	Start      int64  // where in the source the copy begins
	Position   int64  // after the last byte that the copy holds
	Durable    int64  // up to where it is safe from a power loss
	Sum        uint32 // CRC-32C of the bytes [Start, Position)

	// Head is the hash of the first HeadLen bytes from Start on, Marker that
	// of the last MarkerLen bytes before Position, both from the copy itself.
	HeadLen   int
	Head      Hash
	MarkerLen int
	Marker    Hash

	Sealed bool
}
