package status

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// host is what answers on Linux need.
type host struct {
	root  string
	proc  proc.FS
	users *proc.Users
	stuck stuckProcesses
	cores coresCache

	disks, servers fileSystems // of this machine, and those that ask someone else

	lists        sync.Pool // of *pidList
	processParts partPool[dtc.Process]
	fileParts    partPool[dtc.OpenFile]
}

func newHost(opts Options) *host {
	root := opts.Root
	if root == "" {
		root = "/"
	}
	return &host{root: root, proc: proc.FS(filepath.Join(root, "proc")), users: proc.NewUsers(root)}
}

// path is a file of the system, named without the leading slash.
func (h *host) path(name string) string { return filepath.Join(h.root, name) }

// pids are the ids of all processes, ascending. Who is done with them gives
// them back with putPIDs.
func (h *host) pids() ([]int, error) {
	l, ok := h.lists.Get().(*pidList)
	if !ok {
		l = &pidList{in: proc.NewScanner(h.proc)}
	}
	defer h.lists.Put(l)
	if err := l.in.Open(); err != nil {
		return nil, err
	}
	defer func() { _ = l.in.Close() }()
	pids, err := l.in.PIDs(l.pids[:0])
	l.pids = nil
	return pids, err
}

// running is pids of a system that runs.
func (h *host) running() ([]int, error) {
	pids, err := h.pids()
	if err == nil && len(pids) == 0 { // we are one ourselves
		return nil, fmt.Errorf("list the processes: there are none in %s: is proc mounted there?", h.proc)
	}
	return pids, err
}

// hiddenNote says that there are processes that are not listed, "" if there are
// none: the first one is always there. See hidepid in proc(5).
func (h *host) hiddenNote() string {
	if h.has("proc/1") || !h.has("proc/self/stat") {
		return ""
	}
	return "the processes of other users are hidden from the agent: run it as root, or in the group that proc's option gid= names"
}

// putPIDs takes back what pids gave.
func (h *host) putPIDs(pids []int) {
	if l, ok := h.lists.Get().(*pidList); ok {
		l.pids = pids
		h.lists.Put(l)
	}
}

// pidList is the memory that a listing of the processes takes.
type pidList struct {
	in   *proc.Scanner
	pids []int
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
