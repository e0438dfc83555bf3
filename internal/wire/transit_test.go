package wire

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestTransit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender := time.Now().Add(-time.Hour) // clocks of two machines have nothing in common
		clock := func() time.Duration { return time.Since(sender) }
		way := transit{began: time.Now()}
		way.beat(clock())
		for range 20 {
			time.Sleep(beatEvery)
			sender = sender.Add(10 * time.Millisecond) // the sender's clock is slow
			way.beat(clock())
			if late := way.late(clock()); late > 50*time.Millisecond {
				t.Errorf("a message that came at once was %s late", late)
			}
		}
		sent := clock()
		time.Sleep(7 * time.Second)
		if late := way.late(sent); late < 7*time.Second || late > 7100*time.Millisecond {
			t.Errorf("a message that was held up for 7 s was %s late", late)
		}
		way.beat(sent) // so was the beat behind it
		if late := way.late(sent); late < 7*time.Second || late > 7100*time.Millisecond {
			t.Errorf("the next one was %s late", late)
		}
	})
}

// A peer that lies about its clock makes nothing happen in the future.
func TestTransitOfLies(t *testing.T) {
	for _, clock := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		way := transit{began: time.Now()}
		for _, next := range []int64{clock, math.MinInt64, math.MaxInt64, 0, clock} {
			if age := span(math.MaxInt64) + way.late(span(next)); age < 0 {
				t.Errorf("after %d, %d: an age of %s", clock, next, age)
			}
			way.beat(span(clock))
		}
	}
}
