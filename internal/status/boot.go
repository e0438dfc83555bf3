package status

import "dtc/internal/proc"

// BootID returns the id of this boot of the machine: another value means that
// it has started anew.
func BootID() (string, error) { return proc.BootID() }
