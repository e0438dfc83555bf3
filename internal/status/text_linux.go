package status

import "strings"

// textChunk is how much text shares one allocation.
const textChunk = 32 << 10

// text makes strings of bytes. Many of them share one allocation, so that a
// long list costs no allocation an item.
type text struct {
	chunk strings.Builder
	bytes int // made so far
}

// made is how many bytes of text there are so far.
func (t *text) made() int { return t.bytes }

func (t *text) string(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if t.chunk.Cap()-t.chunk.Len() < len(b) {
		t.chunk = strings.Builder{} // strings made so far keep the old one
		t.chunk.Grow(max(textChunk, len(b)))
	}
	t.bytes += len(b)
	start := t.chunk.Len()
	t.chunk.Write(b)
	return t.chunk.String()[start:]
}
