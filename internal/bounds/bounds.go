// Package bounds holds parsers to the memory that their input is worth. Only
// tests use it.
package bounds

import (
	"runtime/metrics"
	"testing"
)

// What a parser may allocate in all, for an input of no size and for each byte
// more. It is generous, as some of it is the test's own: what a length or a
// number in a few bytes can ask for is far more.
const (
	allocBase    = 64 << 20
	allocPerByte = 1 << 10
)

// Alloc fails the test if more is allocated than an input of that many bytes is
// worth, from the call until what it returns is called:
//
//	defer bounds.Alloc(t, len(data))()
func Alloc(tb testing.TB, size int) func() {
	tb.Helper()
	before := allocated()
	return func() {
		tb.Helper()
		if got, most := allocated()-before, uint64(allocBase+allocPerByte*size); got > most {
			tb.Errorf("%d bytes of input made it allocate %d bytes, more than %d", size, got, most)
		}
	}
}

// allocated returns how many bytes have been allocated since the program began.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
