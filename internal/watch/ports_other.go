//go:build !linux

package watch

import (
	"fmt"
	"slices"

	"dtc/internal/proc"
)

// ports finds the processes that have sockets on ports: those of TCP that listen,
// those of UDP that are bound.
type ports struct{}

func newPorts(*finder) *ports { return &ports{} }

func (*ports) close() {}

// find asks for the ports of the trials with these indices.
func (*ports) find(trials []trial, of []int, into []place) {
	if len(of) == 0 {
		return
	}
	list, err := proc.PortOwners()
	pids, untold := map[int][]int{}, map[int]bool{}
	for _, o := range list {
		if o.PID > 0 {
			pids[o.Port] = append(pids[o.Port], o.PID)
		} else {
			untold[o.Port] = true
		}
	}
	for _, at := range of {
		port := trials[at].rule.Port
		slices.Sort(pids[port])
		switch into[at].pids = slices.Compact(pids[port]); {
		case err != nil:
			into[at].err = fmt.Errorf("look who listens on port %d: %w", port, err)
		case len(into[at].pids) == 0 && untold[port]:
			into[at].err = fmt.Errorf("something listens on port %d, and the system does not tell what", port)
		case len(into[at].pids) == 0:
			into[at].problem = fmt.Sprintf("nothing listens on port %d", port)
		}
	}
}
