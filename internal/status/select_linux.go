package status

import "dtc/internal/proc"

// wantsProcess says from what costs little whether a process may be wanted, before
// anything else is read of it. uid is called at most once.
func (s *selector) wantsProcess(st *proc.Stat, uid func() (uint32, error)) bool {
	return true
}
