package monitor

import (
	"context"
	"time"

	"dtc"
)

// How much one agent may have written to its process log: so many bytes at
// once, which is more than all that an agent watches and keeps, and then so
// many in a second. Who has more to tell is heard more slowly; an honest agent
// keeps what it has not told yet.
const (
	paceBurst  = 64 << 20
	paceSecond = 64 << 10
	paceLine   = 256 // of a line beside its texts
)

// pace measures the lines of one agent. It is used by one goroutine at a time.
type pace struct {
	left float64   // bytes that may be written now; below 0: when it is made up for
	at   time.Time // of left
}

func newPace(now time.Time) pace { return pace{left: paceBurst, at: now} }

// take takes an event's line off what may be written, and returns how long to
// wait before the next.
func (p *pace) take(e *dtc.Event, now time.Time) time.Duration {
	p.left = min(paceBurst, p.left+now.Sub(p.at).Seconds()*paceSecond)
	p.at = now
	size := paceLine + len(e.Name) + len(e.Reason)
	if e.PostMortem != nil {
		size += len(e.PostMortem.Parent) + len(e.PostMortem.Command)
	}
	if p.left -= float64(size); p.left >= 0 {
		return 0
	}
	return time.Duration(-p.left / paceSecond * float64(time.Second))
}

// wait takes an event's line off what may be written, and waits until it may.
func (p *pace) wait(ctx context.Context, e *dtc.Event) error {
	if d := p.take(e, time.Now()); d > 0 && !wait(ctx, d) {
		return ctx.Err()
	}
	return nil
}
