package agent

import (
	"context"
	"runtime/debug"
	"time"
)

// trimAfter is how long an agent is quiet before it gives memory back: longer
// than the pause of someone who asks again and again, by default 2 s, who would
// pay for it with each answer.
const trimAfter = 5 * time.Second

// noteAsked tells trim that a question was answered.
func (a *Agent) noteAsked() {
	select {
	case a.asked <- struct{}{}:
	default:
	}
}

// trim gives the memory that the start or an answer took back to the system once
// nobody has asked for a while. The runtime by itself keeps it for minutes, on a
// host that has other work for it.
func (a *Agent) trim(ctx context.Context) error {
	for a.becomesQuiet(ctx) {
		a.free()
		select {
		case <-ctx.Done():
		case <-a.asked:
		}
	}
	return nil
}

// becomesQuiet waits until nobody has asked for a while; false if ctx is done
// before.
func (a *Agent) becomesQuiet(ctx context.Context) bool {
	t := time.NewTimer(trimAfter)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-a.asked:
			t.Reset(trimAfter)
		case <-t.C:
			return true
		}
	}
}

// freeMemory gives back what the program has no use for now. The first
// collection takes from the pools what nobody has used since the one before it,
// the second frees it.
func freeMemory() {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	unmapProgram()
}
