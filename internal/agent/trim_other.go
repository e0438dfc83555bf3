//go:build !linux

package agent

// unmapProgram is nothing that these systems need to be told.
func unmapProgram() {}
