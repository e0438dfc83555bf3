package status

import "dtc"

// selector applies a selection to one answer.
type selector struct {
	selection *dtc.Selection
}

// newSelector returns the selector of a query.
func newSelector(q dtc.Query) (*selector, error) {
	return &selector{selection: &q.Selection}, nil
}

// pids returns which of the processes are to be read at all.
func (s *selector) pids(all []int) []int { return all }
