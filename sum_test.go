package dtc

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestSums compares with the sums of the bytes themselves.
func TestSums(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "b")
		n := rapid.IntRange(0, 70_000).Draw(t, "n")
		sum := crc32.Checksum(a, table)
		if got, want := JoinSum(sum, crc32.Checksum(b, table), int64(len(b))), crc32.Update(sum, table, b); got != want {
			t.Errorf("%d and %d bytes joined: %08x, not %08x", len(a), len(b), got, want)
		}
		if got, want := ZeroSum(sum, int64(n)), crc32.Update(sum, table, make([]byte, n)); got != want {
			t.Errorf("%d bytes and %d zeros: %08x, not %08x", len(a), n, got, want)
		}
		big := rapid.Int64Range(0, MaxHole).Draw(t, "big")
		part := rapid.Int64Range(0, big).Draw(t, "part")
		if got, want := ZeroSum(ZeroSum(sum, part), big-part), ZeroSum(sum, big); got != want {
			t.Errorf("%d zeros in two parts: %08x, not %08x", big, got, want)
		}
	})
	whole := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if got, want := JoinSum(0, crc32.Checksum(whole, table), int64(len(whole))), crc32.Checksum(whole, table); got != want {
		t.Errorf("a sum behind nothing: %08x, not %08x", got, want)
	}
}

func BenchmarkJoinSum(b *testing.B) {
	for b.Loop() {
		JoinSum(rand.Uint32(), rand.Uint32(), MaxChunk)
	}
}
