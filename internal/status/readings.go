package status

import (
	"context"
	"fmt"
	"sync"

	"dtc"
)

// maxReadings is how many answers of one status may be read at a time.
const maxReadings = 64

// readings are answers that are read in goroutines of their own. What looks like
// a file of the kernel may be one of another program, as /proc/meminfo is in many
// a container, and a call about it may never return: the goroutine is left behind
// then.
type readings struct {
	all sync.WaitGroup // the stuck ones too

	mu   sync.Mutex // guards what follows
	busy map[dtc.Status]int
}

// within calls read and waits for its end, or for that of ctx: then read goes on,
// and what it writes may not be looked at.
func (g *readings) within(ctx context.Context, status dtc.Status, read func()) error {
	if busy := g.count(status, 1); busy > maxReadings {
		g.count(status, -1)
		return fmt.Errorf("%d earlier readings have not ended: something on this host does not answer", maxReadings)
	}
	done := make(chan any, 1)
	g.all.Go(func() {
		defer g.count(status, -1)
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

// count adds to the number of readings of a status, and returns it.
func (g *readings) count(status dtc.Status, n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy == nil {
		g.busy = make(map[dtc.Status]int)
	}
	g.busy[status] += n
	return g.busy[status]
}
