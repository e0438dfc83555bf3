package wire

import (
	"context"
	"errors"
	"time"

	"dtc"
)

// Info asks what runs there.
func (c *Client) Info(ctx context.Context) (dtc.Info, error) {
	var info dtc.Info
	err := c.call(ctx, maxReply+1024, func(ctx context.Context) (bool, error) {
		m, err := shared().rpc.Info(ctx, &InfoRequest{})
		if err != nil {
			return false, err
		}
		info = m.info()
		return true, nil
	})
	return info, err
}

// Get asks q and gives the parts of the answer to emit, in order. The last, and
// no other, has Partial unset; without it Get returns an error. A part is valid
// during the call of emit, only its texts longer. An error of emit ends Get and
// is returned as it is.
func (c *Client) Get(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream, wherever it is
	return c.call(ctx, 2*maxAnswerText, func(ctx context.Context) (given bool, err error) {
		stream, err := shared().rpc.Get(ctx, &GetRequest{
			Status: []byte(q.Status), Selection: newSelection(&q.Selection), TimeoutNanos: int64(q.Timeout),
		})
		if err != nil {
			return false, err
		}
		defer stream.Close()
		d := newDecoder(&q)
		for stream.Receive() {
			r, err := d.decode(stream.Msg())
			if err != nil {
				return given, err
			}
			given = true
			if err := emit(r); err != nil {
				return given, &emitError{err}
			}
			if !r.Partial {
				stream.Receive() // the end, so that the connection need not cancel the stream
				return given, nil
			}
		}
		if err := stream.Err(); err != nil {
			return given, err
		}
		return given, &dtc.Error{Kind: dtc.KindUnavailable, Err: errors.New("the answer ended in the middle")}
	})
}

// Watch tells what happens to what is wanted until ctx is done or the connection
// is lost. An error of emit ends Watch and is returned as it is.
func (c *Client) Watch(ctx context.Context, want dtc.Watching, emit func(dtc.Sighting) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return c.call(ctx, 0, func(ctx context.Context) (given bool, err error) {
		stream, err := shared().rpc.Watch(ctx, newWatching(&want))
		if err != nil {
			return false, err
		}
		defer stream.Close()
		way := transit{began: time.Now()}
		for stream.Receive() {
			m := stream.Msg()
			clock := span(m.ClockNanos)
			if len(m.State) == 0 {
				way.beat(clock)
				continue
			}
			s := m.sighting()
			late := way.late(clock)
			if s.Age += late; s.AgeMost > 0 {
				s.AgeMost += late
			}
			given = true
			if err := emit(s); err != nil {
				return given, &emitError{err}
			}
		}
		if err := stream.Err(); err != nil {
			return given, err
		}
		return given, &dtc.Error{Kind: dtc.KindUnavailable, Err: errors.New("the agent ended the watch")}
	})
}

// Check has the agent look at the processes and rules now.
func (c *Client) Check(ctx context.Context, pids []int, rules []string) ([]dtc.Sighting, error) {
	m := newCheck(pids, rules)
	var sightings []dtc.Sighting
	err := c.call(ctx, maxReply+1024, func(ctx context.Context) (bool, error) {
		reply, err := shared().rpc.Check(ctx, m)
		if err != nil {
			return false, err
		}
		sightings = make([]dtc.Sighting, len(reply.Sightings))
		for i, s := range reply.Sightings {
			sightings[i] = s.sighting()
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return sightings, nil
}

// Preview asks which processes the rules match and which pids are there now, the
// targets first.
func (c *Client) Preview(ctx context.Context, want dtc.Watching) ([]dtc.RuleMatches, error) {
	var matches []dtc.RuleMatches
	err := c.call(ctx, maxReply+1024, func(ctx context.Context) (bool, error) {
		reply, err := shared().rpc.Preview(ctx, newWatching(&want))
		if err != nil {
			return false, err
		}
		matches = reply.matches()
		return true, nil
	})
	return matches, err
}

// Acknowledge tells that all sightings of the run up to number are recorded.
func (c *Client) Acknowledge(ctx context.Context, run string, number uint64) error {
	return c.call(ctx, maxReply+1024, func(ctx context.Context) (bool, error) {
		_, err := shared().rpc.Acknowledge(ctx, &AcknowledgeRequest{Run: []byte(run), Number: number})
		return false, err
	})
}
