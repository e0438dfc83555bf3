package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dtc"
)

// question is one that the agent asked.
type question struct {
	att   *attachment
	frame dtc.Frame
}

// beg queues a question of the agent.
func (c *conn) beg(att *attachment, f *dtc.Frame) error {
	q := question{att, *f}
	q.frame.Data, q.frame.States = nil, nil
	select {
	case c.begged <- q:
		return nil
	default:
		return fmt.Errorf("%w: more than %d questions at a time", errProtocol, maxBegged)
	}
}

// answer answers the agent's questions until ctx is done. It has a goroutine
// of its own, so that hashing much keeps no line waiting.
func (c *conn) answer(ctx context.Context) {
	turn := c.store.hashingOf(c.peer.ID)
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-c.begged:
			a := q.frame
			a.Kind = dtc.FrameAnswer
			select {
			case turn <- struct{}{}:
			case <-ctx.Done():
				return
			}
			sum, err := q.att.stream.hashRange(ctx, a.Generation, a.Offset, a.End)
			<-turn
			if err != nil {
				a.Text = cut(err.Error(), dtc.MaxText)
			} else {
				a.Text, a.Data = "", sum[:]
			}
			if err := c.out.push(a); err != nil {
				_ = c.link.Close() // the agent does not read: receive ends
				return
			}
		}
	}
}

// hashingOf returns what one of an agent's connections puts something into while
// it hashes: the owner of one host can keep one processor busy with that, and not
// one for each of its connections.
func (s *Store) hashingOf(peer string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer(peer)
	if p.hashing == nil {
		p.hashing = make(chan struct{}, 1)
	}
	return p.hashing
}

// questions are the ones that a connection's agent was asked.
type questions struct {
	mu   sync.Mutex
	last uint64
	wait map[uint64]chan<- dtc.Frame
}

func (q *questions) answered(f *dtc.Frame) {
	q.mu.Lock()
	ch := q.wait[f.ID]
	delete(q.wait, f.ID)
	q.mu.Unlock()
	if ch == nil {
		return
	}
	a := *f
	a.Data = append([]byte(nil), f.Data...)
	a.States = nil
	ch <- a // it has room for one
}

// askTimeout is how long an agent may take to hash one range.
const askTimeout = 60 * time.Second

// errAway says that nobody can be asked.
var errAway = errors.New("its agent is not connected")

// ask asks the agent that has the stream for the hash of a range of its
// source.
func (st *stream) ask(ctx context.Context, generation uint64, from, to int64) (*dtc.Frame, error) {
	st.mu.Lock()
	att := st.owner
	st.mu.Unlock()
	if att == nil {
		return nil, errAway
	}
	q := &att.conn.asked
	ch := make(chan dtc.Frame, 1)
	q.mu.Lock()
	q.last++
	id := q.last
	q.wait[id] = ch
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		delete(q.wait, id)
		q.mu.Unlock()
	}()
	err := att.conn.out.push(dtc.Frame{
		Kind: dtc.FrameAsk, Stream: att.number, Epoch: att.epoch, ID: id,
		Generation: generation, Offset: from, End: to,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	select {
	case a := <-ch:
		return &a, nil
	case <-att.conn.gone:
		return nil, errAway
	case <-ctx.Done():
		return nil, fmt.Errorf("its agent did not answer: %w", ctx.Err())
	}
}
