package status

import (
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// host is what answers on Linux need.
type host struct {
	root  string
	proc  proc.FS
	users *users
	stuck stuckProcesses
	cores coresCache

	processParts partPool[dtc.Process]
	fileParts    partPool[dtc.OpenFile]
}

func newHost(opts Options) *host {
	root := opts.Root
	if root == "" {
		root = "/"
	}
	return &host{root: root, proc: proc.FS(filepath.Join(root, "proc")), users: newUsers(root)}
}

// path is a file of the system, named without the leading slash.
func (h *host) path(name string) string { return filepath.Join(h.root, name) }

// pids are the ids of all processes, ascending.
func (h *host) pids() ([]int, error) {
	in, err := h.proc.Scan()
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	return in.PIDs(nil)
}

// bootTime is when the kernel was booted, on the clock of today: what btime in
// proc_stat(5) says. It is cut to whole seconds, so that it does not move from
// one answer to the next; for the same reason the two clocks that it comes from
// are read until that was done without a pause between.
func bootTime() time.Time {
	const tries, together = 8, 2 * time.Microsecond
	var boot time.Time
	best := time.Hour
	for i := 0; i < tries && best > together; i++ {
		before := proc.SinceBoot()
		now := time.Now()
		if took := proc.SinceBoot() - before; took < best {
			best, boot = took, now.Add(-before)
		}
	}
	return boot.Truncate(time.Second)
}
