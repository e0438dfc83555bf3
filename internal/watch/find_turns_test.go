package watch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowLooker passes each index, and blocks on some until it is let go.
type slowLooker struct {
	block map[int]chan struct{} // by index
	kept  *atomic.Int32         // careful looks
	open  *atomic.Int32
}

func (l *slowLooker) glance(at int, put func(int)) {
	l.kept.Add(1)
	put(-at)
}

func (l *slowLooker) look(at int, put func(int)) {
	if c := l.block[at]; c != nil {
		<-c
	}
	put(at)
}

func (l *slowLooker) done() { l.open.Add(-1) }

type turnsTest struct {
	*turns[string]
	slowLooker
}

func newTurnsTest(stall time.Duration, blocked ...int) *turnsTest {
	t := &turnsTest{turns: newTurns[string](), slowLooker: slowLooker{block: map[int]chan struct{}{}, kept: new(atomic.Int32), open: new(atomic.Int32)}}
	t.stall = stall
	for _, at := range blocked {
		t.block[at] = make(chan struct{})
	}
	return t
}

func (t *turnsTest) run(ctx context.Context, keys []string) (got []int, err error) {
	err = inTurn(ctx, t.turns, keys, func() looker[int] {
		t.open.Add(1)
		l := t.slowLooker
		return &l
	}, func(at int) { got = append(got, at) })
	return got, err
}

func (t *turnsTest) isStuck(key string) bool {
	_, stuck := t.held()[key]
	return stuck
}

func keys(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = string(rune('a' + i))
	}
	return list
}

func TestTurns(t *testing.T) {
	tt := newTurnsTest(turnStall)
	got, err := tt.run(t.Context(), keys(4))
	if err != nil || !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := tt.run(t.Context(), nil); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	tt.all.Wait()
	if tt.open.Load() != 0 {
		t.Error("a looker was not done")
	}
}

func TestTurnsLeaveStuckBehind(t *testing.T) {
	tt := newTurnsTest(40*time.Millisecond, 1, 3)
	got, err := tt.run(t.Context(), keys(5))
	if err != nil || !slices.Equal(got, []int{0, -1, 2, -3, 4}) {
		t.Errorf("%v, %v", got, err)
	}
	// Nobody waits for them again.
	tt.stall = time.Hour
	got, err = tt.run(t.Context(), keys(5))
	if err != nil || !slices.Equal(got, []int{0, -1, 2, -3, 4}) {
		t.Errorf("again: %v, %v", got, err)
	}
	close(tt.block[1])
	eventually(t, "b is free", func() bool { return !tt.isStuck("b") })
	got, err = tt.run(t.Context(), keys(5))
	if err != nil || !slices.Equal(got, []int{0, 1, 2, -3, 4}) {
		t.Errorf("after one has let go: %v, %v", got, err)
	}
	close(tt.block[3])
	tt.all.Wait()
	if tt.open.Load() != 0 || len(tt.held()) != 0 {
		t.Error("a looker was not done")
	}
}

func TestTurnsWithTooManyStuck(t *testing.T) {
	tt := newTurnsTest(40*time.Millisecond, 0, 1, 2, 3, 4, 5, 6)
	got, err := tt.run(t.Context(), keys(9))
	if want := []int{0, -1, -2, -3, -4, -5, -6, -7, -8}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if n := len(tt.held()); n != maxStuck {
		t.Errorf("%d are stuck", n)
	}
	for _, c := range tt.block {
		close(c)
	}
	tt.all.Wait()
}

func TestTurnsEndWithTheirContext(t *testing.T) {
	tt := newTurnsTest(time.Hour, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var got []int
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { got, err = tt.run(ctx, keys(4)) })
	time.Sleep(20 * time.Millisecond)
	cancel()
	wg.Wait()
	if !errors.Is(err, context.Canceled) || len(got) > 2 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = tt.run(t.Context(), keys(4)); err != nil || !slices.Equal(got, []int{0, 1, -2, 3}) {
		t.Errorf("%v, %v", got, err) // the first goroutine is on it still
	}
	close(tt.block[2])
	tt.all.Wait()
	if len(tt.held()) != 0 {
		t.Error("something is stuck")
	}
}
