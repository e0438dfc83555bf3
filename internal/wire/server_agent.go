package wire

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"

	"dtc"
)

// agentServer answers the RPCs with an [Agent].
type agentServer struct {
	agent Agent
	lines lines                                                         // of Get and Preview
	trust func(context.Context, dtc.TrustGrant) (dtc.TrustState, error) // nil: not offered
}

var _ AgentServiceHandler = (*agentServer)(nil)

// Info implements [AgentServiceHandler].
func (s *agentServer) Info(ctx context.Context, _ *InfoRequest) (*InfoMessage, error) {
	info, err := s.agent.Info(ctx)
	if err != nil {
		return nil, toPeer(err)
	}
	return newInfo(info), nil
}

// Get implements [AgentServiceHandler].
func (s *agentServer) Get(ctx context.Context, req *GetRequest, stream *connect.ServerStream[PartMessage]) error {
	defer extend(ctx) // for the end of the stream
	selection, err := req.Selection.selection()
	if err != nil {
		return toPeer(err)
	}
	q := dtc.Query{Status: dtc.Status(cut(req.Status, maxShort)), Selection: selection, Timeout: span(req.TimeoutNanos)}
	done, err := s.lines.enter(ctx, peerOf(ctx).ID)
	if err != nil {
		return toPeer(err)
	}
	defer done()
	e := newEncoder(&q)
	if q.Timeout > 0 {
		ctx = expected{ctx, time.Now().Add(q.Timeout)}
	}
	return toPeer(s.agent.Get(ctx, q, func(r *dtc.Report) error {
		return e.send(r, func(m *PartMessage) error {
			return sending(ctx, func() error { return stream.Send(m) })
		})
	}))
}

// Watch implements [AgentServiceHandler].
func (s *agentServer) Watch(ctx context.Context, req *WatchRequest, stream *connect.ServerStream[SightingMessage]) error {
	defer extend(ctx) // for the end of the stream
	want, err := req.watching()
	if err != nil {
		return toPeer(err)
	}
	w := watchStream{ctx: ctx, stream: stream, began: time.Now()}
	ctx, cancel := context.WithCancel(ctx)
	var beats sync.WaitGroup
	defer beats.Wait() // also if Watch panics: nobody may send after the call
	defer cancel()
	beats.Go(func() { w.beat(ctx) })
	return toPeer(s.agent.Watch(ctx, peerOf(ctx).ID, want, func(sighting dtc.Sighting) error {
		return w.send(newSighting(&sighting))
	}))
}

// watchStream is the sending end of one watch.
type watchStream struct {
	ctx    context.Context //nolint:containedctx // the call's, which lives as long as the stream
	stream *connect.ServerStream[SightingMessage]
	began  time.Time

	mu sync.Mutex // held while sending
}

func (w *watchStream) send(m *SightingMessage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.ClockNanos = int64(time.Since(w.began))
	return sending(w.ctx, func() error { return w.stream.Send(m) })
}

// beat sends the clock now and again until ctx is done, so that the receiver
// knows how long a sighting was on its way (see [transit]). That it cannot be
// sent is the stream's end, which the next sighting or a ping finds.
func (w *watchStream) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if w.send(&SightingMessage{}) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Check implements [AgentServiceHandler].
func (s *agentServer) Check(ctx context.Context, req *CheckRequest) (*CheckReply, error) {
	defer extend(ctx) // for the reply
	pids, rules, err := req.check()
	if err != nil {
		return nil, toPeer(err)
	}
	sightings, err := s.agent.Check(ctx, peerOf(ctx).ID, pids, rules)
	if err != nil {
		return nil, toPeer(err)
	}
	reply := &CheckReply{Sightings: make([]*SightingMessage, len(sightings))}
	for i := range sightings {
		reply.Sightings[i] = newSighting(&sightings[i])
	}
	return reply, nil
}

// Acknowledge implements [AgentServiceHandler].
func (s *agentServer) Acknowledge(ctx context.Context, req *AcknowledgeRequest) (*AcknowledgeReply, error) {
	err := s.agent.Acknowledge(ctx, peerOf(ctx).ID, cut(req.Run, maxShort), req.Number)
	if err != nil {
		return nil, toPeer(err)
	}
	return &AcknowledgeReply{}, nil
}

// Preview implements [AgentServiceHandler].
func (s *agentServer) Preview(ctx context.Context, req *WatchRequest) (*PreviewReply, error) {
	defer extend(ctx) // for the reply
	want, err := req.watching()
	if err != nil {
		return nil, toPeer(err)
	}
	done, err := s.lines.enter(ctx, peerOf(ctx).ID)
	if err != nil {
		return nil, toPeer(err)
	}
	defer done()
	matches, err := s.agent.Preview(ctx, want)
	if err != nil {
		return nil, toPeer(err)
	}
	return newPreview(matches), nil
}
