//go:build unix

package status

import (
	"math"

	"dtc"
)

// inodes count the files that there may be. A file system without a fixed
// number of them says that there may be none.
type inodes struct{ total, free uint64 }

func (n inodes) fill(d *dtc.Disk) {
	if n.total > 0 && n.total <= math.MaxInt64 && n.free <= n.total {
		d.TotalInodes, d.UsedInodes, d.FreeInodes = int64(n.total), int64(n.total-n.free), int64(n.free)
	}
}
