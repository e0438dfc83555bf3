package watch

import (
	"errors"
	"sync"
	"time"

	"dtc/internal/proc"
)

const (
	// stormRate is how many events a second are looked at one by one: each process
	// that starts makes two.
	stormRate = 2000

	// readInterval is how often events are read while they come one after the other.
	// The first after a pause is read at once.
	readInterval = 50 * time.Millisecond

	// maxDrain is how many events are dropped at once: more than the kernel keeps.
	maxDrain = 1 << 14
)

// startQueue is the subscription to the starts of processes: the process
// connector of the kernel, see [proc.StartEvents].
type startQueue struct {
	events *proc.StartEvents
	wake   chan struct{} // of capacity 1
	resume chan struct{} // of capacity 1: read on
	closed chan struct{}
	reader sync.WaitGroup

	mu     sync.Mutex
	list   []startEvent // not yet taken; guarded by mu
	err    error        // why nothing more comes, for now or for good; guarded by mu
	second time.Time    // that is counted; guarded by mu
	count  int          // of events in it; guarded by mu
}

var _ starts = (*startQueue)(nil)

func newCensus() (*proc.Census, error) { return proc.Default.Census() }

// openStarts subscribes to the starts of processes.
func openStarts() (starts, error) {
	events, err := proc.Default.StartEvents()
	if err != nil {
		return nil, err
	}
	q := &startQueue{
		events: events, wake: make(chan struct{}, 1), resume: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	q.reader.Go(q.read)
	return q, nil
}

func (q *startQueue) close() {
	close(q.closed)
	_ = q.events.Close()
	q.reader.Wait()
}

func (q *startQueue) ready() <-chan struct{} { return q.wake }

// read reads events as they come, and stops while there is a storm.
func (q *startQueue) read() {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for q.next() {
		select {
		case <-wait.C:
		case <-q.closed:
			return
		}
		wait.Reset(readInterval)
	}
}

// next reads what is there, and waits for it if there is nothing; false if nothing
// more comes.
func (q *startQueue) next() bool {
	err := q.events.Next(q.put)
	if errors.Is(err, proc.ErrEventsLost) {
		err = errStorm
	}
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	err = q.err
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	if !errors.Is(err, errStorm) {
		return err == nil
	}
	select {
	case <-q.resume:
		return true
	case <-q.closed:
		return false
	}
}

// put takes an event.
func (q *startQueue) put(e proc.StartEvent) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.second) >= time.Second {
		q.second, q.count = now, 0
	}
	if q.count++; q.count > stormRate {
		q.err, q.list = errStorm, nil
	}
	if q.err == nil {
		q.list = append(q.list, startEvent{e.PID, e.Kind == proc.Forked})
	}
}

// take implements [starts].
func (q *startQueue) take(put func(startEvent)) error {
	q.mu.Lock()
	list, err := q.list, q.err
	q.list = nil
	q.mu.Unlock()
	if err != nil {
		return err
	}
	for _, e := range list {
		put(e)
	}
	return nil
}

// drain implements [starts]. The reader waits meanwhile.
func (q *startQueue) drain() (calm bool, err error) {
	dropped, lost, err := q.events.Drain(maxDrain)
	if err != nil {
		return false, err
	}
	if lost || dropped > stormRate/2 {
		return false, nil
	}
	q.mu.Lock()
	q.err, q.list, q.count = nil, nil, 0
	q.mu.Unlock()
	q.resume <- struct{}{}
	return true, nil
}
