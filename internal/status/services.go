package status

import (
	"cmp"
	"strings"
)

// maxServices is the most services in an answer.
const maxServices = 10000

// What a service of a system without systemd is called in systemd's words.
const (
	serviceActive       = "active"
	serviceActivating   = "activating"
	serviceDeactivating = "deactivating"
	serviceInactive     = "inactive"
	serviceFailed       = "failed"
	serviceRunning      = "running"
	serviceDead         = "dead"
)

// compareNames orders services as systemctl does: capitals are no different.
func compareNames(x, y string) int { return cmp.Compare(strings.ToLower(x), strings.ToLower(y)) }
