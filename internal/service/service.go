// Package service makes the programs services of the system that starts them
// with the machine and again when they end: systemd, by a unit file of our own
// and by D-Bus; launchd and Windows' service manager, by a library. And it
// speaks with systemd from inside of the service, see [Notifier].
package service

import (
	"errors"
	"path/filepath"
	"time"
)

// Service is one of the two programs as a service.
type Service struct {
	Name string // of the service: "dtc-agent" or "dtc"
	Exec string // the program, an absolute path
	Home string // its home, an absolute path
	User string // that it runs as; empty is root, or what the system has for that
}

// Status is how a service is.
type Status struct {
	Installed bool
	Running   bool
	State     string    // as the system calls it: "active (running)"
	Since     time.Time // it is in that state; zero where that is not known
	PID       int       // 0 where there is none or that is not known
	Home      string    // that it runs in; empty where that is not known
	Boots     bool      // it starts with the machine
}

var (
	errNotInstalled = errors.New("it is not installed: 'service install' does that")
	errControl      = errors.New("it has control characters, which no service manager takes")
)

// verb is the command that runs the program in the foreground.
func (s Service) verb() string {
	if s.Name == "dtc-agent" {
		return "run"
	}
	return "serve"
}

// writable lists the folders that the service writes to.
func (s Service) writable() []string {
	if s.Name == "dtc-agent" {
		return []string{filepath.Join(s.Home, "state"), filepath.Join(s.Home, "conf", "tls")}
	}
	return []string{s.Home}
}
