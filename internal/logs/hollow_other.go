//go:build !linux && !darwin && !freebsd

package logs

import "os"

// holeFrom returns end: the system is not asked for holes.
func holeFrom(_ *os.File, _, end int64) int64 { return end }
