package wire

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

// One peer has so many questions answered at a time, the others wait or are
// refused, and nobody else waits for them.
func TestQuestionsAtATime(t *testing.T) {
	var answering, most atomic.Int32
	held := make(chan struct{})
	r := serve(t, &Server{Agent: &fakeAgent{get: func(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
		if q.Status == dtc.StatusUsers {
			return emit(&dtc.Report{})
		}
		n := answering.Add(1)
		defer answering.Add(-1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		select {
		case <-held:
			return emit(&dtc.Report{})
		case <-ctx.Done():
			return ctx.Err()
		}
	}}})
	ask := func(c *Client, status dtc.Status) error {
		return c.Get(within(t, 60*time.Second), dtc.Query{Status: status}, func(*dtc.Report) error { return nil })
	}
	var all sync.WaitGroup
	var refused, answered atomic.Int32
	for range 6 {
		c := r.client(t, r.monitor)
		for range 50 {
			all.Go(func() {
				if err := ask(c, dtc.StatusProcess); err == nil {
					answered.Add(1)
				} else if dtc.KindOf(err) == dtc.KindUnavailable {
					refused.Add(1)
				}
			})
		}
	}
	soon(t, "those are refused that are too many", func() bool { return refused.Load() == 300-maxInLine })
	if err := ask(r.client(t, r.issue(t, dtc.RoleOperator, "o1", time.Hour)), dtc.StatusUsers); err != nil {
		t.Errorf("another one: %v", err)
	}
	close(held)
	all.Wait()
	if answered.Load() != maxInLine || most.Load() != maxAnswering {
		t.Errorf("%d were answered, %d at a time", answered.Load(), most.Load())
	}
	soon(t, "nothing is remembered", func() bool { return answering.Load() == 0 })
}

func TestLines(t *testing.T) {
	var l lines
	ctx, cancel := context.WithCancel(t.Context())
	var ends []func()
	for range maxAnswering {
		done, err := l.enter(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, done)
	}
	cancel()
	if _, err := l.enter(ctx, "a"); err == nil {
		t.Error("one too many got in")
	}
	for _, done := range ends {
		done()
	}
	if len(l.of) != 0 {
		t.Errorf("%d are remembered", len(l.of))
	}
}
