package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
	"dtc/internal/follow"
)

// protocol is the version of the log protocol that is spoken.
const protocol = 1

const (
	pingIdle = 20 * time.Second // without anything sent
	pingBusy = 3 * time.Second  // while something is not acknowledged
	deadline = 10 * time.Second // without anything heard, while something is not acknowledged
	minPing  = 100 * time.Millisecond
	maxTurns = 64 // of streams in one round

	lightLoad  = 64 << 10 // bytes on their way, and
	lightQueue = 16       // streams that wait, with which a round takes no time
)

var (
	errSilent   = errors.New("nothing was heard from the monitor for 10 s though an answer is due")
	errOver     = errors.New("the connection is over")
	errProtocol = errors.New("the monitor broke the log protocol")
)

// session is one connection. Its rounds are synchronous, in one goroutine at a
// time; beside them only recv runs, and hashing that takes long.
type session struct {
	s      *Shipper
	log    *slog.Logger
	link   Link
	meter  *meter // link's
	packer packer
	reader *follow.Reader

	inflight atomic.Int64 // bytes sent and not acknowledged
	heard    atomic.Int64 // when the last frame came, ns since start
	pong     atomic.Uint64
	start    time.Time
	wakeup   chan struct{}
	hungry   atomic.Bool // somebody waits for room

	mu    sync.Mutex // guards all below, up to the next lock
	queue []*stream  // that may have something to send
	inbox []message
	fails error    // why recv ended
	gone  []uint32 // numbers of streams that are followed no longer

	amu      sync.RWMutex // guards attached
	attached []*stream    // by number, from 1

	rounds    sync.Mutex // held during a round; guards all below, taken first
	failed    error      // why there are no more rounds
	hasty     bool       // the round is not to take long
	timer     *time.Timer
	ready     bool      // the monitor told what it knows
	features  uint64    // that the monitor has
	seen      uint64    // streams ever made, when those were last looked through
	small     []*stream // that may have something to send
	bulk      []*stream // that have much, in turn
	starved   map[*stream]struct{}
	timed     map[*stream]time.Time
	due       time.Time       // the earliest of timed, or earlier; zero: none
	told      map[uint64]bool // rejections that were sent
	has       map[string]bool // folded aliases that the monitor has something of, or was asked for
	fenced    fencing
	questions map[uint64]*question
	asked     uint64 // the last question's number
	out       []outgoing
	turns     uint64
	ping      uint64 // the last one sent
	needPing  bool
	sentAt    time.Time
	pingAt    time.Time
	waited    time.Time // since when an answer is due
	jobs      sync.WaitGroup
	hashing   chan struct{} // holds one while a hash is made for the monitor
	askedOfUs atomic.Int32  // questions of the monitor that wait
	hollow    hollowHash    // of the last hole that was hashed; for who holds a place in hashing
	ctx       func() error  // reports whether the connection is to end
}

// message is a frame of the monitor's or the result of a job.
type message struct {
	frame dtc.Frame
	apply func() error // instead of a frame
}

// outgoing is a frame to be sent.
type outgoing struct {
	frame dtc.Frame
}

func newSession(s *Shipper, link Link) *session {
	m := &meter{Link: link}
	return &session{
		s: s, log: s.log, link: m, meter: m, reader: s.host.NewReader(), start: time.Now(), wakeup: make(chan struct{}, 1),
		starved: map[*stream]struct{}{}, timed: map[*stream]time.Time{}, told: map[uint64]bool{}, has: map[string]bool{}, questions: map[uint64]*question{},
		hashing: make(chan struct{}, 1), timer: time.NewTimer(0),
	}
}

// run is the loop around the rounds.
func (x *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		_ = x.link.Close()
		x.rounds.Lock()
		x.failed = errOver // for who comes too late
		x.rounds.Unlock()
		wg.Wait()
		x.jobs.Wait()
	}()
	x.ctx = ctx.Err
	x.heard.Store(int64(time.Since(x.start)))
	wg.Go(x.recv)
	wg.Go(func() { // unblocks a Send that waits for the network
		<-ctx.Done()
		_ = x.link.Close()
	})
	x.push(dtc.Frame{Kind: dtc.FrameHello, ID: protocol, Text: clip(x.s.boot)})
	defer x.timer.Stop()
	for {
		if err := x.next(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-x.wakeup:
		case <-x.timer.C:
		}
	}
}

// next does a round, and sets the timer for the one after it.
func (x *session) next() error {
	x.rounds.Lock()
	defer x.rounds.Unlock()
	if x.failed != nil {
		return x.failed
	}
	next, err := x.round(time.Now())
	x.failed = err
	x.timer.Reset(time.Until(next))
	return err
}

// attend has a round done for what was queued up: in the caller's goroutine, if
// that is done in no time. For a line now and then a change of goroutines, which
// is mostly one of threads, costs more than all else.
func (x *session) attend() {
	x.mu.Lock()
	waiting := len(x.queue)
	x.mu.Unlock()
	if waiting == 0 {
		return
	}
	if waiting > lightQueue || x.inflight.Load() > lightLoad || !x.rounds.TryLock() {
		x.wake()
		return
	}
	defer x.rounds.Unlock()
	if x.failed != nil || !x.light() {
		x.wake()
		return
	}
	x.hasty = true
	next, err := x.round(time.Now())
	x.hasty = false
	if x.failed = err; err != nil {
		x.wake() // the session's own goroutine ends it
		return
	}
	x.timer.Reset(time.Until(next))
}

// light reports whether nothing waits but what was queued up.
func (x *session) light() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ready && len(x.inbox)+len(x.small)+len(x.bulk)+len(x.starved) == 0 && x.fails == nil
}

// round does all that can be done now, and returns when there may be more to do
// though nothing is heard.
func (x *session) round(now time.Time) (time.Time, error) {
	if err := x.receive(); err != nil {
		return now, err
	}
	if x.ready {
		x.reject()
		if err := x.serve(); err != nil {
			return now, err
		}
	}
	x.packer.rest(now)
	next, err := x.keepAlive(time.Now())
	if err != nil {
		return now, err
	}
	if err := x.flush(); err != nil {
		return now, err
	}
	if !x.due.IsZero() && x.due.Before(next) {
		next = x.due
	}
	if len(x.starved) > 0 {
		x.hungry.Store(true)
	}
	if due := x.warnFenced(now); !due.IsZero() {
		next = sooner(next, due)
	}
	return next, nil
}

// serve gives every stream that may have something to send its turns: first
// those that have little. It ends now and then though there is more, so that
// what the monitor says is heard.
func (x *session) serve() error {
	x.feed()
	for turn := 0; turn < maxTurns; {
		x.pull()
		st := x.pick()
		if st == nil {
			return nil
		}
		turn++
		out := x.pump(st, time.Now())
		if err := x.deliver(); err != nil {
			return err
		}
		switch out {
		case outAgain:
			x.small = append(x.small, st)
		case outBulk:
			x.bulk = append(x.bulk, st)
		case outFull:
			x.starved[st] = struct{}{}
		case outIdle:
		}
		x.schedule(st)
		if x.hasty && (out == outBulk || out == outFull) {
			break
		}
		if len(x.small) == 0 && out != outBulk && len(x.bulk) > 0 {
			// A live line does not wait until the bytes of others fill the buffer.
			if err := x.link.Flush(); err != nil {
				return err
			}
		}
	}
	x.wake()
	return nil
}

// pick takes the stream whose turn it is, nil if there is none.
func (x *session) pick() *stream {
	for _, list := range []*[]*stream{&x.small, &x.bulk} {
		if len(*list) > 0 {
			st := (*list)[0]
			*list = (*list)[1:]
			return st
		}
	}
	return nil
}

// feed gives those that waited for room another try.
func (x *session) feed() {
	x.hungry.Store(false)
	for st := range x.starved {
		x.bulk = append(x.bulk, st)
	}
	clear(x.starved)
}

// pull takes over what was queued since, and those whose time has come.
func (x *session) pull() {
	x.mu.Lock()
	queue := x.queue
	x.queue = nil
	x.mu.Unlock()
	for _, st := range queue {
		st.queued.CompareAndSwap(x, nil)
		if !slices.Contains(x.bulk, st) {
			x.small = append(x.small, st)
		}
	}
	now := time.Now()
	if x.due.IsZero() || now.Before(x.due) {
		return
	}
	x.due = time.Time{}
	for st, t := range x.timed {
		if t.After(now) {
			x.dueAt(t)
			continue
		}
		delete(x.timed, st)
		x.small = append(x.small, st)
	}
}

// schedule notes when st wants its next turn.
func (x *session) schedule(st *stream) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.wake.IsZero() {
		delete(x.timed, st)
		return
	}
	x.timed[st] = st.wake
	x.dueAt(st.wake)
}

func (x *session) dueAt(t time.Time) {
	if x.due.IsZero() || t.Before(x.due) {
		x.due = t
	}
}

// enqueue asks for a turn of st. It may be called by anyone.
func (x *session) enqueue(st *stream) {
	if x.queueUp(st) {
		x.wake()
	}
}

// queueUp is enqueue for who sees to it that a round follows. It answers false
// if st waits for one already.
func (x *session) queueUp(st *stream) bool {
	if st.queued.Swap(x) == x {
		return false
	}
	x.mu.Lock()
	x.queue = append(x.queue, st)
	x.mu.Unlock()
	return true
}

// forgo notes that nothing more comes of the stream of a number. It may be
// called by anyone.
func (x *session) forgo(number uint32) {
	x.mu.Lock()
	x.gone = append(x.gone, number)
	x.mu.Unlock()
	x.wake()
}

func (x *session) wake() {
	select {
	case x.wakeup <- struct{}{}:
	default:
	}
}

// send notes a frame of st to be sent; the caller holds st's lock.
func (x *session) send(st *stream, f dtc.Frame) {
	f.Stream, f.Epoch = st.number, st.epoch
	x.push(f)
}

func (x *session) push(f dtc.Frame) { x.out = append(x.out, outgoing{f}) }

// deliver sends what was noted.
func (x *session) deliver() error {
	for i := range x.out {
		if err := x.link.Send(&x.out[i].frame); err != nil {
			return fmt.Errorf("send to the monitor: %w", err)
		}
		x.out[i] = outgoing{}
	}
	if len(x.out) > 0 {
		x.sentAt = time.Now()
	}
	x.out = x.out[:0]
	return nil
}

func (x *session) flush() error {
	if err := x.deliver(); err != nil {
		return err
	}
	if err := x.link.Flush(); err != nil {
		return fmt.Errorf("send to the monitor: %w", err)
	}
	return nil
}

// keepAlive pings when it is time to, and returns when it will be again.
func (x *session) keepAlive(now time.Time) (time.Time, error) {
	waiting := x.inflight.Load() > 0 || x.ping > x.pong.Load() || !x.ready
	if !waiting {
		x.waited = time.Time{}
	} else if x.waited.IsZero() {
		x.waited = now
	}
	silence := time.Since(x.start) - time.Duration(x.heard.Load())
	if waiting && silence > deadline && now.Sub(x.waited) > deadline {
		return now, errSilent
	}
	every := pingIdle
	if waiting {
		every = pingBusy
	}
	if x.needPing {
		every = minPing
	}
	last := x.pingAt
	if !waiting && !x.needPing && x.sentAt.After(last) {
		last = x.sentAt
	}
	if due := last.Add(every); now.Before(due) {
		return due, nil
	}
	x.ping++
	x.needPing, x.pingAt = false, now
	x.push(dtc.Frame{Kind: dtc.FramePing, ID: x.ping})
	return now.Add(pingBusy), nil
}

// detach ends what the streams know of the connection.
func (x *session) detach() {
	x.fenced.warn(x.log)
	for _, q := range x.questions {
		q.close()
	}
	for _, st := range x.attached {
		st.mu.Lock()
		if st.session == x {
			st.grant = grant{}
		}
		st.mu.Unlock()
	}
}
