package watch

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		p := newPacer(func() time.Duration { return time.Since(began) })
		var steps []time.Duration
		next := []time.Duration{3 * time.Second, never, 5 * time.Second, 0, never, 20 * time.Second, never}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.run(ctx, func(context.Context) time.Duration {
				steps = append(steps, time.Since(began))
				if len(next) == 0 {
					return never
				}
				n := next[0]
				next = next[1:]
				return n
			})
		}()
		time.Sleep(4 * time.Second)
		p.kick()
		time.Sleep(3 * time.Second)
		p.kick()
		time.Sleep(time.Minute)
		cancel()
		<-done
		want := []time.Duration{0, 3 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second, 7 * time.Second, 20 * time.Second}
		if !slices.Equal(steps, want) {
			t.Errorf("steps at %v, want %v", steps, want)
		}
	})
}
