package proc

import (
	"bytes"
	"slices"
)

// maxTargets is how many descriptors in an epoll instance are told.
const maxTargets = 32

// FDInfo is what is needed of /proc/PID/fdinfo/FD: proc_pid_fdinfo(5). A number
// is -1 if there is no such line.
type FDInfo struct {
	Pos     int64
	EventFD int64 // number of an eventfd(2)
	PID     int64 // of a pidfd
	Targets []int // descriptors that an epoll(7) instance watches: maxTargets at most, ascending
}

// Parse fills f from the file's content. It keeps the memory of Targets.
func (f *FDInfo) Parse(data []byte) {
	*f = FDInfo{Pos: -1, EventFD: -1, PID: -1, Targets: f.Targets[:0]}
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		v, _ := number(value)
		switch string(key) {
		case "pos":
			f.Pos = v
		case "eventfd-id":
			f.EventFD = v
		case "Pid":
			f.PID = v
		case "tfd":
			if len(f.Targets) < maxTargets {
				f.Targets = append(f.Targets, int(v))
			}
		}
	}
	slices.Sort(f.Targets)
}

// MoreTargets says whether there may be more than were told.
func (f *FDInfo) MoreTargets() bool { return len(f.Targets) == maxTargets }
