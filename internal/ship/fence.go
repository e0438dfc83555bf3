package ship

import (
	"log/slog"
	"time"

	"dtc"
)

const (
	retryFirst = 5 * time.Second  // until a stream that a newer connection has is asked for again
	retryLater = 15 * time.Second // the same, after the first time

	retryGrid = 100 * time.Millisecond // thousands of streams are asked for again at few moments

	// gatherFenced is how long streams are gathered for one line of the log: they
	// are fenced one by one, and there may be thousands.
	gatherFenced = 500 * time.Millisecond
)

// fencing is what is to be said of streams that newer connections took.
type fencing struct {
	count       int
	alias, path string    // of the first
	since       time.Time // zero: there is none
}

// warn says it, in one line.
func (f *fencing) warn(log *slog.Logger) {
	const cause = "a newer connection of this agent has the stream; is it running twice?"
	switch f.count {
	case 0:
	case 1:
		log.Warn("a stream is not shipped on this connection", "alias", f.alias, "path", f.path, "cause", cause)
	default:
		log.Warn("streams are not shipped on this connection", "streams", f.count, "first_alias", f.alias, "first_path", f.path, "cause", cause)
	}
	*f = fencing{}
}

// warnFenced says it if it was gathered long enough, and returns when it will
// have been; zero: there is nothing to say.
func (x *session) warnFenced(now time.Time) time.Time {
	if x.fenced.since.IsZero() {
		return time.Time{}
	}
	if due := x.fenced.since.Add(gatherFenced); now.Before(due) {
		return due
	}
	x.fenced.warn(x.log)
	return time.Time{}
}

// fence stops a stream that a newer connection has. It is asked for again after
// a while, for that connection may have ended then.
func (x *session) fence(st *stream, f *dtc.Frame) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.session != x || st.closed {
		return
	}
	if st.stopped || !st.concerns(f) {
		return // told twice, or of an epoch before: this connection asked for the stream again
	}
	after := x.s.retries[min(st.fences, 1)]
	if st.fences == 0 {
		if x.fenced.count == 0 {
			x.fenced = fencing{alias: st.alias, path: st.path, since: time.Now()}
		}
		x.fenced.count++
	}
	st.fences++
	x.halt(st)
	x.retryAt(st, time.Now().Add(after))
}

// concerns reports whether a FrameFenced is about what st has or asked for last;
// the caller holds its lock.
func (st *stream) concerns(f *dtc.Frame) bool {
	switch {
	case f.Epoch == 0:
		return true
	case st.epoch == 0: // not answered yet
		return f.Epoch != st.before
	default:
		return f.Epoch == st.epoch
	}
}

// retryAt asks for a turn of st at t; the caller holds its lock.
func (x *session) retryAt(st *stream, t time.Time) {
	t = x.start.Add(t.Sub(x.start).Truncate(retryGrid) + retryGrid)
	st.retry = t
	st.wakeAt(t)
	x.timed[st] = t
	x.dueAt(t)
}

// retry asks for a fenced stream again if it is time to; the caller holds its
// lock.
func (x *session) retry(st *stream, now time.Time) {
	if now.Before(st.retry) {
		st.wakeAt(st.retry)
		return
	}
	if st.closed {
		return
	}
	x.reattach(st)
	// An answer that is taken for one of before does not end the attempts.
	x.retryAt(st, now.Add(x.s.retries[1]))
}
