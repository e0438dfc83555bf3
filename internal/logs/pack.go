package logs

import (
	"fmt"
	"sync"

	"dtc"

	"github.com/klauspost/compress/zstd"
)

// unpackers is how many chunks are unpacked at a time.
const unpackers = 4

// unpacker makes bytes of packed ones, for all connections: a decoder has more
// memory than a connection should.
type unpacker struct {
	once    sync.Once
	decoder *zstd.Decoder
	err     error
}

// unpack appends to b what data stands for; that has n bytes, at most
// [dtc.MaxChunk].
func (u *unpacker) unpack(b, data []byte, n int64) ([]byte, error) {
	u.once.Do(func() {
		u.decoder, u.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(unpackers), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(dtc.MaxChunk), zstd.WithDecoderMaxWindow(dtc.MaxChunk))
	})
	if u.err != nil {
		return nil, u.err
	}
	b, err := u.decoder.DecodeAll(data, b)
	if err != nil {
		return nil, fmt.Errorf("%w: a packed append: %w", errProtocol, err)
	}
	if int64(len(b)) != n {
		return nil, fmt.Errorf("%w: a packed append of %d bytes that says it has %d", errProtocol, len(b), n)
	}
	return b, nil
}

// close ends the decoder. Nothing may be unpacked any more.
func (u *unpacker) close() {
	u.once.Do(func() {})
	if u.decoder != nil {
		u.decoder.Close()
	}
}

// packed stores bytes that came packed.
func (att *attachment) packed(f *dtc.Frame) error {
	n := f.End - f.Offset
	if f.Offset < 0 || f.Offset > maxPosition || n <= 0 || n > dtc.MaxChunk {
		return fmt.Errorf("%w: a packed append that cannot be", errProtocol)
	}
	c := att.conn
	raw, err := c.store.unpacker.unpack(c.raw[:0], f.Data, n)
	if err != nil {
		return err
	}
	c.raw = raw
	return att.append(&dtc.Frame{Kind: dtc.FrameAppend, Generation: f.Generation, Offset: f.Offset, Sum: f.Sum, Data: raw})
}
