package dtc

import "math/bits"

// The sums of the log protocol are CRC-32C (Castagnoli). A sum is the remainder
// of a polynomial, and so what another sum or zeros behind it make of it is one
// multiplication, however long they are (as crc32_combine of zlib does it).

const (
	castagnoli = 0x82f63b78 // the polynomial, reversed
	one        = 1 << 31    // the polynomial 1, reversed
	order      = 31         // x^(2^31) is x again
)

// JoinSum returns the CRC-32C of some bytes of the sum a with n bytes of the sum
// b behind them.
func JoinSum(a, b uint32, n int64) uint32 { return product(zeros(n), a) ^ b }

// ZeroSum returns the CRC-32C of some bytes of that sum with n zeros behind them.
func ZeroSum(sum uint32, n int64) uint32 { return ^product(zeros(n), ^sum) }

// zeros returns what n bytes of zeros multiply a remainder with: x^(8n).
func zeros(n int64) uint32 {
	squares := squares()
	p := uint32(one)
	for left := uint64(n); left != 0; left &= left - 1 {
		p = product(squares[(bits.TrailingZeros64(left)+3)%order], p)
	}
	return p
}

// product returns the product of two polynomials modulo that of the sum.
func product(a, b uint32) uint32 {
	p := uint32(0)
	for ; a != 0; a <<= 1 {
		p ^= b & -(a >> 31)
		b = b>>1 ^ castagnoli&-(b&1)
	}
	return p
}

// squares returns x^(2^i).
func squares() *[order]uint32 {
	return &[order]uint32{
		0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18,
		0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62,
		0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
		0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
	}
}
