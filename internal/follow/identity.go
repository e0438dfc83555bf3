package follow

import (
	"encoding/binary"
	"errors"
	"fmt"

	"dtc"
)

// Identity tells one file of a host from every other, also from one that got
// its inode number after it was removed. It is comparable.
type Identity struct {
	Device  uint64    // of the file system; another one after a reboot is possible
	Node    [2]uint64 // inode number, or the 128 bits of a file id
	Version uint64    // the inode's generation number (FS_IOC_GETVERSION), 0 if the file system has none
	Birth   int64     // creation time in ns since 1970, 0 if the file system keeps none
}

// Strong reports whether the identity survives the reuse of an inode number.
func (i Identity) Strong() bool { return i.Version != 0 || i.Birth != 0 }

// Same reports whether both name one file. The device's number alone does not
// part them, unless there is nothing else to tell files apart.
func (i Identity) Same(o Identity) bool {
	return i.Node == o.Node && i.Version == o.Version && i.Birth == o.Birth &&
		(i.Device == o.Device || i.Strong())
}

// Light is the identity as far as it is known without opening the file.
func (i Identity) Light() Identity {
	i.Version = 0
	return i
}

// Origin is where the bytes of a generation come from, as the monitor keeps it
// for the agent.
type Origin struct {
	Identity
	Incarnation uint64 // counts the truncations of this file that were seen
	Path        string // where it was first seen; "" if too long to be kept
}

const originVersion = 1

// Encode returns the origin as at most [dtc.MaxIdentity] bytes.
func (o Origin) Encode() []byte {
	b := []byte{originVersion}
	for _, v := range []uint64{o.Device, o.Node[0], o.Node[1], o.Version} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendVarint(b, o.Birth)
	b = binary.AppendUvarint(b, o.Incarnation)
	if len(b)+len(o.Path) <= dtc.MaxIdentity {
		b = append(b, o.Path...)
	}
	return b
}

var errOrigin = errors.New("the identity of a generation is cut short")

// DecodeOrigin is the inverse of Encode.
func DecodeOrigin(b []byte) (Origin, error) {
	if len(b) == 0 || len(b) > dtc.MaxIdentity {
		return Origin{}, fmt.Errorf("the identity of a generation has %d bytes", len(b))
	}
	if b[0] != originVersion {
		return Origin{}, fmt.Errorf("the identity of a generation has the unknown version %d", b[0])
	}
	b = b[1:]
	var o Origin
	for _, field := range []*uint64{&o.Device, &o.Node[0], &o.Node[1], &o.Version} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Origin{}, errOrigin
		}
		*field, b = v, b[n:]
	}
	birth, n := binary.Varint(b)
	if n <= 0 {
		return Origin{}, errOrigin
	}
	o.Birth, b = birth, b[n:]
	if o.Incarnation, n = binary.Uvarint(b); n <= 0 {
		return Origin{}, errOrigin
	}
	o.Path = string(b[n:])
	return o, nil
}
