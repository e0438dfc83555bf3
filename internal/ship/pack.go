package ship

import (
	"time"

	"dtc"

	"github.com/klauspost/compress/zstd"
)

// Bytes are compressed only while the link is the limit: on a fast one that
// would cost the host more than it gives.
const (
	slowLink   = 64 << 20               // bytes a second of a link that is worth it to compress for
	meterSpan  = 100 * time.Millisecond // that sends must have taken until they say something
	meterMin   = 64 << 10               // bytes of a frame whose sending is measured
	packMin    = 1 << 10                // bytes of a chunk that is worth it
	packRest   = 16                     // chunks of a stream that are sent as they are after one that could not be packed
	packKeep   = 30 * time.Second       // that an encoder is kept without use
	packWindow = dtc.MaxChunk           // of the encoder: each chunk is packed by itself
)

// meter measures what the link takes: a Link around the connection's own.
type meter struct {
	Link
	took  time.Duration // that sends took since the last verdict
	bytes int64         // that they sent
	slow  bool          // the last verdict
}

func (m *meter) Send(f *dtc.Frame) error {
	if len(f.Data) < meterMin && f.Kind != dtc.FramePacked {
		return m.Link.Send(f) // what such a send takes says nothing of the link
	}
	began := time.Now()
	err := m.Link.Send(f)
	m.count(time.Since(began), len(f.Data))
	return err
}

// count takes note of a send. What is sent to a link that has room takes next to
// no time, so that only one that is full is found to be slow.
func (m *meter) count(took time.Duration, bytes int) {
	m.took += took
	m.bytes += int64(bytes)
	if m.took < meterSpan && m.bytes < slowLink {
		return
	}
	m.slow = float64(m.bytes) < slowLink*m.took.Seconds()
	m.took, m.bytes = 0, 0
}

// packer packs chunks while the link is slow. Its encoder is made when it is
// needed.
type packer struct {
	encoder *zstd.Encoder
	buf     []byte
	used    time.Time
}

// pack returns data packed, nil if that is not worth it. It is valid until the
// next call.
func (p *packer) pack(data []byte, now time.Time) []byte {
	if p.encoder == nil {
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(packWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil // the options are constants: it does not happen
		}
		p.encoder, p.buf = encoder, make([]byte, 0, dtc.MaxChunk)
	}
	p.used = now
	p.buf = p.encoder.EncodeAll(data, p.buf[:0])
	if len(p.buf) > len(data)-len(data)/8 {
		return nil
	}
	return p.buf
}

// rest lets the encoder go if it was not used for long.
func (p *packer) rest(now time.Time) {
	if p.encoder != nil && now.Sub(p.used) > packKeep {
		_ = p.encoder.Close() // it writes nowhere
		p.encoder, p.buf = nil, nil
	}
}

// shipped returns the frame that carries data, the bytes of a generation before
// end.
func (x *session) shipped(st *stream, data []byte, end int64, now time.Time) dtc.Frame {
	f := dtc.Frame{Kind: dtc.FrameAppend, Offset: end - int64(len(data)), Data: data}
	if !x.meter.slow || x.features&dtc.FeaturePacked == 0 || len(data) < packMin {
		return f
	}
	if st.unpacked > 0 {
		st.unpacked--
		return f
	}
	packed := x.packer.pack(data, now)
	if packed == nil {
		st.unpacked = packRest
		return f
	}
	f.Kind, f.End, f.Data = dtc.FramePacked, end, packed
	return f
}
