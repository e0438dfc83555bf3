package watch

import (
	"context"
	"time"
)

// pacer does something whenever it is due.
type pacer struct {
	now  func() time.Duration
	wake chan struct{} // of capacity 1
}

func newPacer(now func() time.Duration) *pacer {
	return &pacer{now: now, wake: make(chan struct{}, 1)}
}

// kick has the pacer see what is due. It never blocks.
func (p *pacer) kick() { signal(p.wake) }

// run calls step when it is kicked, and at the time that step returned last,
// until ctx is done.
func (p *pacer) run(ctx context.Context, step func(context.Context) (next time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		if next := step(ctx); next == never {
			timer.Stop()
		} else {
			timer.Reset(max(0, next-p.now()))
		}
	}
}
