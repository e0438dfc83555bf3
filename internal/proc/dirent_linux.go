package proc

import (
	"encoding/binary"
	"math"
)

// Layout of struct linux_dirent64: see getdents64(2).
const (
	direntReclen = 16 // uint16
	direntName   = 19 // up to a NUL
)

// appendNumbers appends the names among raw directory entries that are decimal
// numbers without leading zeros.
func appendNumbers(into []int, ents []byte) []int {
	for len(ents) > direntName {
		length := int(binary.NativeEndian.Uint16(ents[direntReclen:]))
		if length <= direntName || length > len(ents) {
			break
		}
		if n, ok := numericName(ents[direntName:length]); ok {
			into = append(into, n)
		}
		ents = ents[length:]
	}
	return into
}

// numericName reads a name that ends in a NUL.
func numericName(name []byte) (n int, ok bool) {
	for i, c := range name {
		switch {
		case c == 0:
			return n, i > 0
		case c < '0' || c > '9' || n > math.MaxInt32/10 || i == 1 && name[0] == '0':
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return 0, false
}
