package ship

import (
	"fmt"
	"slices"
	"time"

	"dtc"
)

// recv takes frames off the link until it breaks. What frees room is applied at
// once, all else waits for the next round.
func (x *session) recv() {
	var f dtc.Frame
	for {
		if err := x.link.Recv(&f); err != nil {
			x.mu.Lock()
			x.fails = fmt.Errorf("receive from the monitor: %w", err)
			x.mu.Unlock()
			x.wake()
			return
		}
		x.heard.Store(int64(time.Since(x.start)))
		switch f.Kind {
		case dtc.FrameAck:
			x.acked(&f)
		case dtc.FramePong:
			x.pong.Store(max(f.ID, x.pong.Load()))
			x.wake()
		default:
			x.deposit(message{frame: keep(&f)})
		}
	}
}

// keep returns a frame that outlives the link's next.
func keep(f *dtc.Frame) dtc.Frame {
	g := *f
	g.Data = slices.Clone(f.Data)
	g.States = slices.Clone(f.States)
	for i := range g.States {
		g.States[i].Identity = slices.Clone(g.States[i].Identity)
	}
	return g
}

func (x *session) deposit(m message) {
	x.mu.Lock()
	x.inbox = append(x.inbox, m)
	x.mu.Unlock()
	x.wake()
}

// stream returns the stream of the number that this side gave it.
func (x *session) stream(number uint32) *stream {
	x.amu.RLock()
	defer x.amu.RUnlock()
	if number == 0 || int(number) > len(x.attached) {
		return nil
	}
	return x.attached[number-1]
}

// acked takes note of what the monitor has.
func (x *session) acked(f *dtc.Frame) {
	st := x.stream(f.Stream)
	if st == nil {
		return
	}
	st.mu.Lock()
	if st.session == x && st.granted && (f.Epoch == 0 || f.Epoch == st.epoch) {
		x.ackGeneration(st, f)
	}
	roomy := st.inflight <= dtc.MaxWindow/2 // else the next one is soon enough, and a wake-up is not free
	st.mu.Unlock()
	if roomy && x.hungry.Load() {
		x.wake()
	}
}

func (x *session) ackGeneration(st *stream, f *dtc.Frame) {
	for _, sh := range st.shipments {
		if sh.number != f.Generation {
			continue
		}
		sh.acked = min(max(sh.acked, f.Offset), sh.Position())
		sh.durable = min(max(sh.durable, f.End), sh.Position())
		st.account()
		if len(st.chain.Generations) > 1 && sh.durable == sh.Position() {
			x.enqueue(st) // a file may be let go
		}
	}
}

// receive handles what came since the last round.
func (x *session) receive() error {
	x.mu.Lock()
	inbox, err := x.inbox, x.fails
	x.inbox = nil
	x.mu.Unlock()
	for _, m := range inbox {
		if m.apply != nil {
			if err := m.apply(); err != nil {
				return err
			}
			continue
		}
		if err := x.handle(&m.frame); err != nil {
			return err
		}
	}
	if err == nil && x.ready {
		x.giveUp()
		x.attachNew()
	}
	return err
}

func (x *session) handle(f *dtc.Frame) error {
	switch f.Kind {
	case dtc.FrameKnown:
		x.s.learn(f)
		if len(x.has) < dtc.MaxStreams {
			x.has[fold(f.Text)] = true
		}
		return nil
	case dtc.FrameReady:
		x.ready, x.features = true, f.ID
		x.reader.Holes = f.ID&dtc.FeatureHoles != 0
		x.s.adoptKnown()
		return nil
	case dtc.FrameAnswer:
		return x.answered(f)
	case dtc.FramePing:
		x.push(dtc.Frame{Kind: dtc.FramePong, ID: f.ID})
		return nil
	default:
		return x.handleStream(f)
	}
}

// handleStream handles a frame that is for one stream.
func (x *session) handleStream(f *dtc.Frame) error {
	st := x.stream(f.Stream)
	if st == nil {
		return fmt.Errorf("%w: a frame for stream %d, which there is not", errProtocol, f.Stream)
	}
	switch f.Kind {
	case dtc.FrameState:
		x.granted(st, f)
	case dtc.FrameRefused:
		x.stop(st, "the monitor refuses a stream", f.Text)
	case dtc.FrameFenced:
		x.fence(st, f)
	case dtc.FrameNack:
		x.nacked(st, f)
	case dtc.FrameAsk:
		return x.asksUs(st, f)
	case dtc.FramePaused:
		x.log.Warn("the monitor cannot store a stream at the moment", "alias", st.alias, "reason", f.Text)
	case dtc.FrameResumed:
		x.log.Info("the monitor stores a stream again", "alias", st.alias)
	default:
		return fmt.Errorf("%w: an unexpected frame of kind %d", errProtocol, f.Kind)
	}
	return nil
}

// stop gives the stream up for this connection.
func (x *session) stop(st *stream, what, why string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.session != x || st.closed {
		return
	}
	x.halt(st)
	x.log.Warn("a stream is not shipped on this connection", "alias", st.alias, "path", st.path, "cause", what, "reason", why)
}

// halt sends nothing more of st; the caller holds its lock.
func (x *session) halt(st *stream) {
	st.stopped, st.granted, st.toMatch, st.retry = true, false, false, time.Time{}
	x.inflight.Add(-st.inflight)
	st.inflight = 0
	st.shelve(time.Now())
}

// nacked asks for the stream's state anew: what the monitor has is not what it
// was thought to have.
func (x *session) nacked(st *stream, f *dtc.Frame) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.session != x || st.closed || !st.granted || f.Epoch != 0 && f.Epoch != st.epoch {
		return
	}
	x.log.Info("the monitor expects another position", "alias", st.alias, "generation", f.Generation, "position", f.Offset)
	x.reattach(st)
}

// reattach asks for the stream again; the caller holds its lock.
func (x *session) reattach(st *stream) {
	x.inflight.Add(-st.inflight)
	st.grant = grant{session: x, number: st.number, refuted: st.refuted, before: max(st.epoch, st.before)}
	x.push(dtc.Frame{Kind: dtc.FrameAttach, Stream: st.number, Text: st.alias})
}

// attachNew asks for every stream that is wanted and has not been asked for.
func (x *session) attachNew() {
	for _, st := range x.s.unattached(x) {
		st.mu.Lock()
		x.attach(st)
		st.mu.Unlock()
	}
}

// attach asks for st if that was not done and there is something to tell of it:
// a file, or that what the monitor has is not there. The caller holds its lock.
func (x *session) attach(st *stream) {
	st.opened = st.opened || len(st.chain.Generations)+len(st.missed) > 0
	key := fold(st.alias)
	if st.closed || st.session == x || !st.opened && !x.has[key] {
		return
	}
	x.has[key] = true
	x.amu.Lock()
	x.attached = append(x.attached, st)
	number := uint32(len(x.attached))
	x.amu.Unlock()
	st.grant = grant{session: x, number: number}
	x.push(dtc.Frame{Kind: dtc.FrameAttach, Stream: number, Text: st.alias})
}

// giveUp asks for the streams' numbers under no alias, so that the monitor
// counts them as followed no longer.
func (x *session) giveUp() {
	x.mu.Lock()
	gone := x.gone
	x.gone = nil
	x.mu.Unlock()
	for _, number := range gone {
		x.push(dtc.Frame{Kind: dtc.FrameAttach, Stream: number})
	}
}

// reject tells of files that are not followed.
func (x *session) reject() {
	for id, text := range x.s.rejections(len(x.told)) {
		if !x.told[id] {
			x.told[id] = true
			x.push(dtc.Frame{Kind: dtc.FrameRejected, ID: id, Text: clip(text)})
		}
	}
}
