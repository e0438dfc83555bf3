//go:build !linux

package agent

// unmapCode is nothing that these systems need to be told.
func unmapCode() {}
