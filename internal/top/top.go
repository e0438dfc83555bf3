// Package top shows a fleet live on one screen: a line a host with bars for
// processor and memory, and behind each line that host's processes and open
// files.
//
// It has three parts that know little of each other. The feed asks the hosts,
// each at its own pace, and gathers the answers; the model is the state of the
// screen, changed by answers and keys alone; the view turns the model into
// lines, and looks at no more of it than fits on the screen. [Run] ties them to
// a terminal.
//
// What hosts say is hostile: all of it is escaped, and cut by cells of the
// terminal, before it becomes a part of a line.
package top

import (
	"context"
	"io"
	"time"

	"dtc"
	"dtc/internal/fleet"
)

// Asker asks hosts, as [fleet.Fleet] does.
type Asker interface {
	Get(ctx context.Context, hosts []fleet.Host, q dtc.Query, timeout time.Duration, deliver func(i int, part *dtc.Report))
}

var _ Asker = (*fleet.Fleet)(nil)

// Options say whom to ask, how often, and on which terminal to show it.
type Options struct {
	Hosts   []fleet.Host  // in the order of the configuration
	Asker   Asker         //
	Every   time.Duration // between two questions to a host
	Timeout time.Duration // for a host to answer one

	Terminal Terminal
}

// Terminal is what the program runs on.
type Terminal struct {
	In  File // both are one
	Out File

	Environ []string // TERM and what else says what it can do
	Color   bool     // it may be given colors
	Unicode bool     // it shows more than ASCII

	// Suspend has the system tell this program, and those started with it, that
	// Ctrl-Z was pressed; nil where no key suspends. OnSuspend calls aside when
	// that was told, with what suspends the program and returns when it goes
	// on, until stop is called.
	Suspend   func()
	OnSuspend func(aside func(sleep func())) (stop func())
}

// File is one direction of a terminal.
type File interface {
	io.ReadWriteCloser
	Fd() uintptr
}
