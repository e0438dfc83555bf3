package logs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"dtc"
)

// wants are the frames that an attachment is to be sent. They are made when
// they are sent, from the state at that time: so a slow reader costs nothing,
// and whoever has something to say never waits for it.
type wants uint8

const (
	wantFenced wants = 1 << iota
	wantState
	wantPaused
	wantResumed
)

// outbox is what a connection has to say.
type outbox struct {
	mu      sync.Mutex
	frames  []dtc.Frame
	pending []*attachment // each once: those that want something
	held    []*attachment // those whose acknowledgment waits for company
	bytes   int64         // that they have to acknowledge
	timer   *time.Timer   // ends that wait; nil: it never ran
	armed   bool          // it runs
	wake    chan struct{}
}

// maxFrames bounds what waits for an agent that asks and does not read.
const maxFrames = 4 * dtc.MaxStreams

// push adds a frame. It fails when the agent does not read.
func (o *outbox) push(f dtc.Frame) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.frames) >= maxFrames {
		return fmt.Errorf("%w: it asks and does not read", errProtocol)
	}
	o.frames = append(o.frames, f)
	signal(o.wake)
	return nil
}

// want has the attachment sent something.
func (att *attachment) want(w wants) {
	o := &att.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	att.wants |= w
	o.queue(att)
}

// ack has the position of a generation acknowledged.
func (att *attachment) ack(generation uint64) {
	o := &att.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	att.acks = include(att.acks, generation)
	o.bytes, att.held = o.bytes-att.held, 0 // they go with this one
	o.queue(att)
}

// nack has the agent told which position of a generation is expected.
func (att *attachment) nack(generation uint64) {
	o := &att.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	att.nacks = include(att.nacks, generation)
	o.queue(att)
}

// ackLater has a position acknowledged together with what comes next, be it
// that the bytes are durable. n bytes were appended.
func (att *attachment) ackLater(generation uint64, n int64) {
	o := &att.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(att.acks) == 0 {
		o.held = append(o.held, att)
	}
	att.acks = include(att.acks, generation)
	att.held += n
	if o.bytes += n; o.bytes >= ackBytes || len(o.held) >= maxHeld {
		o.release()
	}
}

const (
	// maxHeld is of how many streams the acknowledgments may be held back, and
	// ackDelay for how long: longer than it takes until a line is durable on a
	// machine that has little to do, so that there is one frame for both.
	maxHeld  = 256
	ackDelay = 200 * time.Millisecond
)

// maxAcks bounds the generations of one stream that are acknowledged at once.
const maxAcks = dtc.MaxGenerations

func include(all []uint64, generation uint64) []uint64 {
	if slices.Contains(all, generation) || len(all) >= maxAcks {
		return all
	}
	return append(all, generation)
}

// queue notes that an attachment wants something. The mutex is held.
func (o *outbox) queue(att *attachment) {
	if !att.queued {
		att.queued = true
		o.pending = append(o.pending, att)
	}
	signal(o.wake)
}

// flushAcks sees to it that the acknowledgments that are held back do not wait
// for ever.
func (o *outbox) flushAcks() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.held) == 0 || o.armed {
		return
	}
	o.armed = true
	if o.timer == nil {
		o.timer = time.AfterFunc(ackDelay, o.late)
		return
	}
	o.timer.Reset(ackDelay)
}

// late sends what is held back when its time is over.
func (o *outbox) late() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.armed = false
	o.release()
}

// release sends the acknowledgments that are held back; the mutex is held.
func (o *outbox) release() {
	for _, att := range o.held {
		att.held = 0
		if len(att.acks) > 0 { // else they went with others
			o.queue(att)
		}
	}
	clear(o.held)
	o.held, o.bytes = o.held[:0], 0
}

// close ends the wait for company: the connection is over.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.timer != nil {
		o.timer.Stop()
	}
}

// order is what one attachment is to be sent.
type order struct {
	att   *attachment
	wants wants
	nacks []uint64
	acks  []uint64
}

// take returns what waits.
func (o *outbox) take() (frames []dtc.Frame, orders []order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames, o.frames = o.frames, nil
	for _, att := range o.pending {
		orders = append(orders, order{att, att.wants, att.nacks, att.acks})
		att.wants, att.nacks, att.acks, att.queued = 0, nil, nil, false
	}
	o.pending = o.pending[:0]
	return frames, orders
}

// write sends what waits until ctx is done.
func (c *conn) write(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.out.wake:
		}
		frames, orders := c.out.take()
		for i := range frames {
			if err := c.link.Send(&frames[i]); err != nil {
				return err
			}
		}
		for i := range orders {
			if err := c.fill(&orders[i]); err != nil {
				return err
			}
		}
		if err := c.link.Flush(); err != nil {
			return err
		}
	}
}

// fill sends what one attachment wants.
func (c *conn) fill(o *order) error {
	for _, f := range o.att.frames(o) {
		if err := c.link.Send(&f); err != nil {
			return err
		}
	}
	return nil
}

// frames makes the frames of an order from the present state of the stream.
func (att *attachment) frames(o *order) []dtc.Frame {
	st := att.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	base := dtc.Frame{Stream: att.number, Epoch: att.epoch}
	var out []dtc.Frame
	add := func(kind dtc.FrameKind, fill func(*dtc.Frame)) {
		f := base
		f.Kind = kind
		fill(&f)
		out = append(out, f)
	}
	if att.refused {
		return nil
	}
	if o.wants&wantFenced != 0 || st.owner != att {
		att.conn.fenced.Store(true)
		add(dtc.FrameFenced, func(*dtc.Frame) {})
		return out
	}
	if o.wants&wantResumed != 0 && st.pause == "" {
		add(dtc.FrameResumed, func(f *dtc.Frame) { f.Text = "the monitor can store again" })
	}
	if o.wants&wantState != 0 {
		att.addState(add)
	}
	if o.wants&(wantPaused|wantState) != 0 && st.pause != "" {
		add(dtc.FramePaused, func(f *dtc.Frame) { f.Text = cut(st.pause, dtc.MaxText) })
	}
	if st.pause != "" || !att.stated {
		return out
	}
	for _, n := range o.nacks {
		if e, ok := st.endOf(n); ok {
			add(dtc.FrameNack, func(f *dtc.Frame) { f.Generation, f.Offset = n, e.position })
		}
	}
	for _, n := range o.acks {
		if e, ok := st.endOf(n); ok {
			add(dtc.FrameAck, func(f *dtc.Frame) { f.Generation, f.Offset, f.End = n, e.position, e.durable })
		}
	}
	return out
}

// addState adds the state of the stream, or leaves it for later when it cannot
// be read now.
func (att *attachment) addState(add func(dtc.FrameKind, func(*dtc.Frame))) {
	st := att.stream
	if !st.made {
		att.stated = true
		add(dtc.FrameState, func(*dtc.Frame) {})
		return
	}
	c, err := st.open()
	if err != nil {
		att.stated = false
		st.fail(err)
		return
	}
	att.stated = true
	clear(att.nacked)
	add(dtc.FrameState, func(f *dtc.Frame) { f.States = c.states() })
}

// cut returns the first n bytes of s at most, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
