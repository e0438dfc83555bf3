package ship

import (
	"errors"
	"time"

	"dtc/internal/follow"
)

const (
	quiet   = 200 * time.Millisecond // without a new byte: nobody writes to a rotated file any more
	maxHold = time.Second            // that bytes of a new file wait for those of the one before it
)

// task is what is to be done next for a generation.
type task uint8

const (
	taskNone  task = iota
	taskChunk      // read on
	taskEnd        // tell the end of what is destroyed or complete
	taskCut        // find out what became of it
)

// choose returns what is to be done next for the stream, and sets wake if
// something will be due though nothing is heard.
//
// The bytes of a generation come after those of the one before it, as long as
// there are any, nobody says that no more will come, and that has not taken
// maxHold. From then on they come as they arrive.
func (st *stream) choose(r *follow.Reader, now time.Time) (*shipment, task) {
	var (
		best    *shipment
		what    task
		blocked bool      // an earlier generation is not at its end
		since   time.Time // when all earlier ones had been read once; zero: not yet
	)
	since = now.Add(-maxHold)
	for i, g := range st.chain.Generations {
		sh := st.shipment(g)
		if q := st.sought(g); q != nil {
			blocked, since = true, later(since, q.hold.Add(-maxHold))
			continue
		}
		if sh.asking != 0 { // what it goes on with is not known yet
			blocked, since = true, time.Time{}
		}
		if sh.asking != 0 || sh.over {
			continue
		}
		t := st.inspect(r, sh, now)
		if t == taskNone {
			if g != st.chain.Current() && !sh.sealed {
				blocked = true
				since = later(since, sh.caughtUp)
			}
			continue
		}
		// Of a folder that changed while it was read there may be a file that
		// comes before this one.
		opens := sh.unbegun() && (t == taskChunk || t == taskEnd && sh.Left()+int64(len(sh.Losses)) > 0)
		if opens && (blocked || !st.chain.Settled()) {
			if sh.waiting.IsZero() {
				sh.waiting = now
			}
			if since.IsZero() { // what is before it must be read once first
				continue
			}
			if due := later(since, sh.waiting).Add(maxHold); now.Before(due) {
				st.wakeAt(due)
				continue
			}
		}
		if opens {
			if other, wait := st.cutBehind(r, i); wait {
				continue
			} else if other != nil {
				return other, taskCut
			}
		}
		if best == nil || sh.turn < best.turn {
			best, what = sh, t
		}
		if opens { // only one new generation at a time, in order
			return best, what
		}
		if sh.caughtUp.IsZero() {
			since = time.Time{}
		}
		blocked = true
	}
	return best, what
}

// cutBehind returns the first generation behind number i that was begun and has
// been cut since: what was in its file before may come before generation i, which
// may be a copy of what was in it later. It reports wait if that is being found
// out.
func (st *stream) cutBehind(r *follow.Reader, i int) (cut *shipment, wait bool) {
	for _, g := range st.chain.Generations[i+1:] {
		sh := st.shipments[g]
		if sh == nil || sh.unbegun() || sh.sealed || sh.Copy || sh.File == nil {
			continue
		}
		if sh.asking != 0 {
			return nil, true
		}
		if _, err := r.Look(g); errors.Is(err, follow.ErrCut) {
			return sh, false
		}
	}
	return nil, false
}

// unbegun reports whether nothing of a generation was ever sent, as far as the
// monitor still knows: a power loss may leave it that there is one, and take the
// end of the one before.
func (sh *shipment) unbegun() bool { return sh.number == 0 || sh.Position() == sh.Start }

func later(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if a.After(b) {
		return a
	}
	return b
}

// wakeAt asks to be looked at again not later than t.
func (st *stream) wakeAt(t time.Time) {
	if st.wake.IsZero() || t.Before(st.wake) {
		st.wake = t
	}
}

// inspect returns what there is to do for one generation alone.
func (st *stream) inspect(r *follow.Reader, sh *shipment, now time.Time) task {
	if sh.File == nil {
		return taskEnd
	}
	if sh.Copy {
		if sh.Left() > 0 && !sh.drained && sh.Packed() && sh.File.Waiting() {
			return taskNone
		}
		if sh.Left() > 0 && !sh.drained {
			return taskChunk
		}
		return taskEnd
	}
	stat, err := r.Look(sh.Generation)
	switch {
	case errors.Is(err, follow.ErrCut), errors.Is(err, follow.ErrStale):
		return taskCut
	case err != nil:
		st.wakeAt(now.Add(time.Second)) // a disk that fails may come back
		return taskNone
	case stat.Size > sh.Position():
		if sh.sealed {
			sh.sealed, sh.late = false, min(sh.late+1, 8)
		}
		sh.grew = now
		return taskChunk
	}
	return st.inspectEnd(sh, stat, now)
}

// inspectEnd returns what there is to do for a generation all of whose bytes
// were read.
func (st *stream) inspectEnd(sh *shipment, stat follow.Stat, now time.Time) task {
	if sh.Generation == st.chain.Current() {
		sh.caughtUp = time.Time{}
		return taskNone
	}
	if sh.caughtUp.IsZero() {
		sh.caughtUp = now
	}
	if sh.grew.IsZero() {
		sh.grew = now
	}
	// A time of the last change in the future says nothing: somebody set the clock.
	if wrote := time.Unix(0, stat.Modified); wrote.Before(sh.grew) {
		sh.grew = wrote
	}
	if sh.sealed {
		return taskNone
	}
	if stat.Links == 0 && !sh.idle && sh.File.Unwritten() {
		sh.idle = true
		return taskChunk // what was written before the question is there now
	}
	silence := st.silence(sh, stat)
	if sh.idle || silence > 0 && now.Sub(sh.grew) >= silence {
		return taskEnd
	}
	if silence > 0 {
		st.wakeAt(sh.grew.Add(silence))
	}
	return taskNone
}

// silence returns how long nothing must have come until a file that left its
// path counts as complete; 0: however long, it may go on.
func (st *stream) silence(sh *shipment, stat follow.Stat) time.Duration {
	last := st.chain.Generations[len(st.chain.Generations)-1] == sh.Generation
	switch {
	case last && stat.Links > 0:
		return 0 // nothing came after it
	case last:
		return quiet * 50 // removed, and the system does not tell whether somebody writes
	case sh.late > 0: // it did go on once
		return min(quiet<<(2*sh.late), time.Minute)
	default:
		return quiet
	}
}
