//go:build !unix

package notify

import (
	"os"
	"syscall"
)

// environment is what every program gets, besides what the system needs.
func environment() []string { return nil }

// ownGroup does nothing: this system has no process groups.
func ownGroup() *syscall.SysProcAttr { return nil }

// killGroup kills the program; what it has started is left.
func killGroup(p *os.Process) error { return p.Kill() }
