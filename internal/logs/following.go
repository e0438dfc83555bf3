package logs

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Bounds of a follower.
const (
	maxReaders   = 512 // copies whose files are open, fewer where the system allows no more
	minReaders   = 8
	turnSteps    = 8                     // reads of one copy before others have their turn
	idleAtLeast  = 5 * time.Millisecond  // how often what was given is passed on while there is much
	lookWatched  = time.Second           // how often open copies are looked at when the system tells of changes
	lookLeast    = 10 * time.Millisecond // the same when it does not, for up to
	lookTogether = 64                    // so many copies; each more makes it rarer
	looksOfAll   = 10                    // after so many looks each closed copy, and each folder, has been looked at
)

var errWatchEnded = errors.New("the system's file notifications ended")

// turns are the sources in the order in which they give what they have.
type turns struct {
	queue []*source
	open  list.List // of *source: those whose files are open, the one used last first
	limit int       // of them
	idled time.Time
	look  int
}

// enqueue takes note that a source may have something to give.
func (r *reading) enqueue(s *source) {
	if !s.queued && r.failed[s.target] == nil {
		s.queued = true
		r.turns.queue = append(r.turns.queue, s)
	}
}

// follow gives what arrives until ctx is done.
func (r *reading) follow(ctx context.Context) error {
	for e := r.turns.open.Front(); e != nil; e = e.Next() {
		s, _ := e.Value.(*source)
		r.enqueue(s) // what came meanwhile
	}
	timer := time.NewTimer(r.lookEvery())
	defer timer.Stop()
	for {
		if err := r.round(ctx); err != nil {
			return err
		}
		if err := r.idle(); err != nil {
			return err
		}
		if n := len(r.failed); n > 0 && n >= len(r.order) {
			return nil // nothing is left
		}
		if err := r.wait(ctx, timer); err != nil {
			return err
		}
	}
}

// idle passes on what was given.
func (r *reading) idle() error {
	r.turns.idled = time.Now()
	return r.query.Idle()
}

// round gives each source that may have something its turn.
func (r *reading) round(ctx context.Context) error {
	queue := r.turns.queue
	r.turns.queue = nil
	for _, s := range queue {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.queued = false
		more, err := r.turn(s)
		if err := r.failing(s.target, err); err != nil {
			return err
		}
		if more {
			r.enqueue(s)
		}
		if err := r.parkSome(); err != nil {
			return err
		}
		if time.Since(r.turns.idled) < idleAtLeast {
			continue
		}
		if err := r.idle(); err != nil {
			return err
		}
	}
	return nil
}

// turn gives something of a source, and tells whether there is more.
func (r *reading) turn(s *source) (more bool, err error) {
	if r.failed[s.target] != nil {
		return false, nil
	}
	r.use(s)
	for range turnSteps {
		if more, err := r.step(s); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// readError is a copy that cannot be read.
type readError struct {
	target Target
	err    error
}

func (e *readError) Error() string {
	return fmt.Sprintf("read the copy %s/%s: %v", e.target.Folder, e.target.Alias, e.err)
}

func (e *readError) Unwrap() error { return e.err }

// failing gives a copy up that cannot be read. Any other error it returns.
func (r *reading) failing(t Target, err error) error {
	broken, ok := errors.AsType[*readError](err)
	if !ok {
		return err
	}
	r.failed[t] = broken
	if s := r.open[t]; s != nil {
		r.unuse(s)
		r.held -= len(s.partial)
		s.partial = nil
		_ = s.close() // nothing was written
	}
	if r.query.Failed != nil {
		r.query.Failed(broken)
	}
	return nil
}

// use takes note that a source's files are open, and that they are needed.
func (r *reading) use(s *source) {
	if s.element != nil {
		r.turns.open.MoveToFront(s.element)
		return
	}
	s.element = r.turns.open.PushFront(s)
}

func (r *reading) unuse(s *source) {
	if s.element != nil {
		r.turns.open.Remove(s.element)
		s.element = nil
	}
}

// parkSome closes the files of the sources that were used longest ago, where
// too many are open.
func (r *reading) parkSome() error {
	for r.turns.open.Len() > r.turns.limit {
		s, _ := r.turns.open.Back().Value.(*source)
		r.unuse(s)
		s.stamp = s.look() // what comes between this look and the next shows in it
		if !s.queued {
			more, err := r.step(s)
			if err := r.failing(s.target, err); err != nil {
				return err
			}
			if more {
				r.enqueue(s)
			}
		}
		if err := s.park(); err != nil {
			return err
		}
	}
	return nil
}

// stamp is how the files of a copy look from outside.
type stamp struct{ side, data fs.FileInfo } // nil: there is none

// look returns how the files of a copy look now.
func (s *source) look() stamp {
	var now stamp
	now.side, _ = s.root.Lstat(s.sidePath())
	now.data, _ = s.root.Lstat(s.dataPath())
	return now
}

// changed tells whether a copy looks other than before.
func (s *stamp) changed(now stamp) bool {
	return differ(s.side, now.side) || differ(s.data, now.data)
}

func differ(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return (a == nil) != (b == nil)
	}
	return a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || !os.SameFile(a, b)
}

// lookEvery returns how long to wait for the next look at the copies.
func (r *reading) lookEvery() time.Duration {
	if r.watch.works() {
		return lookWatched
	}
	return min(lookLeast*time.Duration(1+len(r.order)/lookTogether), lookWatched)
}

// wait waits until something may have happened, if nothing is known to wait.
func (r *reading) wait(ctx context.Context, timer *time.Timer) error {
	var busy chan struct{}
	if len(r.turns.queue) > 0 {
		busy = make(chan struct{})
		close(busy)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-busy:
	case e, ok := <-r.watch.events():
		if !ok {
			return errWatchEnded
		}
		if err := r.changed(ctx, e); err != nil {
			return err
		}
	case _, ok := <-r.watch.errors(): // an overflow: look at everything
		if !ok {
			return errWatchEnded
		}
		r.lookAtAll()
		return r.rediscover(ctx)
	case <-timer.C:
		err := r.lookAround(ctx)
		timer.Reset(r.lookEvery())
		return err
	}
	return r.takeEvents(ctx)
}

// takeEvents takes the events that are there already.
func (r *reading) takeEvents(ctx context.Context) error {
	for {
		select {
		case e, ok := <-r.watch.events():
			if !ok {
				return errWatchEnded
			}
			if err := r.changed(ctx, e); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// changed takes note of the copy to whose files something happened.
func (r *reading) changed(ctx context.Context, e fsnotify.Event) error {
	folder, name := r.watch.split(e.Name)
	if r.watch.isFolder(e.Name) {
		r.watch.forget(name) // a watch ends with its folder
		return r.rediscover(ctx)
	}
	if alias, ok := aliasOf(name); ok {
		name = alias
	}
	t := Target{folder, name}
	if s := r.open[t]; s != nil {
		r.enqueue(s)
		return nil
	}
	if e.Op&(fsnotify.Create|fsnotify.Rename) == 0 || checkAlias(name) != nil || !r.wants(t) {
		return nil
	}
	return r.takeIn(ctx, []Target{t})
}

// wants tells whether a copy is one of the query.
func (r *reading) wants(t Target) bool {
	q := &r.query
	return (len(q.Folders) == 0 || slices.Contains(q.Folders, t.Folder)) && q.Wants(t)
}

// lookAround is the safety look: at the open copies each time, at each of the
// others and for new ones now and then.
func (r *reading) lookAround(ctx context.Context) error {
	r.turns.look++
	rare := looksOfAll
	if !r.watch.works() {
		rare = max(1, int(lookWatched/r.lookEvery()))
	}
	for e := r.turns.open.Front(); e != nil; e = e.Next() {
		s, _ := e.Value.(*source)
		r.enqueue(s)
	}
	for i := r.turns.look % rare; i < len(r.order); i += rare {
		if s := r.order[i]; s.element == nil && s.stamp.changed(s.look()) {
			r.enqueue(s)
		}
	}
	if r.turns.look%rare != 0 {
		return nil
	}
	return r.rediscover(ctx)
}

func (r *reading) lookAtAll() {
	for _, s := range r.order {
		r.enqueue(s)
	}
}

// rediscover takes in the copies that came to be meanwhile, from their start.
func (r *reading) rediscover(ctx context.Context) error {
	targets, err := r.list()
	if err != nil {
		return err
	}
	return r.takeIn(ctx, targets)
}

func (r *reading) takeIn(ctx context.Context, targets []Target) error {
	return r.discover(ctx, targets, func(_ context.Context, s *source) error {
		if r.whole = r.whole || len(r.order) > 1; r.query.Begin != nil {
			return r.query.resume(s)
		}
		s.all()
		return nil
	})
}
