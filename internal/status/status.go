// Package status answers what a monitor asks about this machine: processes,
// open files, memory, processors, platform. Linux is read directly; on other
// systems gopsutil is asked, and what it does not know is absent.
package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dtc"
)

// partItems is the most items that one part of a list has.
const partItems = 1000

// noTTY is what ps shows of a process without a terminal.
const noTTY = "?"

// Options are what a [Collector] may be told. The zero value is this machine.
type Options struct {
	// Root is the directory that holds the system's files, such as proc and
	// etc; "" is "/". Only Linux has it.
	Root string
}

// Collector answers queries about this machine. Its methods may be called side
// by side.
type Collector struct {
	host *host // what only this system has
	cpu  cpuHistory

	readings readings
}

// New returns a collector. For answers about cpu that come at once, [Collector.Run]
// must be running.
func New(opts Options) *Collector {
	return &Collector{host: newHost(opts)}
}

// Get answers q in one or more parts, in the order of the process ids. The
// report, its slices and its strings are valid only during the call of emit:
// they are in memory that the next part or answer uses again. Who keeps a string
// clones it. Errors are a [*dtc.Error] with [dtc.KindInvalid] for a status that is
// not known or a selection that makes no sense for it or is too much to sort,
// that of emit, that of ctx, or what the system said.
func (c *Collector) Get(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sel, err := c.newSelector(&q)
	if err != nil {
		return err
	}
	if sel == nil {
		return c.answer(ctx, q.Status, nil, emit)
	}
	err = c.answer(ctx, q.Status, sel, sel.over(q.Status, emit))
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// answer emits all that sel, which knows processes and sockets only, does not
// keep from being read.
func (c *Collector) answer(ctx context.Context, status dtc.Status, sel *selector, emit func(*dtc.Report) error) error {
	r := &dtc.Report{CollectedAt: time.Now(), Status: status}
	if status == dtc.StatusProcess {
		return c.processes(ctx, sel, r, emit)
	}
	if status == dtc.StatusOpenFiles {
		return c.openFiles(ctx, sel, r, emit)
	}
	if err := c.readWhole(ctx, sel, r); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return emit(r)
}

// readWhole is fill that ends with ctx.
func (c *Collector) readWhole(ctx context.Context, sel *selector, r *dtc.Report) error {
	if r.Status == dtc.StatusSockets || r.Status == dtc.StatusInterfaces {
		return c.fill(ctx, sel, r) // the kernel itself answers, of the network that the caller is in
	}
	var failed error
	if late := c.readings.within(ctx, r.Status, func() { failed = c.fill(ctx, sel, r) }); late != nil {
		return late
	}
	return failed
}

// fill reads an answer that comes in one part.
func (c *Collector) fill(ctx context.Context, sel *selector, r *dtc.Report) (err error) {
	switch r.Status {
	case dtc.StatusMemory:
		r.Memory, err = c.memory(ctx)
	case dtc.StatusCPU:
		r.CPU, err = c.cpus(ctx)
	case dtc.StatusPlatform:
		r.Platform, err = c.platform(ctx)
	case dtc.StatusDisk:
		r.Disk, r.Notes, err = c.disks(ctx)
	case dtc.StatusInterfaces:
		r.Interfaces, r.Notes, err = c.interfaces(ctx)
	case dtc.StatusSockets:
		r.Sockets, r.Notes, err = c.sockets(ctx, sel)
	case dtc.StatusUsers:
		r.Users, r.Notes, err = c.logins(ctx)
	case dtc.StatusServices:
		r.Services, r.Notes, err = c.services(ctx)
	default:
		return &dtc.Error{Kind: dtc.KindInvalid, Err: fmt.Errorf("status %q: this agent does not know it; a newer one may", r.Status)}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Status, err)
	}
	return nil
}
