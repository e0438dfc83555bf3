//go:build !linux

package proc

import "dtc"

// Listed is a process as the system's list tells it.
type Listed struct {
	ID     dtc.ProcessID
	PPID   int
	Name   string
	Zombie bool
}

// Census tells which processes came since it was last taken. It is not safe for
// concurrent use.
type Census struct {
	last map[dtc.ProcessID]struct{}
}

// NewCensus prepares a census.
func NewCensus() *Census { return &Census{} }

// Close ends it.
func (c *Census) Close() error { return nil }

// Fresh appends the pids of the processes that came since the last call, all of
// them the first time.
func (c *Census) Fresh(into []int) ([]int, error) {
	list, err := List()
	if err != nil {
		return into, err
	}
	now := make(map[dtc.ProcessID]struct{}, len(list))
	for i := range list {
		id := list[i].ID
		now[id] = struct{}{}
		if _, old := c.last[id]; !old {
			into = append(into, id.PID)
		}
	}
	c.last = now
	return into, nil
}
