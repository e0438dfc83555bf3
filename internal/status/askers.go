package status

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// slowReply is how long a file system is waited for before the next one is
	// asked beside it.
	slowReply = 50 * time.Millisecond

	// longestInquiry is how long an answer waits for all of its file systems.
	longestInquiry = 2 * time.Second

	// maxLate is how many questions may be late at a time, the stuck ones of
	// earlier answers included: each holds a thread of ours.
	maxLate = 32
)

// fileSystems are asked with a deadline that does not depend on the kernel: a
// call about a dead file server or disk may never return. The goroutine that
// made it is left behind then, and what it asked is not asked again before it
// has come back.
type fileSystems struct {
	askers sync.WaitGroup // all goroutines, the stuck ones too

	mu    sync.Mutex     // guards what follows
	late  int            // questions without a reply for more than slowReply
	stuck map[string]int // those of them whose inquiry is over, by what they asked
}

// hopeless tells whether a question is stuck about name already, or whether
// there are too many that are late.
func (f *fileSystems) hopeless(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stuck[name] > 0 || f.late >= maxLate
}

func (f *fileSystems) addLate(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late += n
}

func (f *fileSystems) addStuck(name string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck == nil {
		f.stuck = make(map[string]int)
	}
	if f.stuck[name] += n; f.stuck[name] == 0 {
		delete(f.stuck, name)
	}
}

// inquiry asks a list of file systems.
type inquiry[T any] struct {
	of      *fileSystems
	names   []string      // of the file systems; two of one name are not asked side by side
	ask     func(i int) T // may block for ever
	replies chan reply[T] // has room for all

	mu     sync.Mutex // guards what follows
	next   int        // the first that nobody has taken
	putOff []int      // before it: not taken, as another of the same name was being asked
	busy   []*asker   // ask something now; the last may be in time, the others are late
}

// reply is the answer of one file system.
type reply[T any] struct {
	is  int // which one
	ok  bool
	say T
}

// asker is one goroutine of an inquiry, whose mutex guards it.
type asker struct {
	at    int // the one that it asks now
	late  bool
	stuck bool // late, and the inquiry is over
}

// askFileSystems calls ask(i) for each of the names, and returns the answers by
// their indexes. Those that did not come in time are not among them. The error
// is that of ctx.
func askFileSystems[T any](ctx context.Context, of *fileSystems, names []string, ask func(i int) T) (map[int]T, error) {
	q := &inquiry[T]{of: of, names: names, ask: ask, replies: make(chan reply[T], len(names))}
	defer q.end()
	answers := make(map[int]T, len(names))
	whole := time.NewTimer(patience(ctx))
	defer whole.Stop()
	slow := time.NewTicker(slowReply)
	defer slow.Stop()
	q.goOn()
	for got := 0; got < len(names); {
		select {
		case r := <-q.replies:
			got++
			if r.ok {
				answers[r.is] = r.say
			}
			slow.Reset(slowReply)
		case <-slow.C:
			q.goOn()
		case <-whole.C:
			return answers, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return answers, nil
}

// patience is how long an inquiry may take: less if who asks has not as long.
func patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(longestInquiry, time.Until(deadline)/2)
	}
	return longestInquiry
}

// goOn starts an asker beside those that are late.
func (q *inquiry[T]) goOn() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.busy {
		if !w.late {
			w.late = true
			q.of.addLate(1)
		}
	}
	w := &asker{}
	if q.take(w) {
		q.of.askers.Go(func() { q.run(w) })
	}
}

// end leaves behind the askers that have not come back.
func (q *inquiry[T]) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next, q.putOff = len(q.names), nil
	for _, w := range q.busy {
		w.stuck = true
		q.of.addStuck(q.names[w.at], 1)
	}
}

// run asks one file system after the other.
func (q *inquiry[T]) run(w *asker) {
	for more := true; more; more = q.advance(w) {
		r := reply[T]{is: w.at}
		if r.ok = !q.of.hopeless(q.names[w.at]); r.ok {
			r.say = q.ask(w.at)
		}
		q.replies <- r
	}
}

// advance ends the question of w and gives it the next one, if there is one
// that nobody else has taken.
func (q *inquiry[T]) advance(w *asker) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = slices.DeleteFunc(q.busy, func(b *asker) bool { return b == w })
	if w.stuck {
		q.of.addStuck(q.names[w.at], -1)
	}
	if w.late {
		q.of.addLate(-1)
	}
	*w = asker{}
	return q.take(w)
}

// take gives w a file system to ask: the next one of whose name no other is
// being asked. q.mu is held.
func (q *inquiry[T]) take(w *asker) bool {
	for i, at := range q.putOff {
		if !q.isBusy(q.names[at]) {
			q.putOff = slices.Delete(q.putOff, i, i+1)
			return q.assign(w, at)
		}
	}
	for q.next < len(q.names) {
		at := q.next
		q.next++
		if !q.isBusy(q.names[at]) {
			return q.assign(w, at)
		}
		q.putOff = append(q.putOff, at)
	}
	return false
}

func (q *inquiry[T]) assign(w *asker, at int) bool {
	w.at = at
	q.busy = append(q.busy, w)
	return true
}

func (q *inquiry[T]) isBusy(name string) bool {
	return slices.ContainsFunc(q.busy, func(b *asker) bool { return q.names[b.at] == name })
}
