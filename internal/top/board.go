package top

import (
	"context"
	"sync"
	"time"
)

// Times of the board.
const (
	redraw = 100 * time.Millisecond // between two Answers at least
	idle   = time.Second            // and at most: times on the screen go on
)

// board is where answers lie until the screen takes them over. Of one host only
// the last is kept, so that a screen that is slow, or suspended, costs nothing.
type board struct {
	dirty chan struct{} // something is there

	mu    sync.Mutex
	next  Answers
	hosts map[int]HostAnswer
}

func (b *board) put(change func()) {
	b.mu.Lock()
	change()
	b.mu.Unlock()
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

func (b *board) putHost(a HostAnswer) {
	b.put(func() {
		if b.hosts == nil {
			b.hosts = map[int]HostAnswer{}
		}
		b.hosts[a.Index] = a
	})
}

func (b *board) putProcesses(a *ProcessAnswer) { b.put(func() { b.next.Processes = a }) }
func (b *board) putFiles(a *FileAnswer)        { b.put(func() { b.next.Files = a }) }

// take empties the board.
func (b *board) take() Answers {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.next
	for _, h := range b.hosts {
		a.Hosts = append(a.Hosts, h)
	}
	clear(b.hosts)
	b.next = Answers{}
	a.Now = time.Now()
	return a
}

// pump gives to send what came together, until ctx is done.
func (b *board) pump(ctx context.Context, send func(Answers)) {
	tick := time.NewTicker(idle)
	defer tick.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select { // first the rest since the last one
		case <-rest.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-b.dirty:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		send(b.take())
		rest.Reset(redraw)
	}
}
