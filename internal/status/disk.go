package status

import (
	"fmt"
	"math"
	"math/bits"

	"dtc"
)

// unknownDisk is the row of a file system that does not answer.
func unknownDisk(dir, kind, source string) dtc.Disk {
	return dtc.Disk{
		Filesystem: source, Type: kind, MountedOn: dir, TotalBytes: dtc.Absent, UsedBytes: dtc.Absent,
		AvailableBytes: dtc.Absent, UsedPercent: dtc.AbsentFloat(),
		TotalInodes: dtc.Absent, UsedInodes: dtc.Absent, FreeInodes: dtc.Absent,
	}
}

// blocks count the room in a file system as statvfs(3) does. What it does not
// know is the largest number; fewer blocks than none are available to users
// where privileged ones have taken of what is reserved for them.
type blocks struct {
	size      uint64 // of one, in bytes
	total     uint64
	free      uint64
	available uint64 // to users without privileges; a negative number in two's complement
}

const unknownBlocks = math.MaxUint64

// fill sets the sizes and the percentage of d.
func (b *blocks) fill(d *dtc.Disk) {
	d.TotalBytes, d.UsedBytes, d.AvailableBytes = dtc.Absent, dtc.Absent, dtc.Absent
	if b.total != unknownBlocks {
		d.TotalBytes = b.bytes(b.total)
		if b.free != unknownBlocks {
			d.UsedBytes = b.signed(b.total - b.free)
		}
	}
	if b.available != unknownBlocks {
		d.AvailableBytes = b.signed(b.available)
	}
	d.UsedPercent = b.percent()
}

// bytes is the size of n blocks, as far as an int64 goes.
func (b *blocks) bytes(n uint64) int64 {
	if high, low := bits.Mul64(n, b.size); high == 0 && low <= math.MaxInt64 {
		return int64(low)
	}
	return math.MaxInt64
}

// signed is the size of as many blocks as n is in two's complement.
func (b *blocks) signed(n uint64) int64 {
	if int64(n) < 0 {
		return -b.bytes(-n)
	}
	return b.bytes(n)
}

// percent is the share of the used blocks of those that are used or available,
// rounded up. It is absent if that makes no sense.
func (b *blocks) percent() float64 {
	if b.total == unknownBlocks || b.free == unknownBlocks || b.available == unknownBlocks {
		return dtc.AbsentFloat()
	}
	used, available := b.total-b.free, b.available
	whole := used + available
	if high, hundredfold := bits.Mul64(used, 100); int64(used) >= 0 && int64(whole) > 0 && high == 0 {
		percent := hundredfold / whole
		if hundredfold%whole != 0 {
			percent++
		}
		return float64(percent)
	}
	percent := math.Ceil(100 * float64(int64(used)) / (float64(int64(used)) + float64(int64(available))))
	if percent >= 0 && !math.IsInf(percent, 0) {
		return percent
	}
	return dtc.AbsentFloat()
}

// notes are lines for the operator, not too many of them.
type notes []string

const mostNotes = 20

func (n *notes) addf(format string, args ...any) {
	if len(*n) < mostNotes {
		*n = append(*n, fmt.Sprintf(format, args...))
	}
}
