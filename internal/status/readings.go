package status

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dtc"
)

const (
	// maxReadings is how many answers of one status may be read at a time.
	maxReadings = 64

	// roomTime is how long an answer waits for the end of another one then.
	roomTime = 2 * time.Second
)

// readings are answers that are read in goroutines of their own. What looks like
// a file of the kernel may be one of another program, as /proc/meminfo is in many
// a container, and a call about it may never return: the goroutine is left behind
// then.
type readings struct {
	all sync.WaitGroup // the stuck ones too

	mu    sync.Mutex // guards what follows
	slots map[dtc.Status]chan struct{}
}

// within calls read and waits for its end, or for that of ctx: then read goes on,
// and what it writes may not be looked at.
func (g *readings) within(ctx context.Context, status dtc.Status, read func()) error {
	slot := g.slot(status)
	if err := enter(ctx, slot); err != nil {
		return err
	}
	done := make(chan any, 1)
	g.all.Go(func() {
		defer func() { <-slot }()
		defer func() { done <- recover() }()
		read()
	})
	select {
	case fault := <-done:
		if fault != nil {
			panic(fault) // it is the caller's, as if it had called read
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slot returns what holds something for each reading of a status.
func (g *readings) slot(status dtc.Status) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.slots == nil {
		g.slots = make(map[dtc.Status]chan struct{})
	}
	if g.slots[status] == nil {
		g.slots[status] = make(chan struct{}, maxReadings)
	}
	return g.slots[status]
}

// enter waits for room in slot. Readings that are not stuck end soon.
func enter(ctx context.Context, slot chan<- struct{}) error {
	patience := time.NewTimer(roomTime)
	defer patience.Stop()
	select {
	case slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return fmt.Errorf("%d earlier readings have not ended: something on this host does not answer", maxReadings)
	}
}
