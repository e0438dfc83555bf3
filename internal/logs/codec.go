package logs

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// castagnoli is the table of every checksum here, in records as in frames. It is
// made with the first: the table takes time that every command would pay.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// recordHead is the length of what stands before each record's payload: the
// length of kind and payload, and their CRC-32C, 4 bytes little-endian each.
const recordHead = 8

// maxRecord bounds one record: a block of arrival marks is the largest.
const maxRecord = 1 << 20

// errRecord is a record with a right checksum and a content that makes no
// sense.
var errRecord = errors.New("a record that makes no sense")

// appendRecord adds one framed record to b.
func appendRecord(b []byte, e entry) []byte {
	at := len(b)
	b = append(b, make([]byte, recordHead)...)
	b = append(b, byte(e.kind()))
	b = e.put(b)
	body := b[at+recordHead:]
	binary.LittleEndian.PutUint32(b[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli()))
	return b
}

// cutRecord takes the first record off b: its body (kind and payload) and its
// whole length. ok is false when b does not begin with a valid record.
func cutRecord(b []byte) (body []byte, n int, ok bool) {
	if len(b) < recordHead+1 {
		return nil, 0, false
	}
	size := binary.LittleEndian.Uint32(b)
	if size < 1 || size > maxRecord || int(size) > len(b)-recordHead {
		return nil, 0, false
	}
	body = b[recordHead : recordHead+int(size)]
	if crc32.Checksum(body, castagnoli()) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0, false
	}
	return body, recordHead + int(size), true
}

// validBehind tells whether a valid record begins anywhere in b: then what
// stands before it is damage and not the torn end of a last write.
func validBehind(b []byte) bool {
	for i := 1; i < len(b); i++ {
		body, _, ok := cutRecord(b[i:])
		if !ok {
			continue
		}
		if _, err := decodeEntry(body); err == nil {
			return true
		}
	}
	return false
}

func putUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }
func putInt(b []byte, v int64) []byte   { return binary.AppendVarint(b, v) }

func putBytes[T ~[]byte | ~string](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// decoder reads what the put functions wrote. After the first fault every
// further value is zero, and err tells.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b, d.err = nil, errRecord
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// position is an int that may not be negative.
func (d *decoder) position() int64 {
	v := d.int()
	if v < 0 {
		d.fail()
		return 0
	}
	return v
}

// bytes returns a copy of a text of at most limit bytes.
func (d *decoder) bytes(limit int) []byte {
	n := d.uint()
	if n > uint64(limit) || n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := append([]byte(nil), d.b[:n]...)
	d.b = d.b[n:]
	return v
}

func (d *decoder) text(limit int) string { return string(d.bytes(limit)) }

// fixed fills v.
func (d *decoder) fixed(v []byte) {
	if len(d.b) < len(v) {
		d.fail()
		return
	}
	d.b = d.b[copy(v, d.b):]
}

// end returns the first fault; bytes that are left over are one.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return errRecord
	}
	return d.err
}
