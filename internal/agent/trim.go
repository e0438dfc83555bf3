package agent

import (
	"context"
	"time"
)

// trimAfter is how long an agent is quiet before it gives memory back.
const trimAfter = 10 * time.Second

// noteAsked tells trim that a question was answered.
func (a *Agent) noteAsked() {
	select {
	case a.asked <- struct{}{}:
	default:
	}
}

// trim gives the memory that an answer took back to the system once nobody has
// asked for a while. The runtime by itself keeps it for minutes, on a host that
// has other work for it.
func (a *Agent) trim(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.asked:
		}
		for quiet := false; !quiet; {
			t := time.NewTimer(trimAfter)
			select {
			case <-ctx.Done():
				t.Stop()
				return nil
			case <-a.asked:
			case <-t.C:
				quiet = true
			}
			t.Stop()
		}
		a.free()
	}
}
