//go:build !linux && !darwin && !freebsd && !windows

package logs

import "os"

// dataFrom returns at: the system is not asked for holes.
func dataFrom(_ *os.File, at, _ int64) int64 { return at }
