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

// bootTime is when the kernel says it was booted (btime in proc_stat(5)), on
// the clock of today: whole seconds, so that it does not move from one answer to
// the next.
func bootTime() time.Time {
	return time.Now().Add(-proc.SinceBoot()).Truncate(time.Second)
}
