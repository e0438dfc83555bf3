package notify

import (
	"context"
	"fmt"
	"time"
)

// Status is how it goes with one receiver. A time that there is not is zero.
type Status struct {
	Name      string
	Kind      string
	Waiting   int       // notices that are not delivered
	Oldest    time.Time // when the oldest of these was made
	Next      time.Time // when it is tried again
	Trying    time.Time // since when a try is under way
	Delivered time.Time // when the last was
	Sent      int       // notices delivered by this run
	GivenUp   int       // notices given up on by this run
	Error     string    // of the last try, if it failed; or why its queue is not kept on the disk
}

// Status returns how it goes with each receiver, in the order in which they are
// configured.
func (n *Notifier) Status() []Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]Status, 0, len(n.order))
	for _, name := range n.order {
		list = append(list, n.couriers[name].report())
	}
	return list
}

func (c *courier) report() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Name, s.Kind = c.name, c.receiver.Kind
	c.queue.fill(&s)
	if s.Waiting == 0 {
		s.Next = time.Time{}
	}
	return s
}

// Try sends a receiver a notice that says it is a test. A relative path in its
// settings is relative to home. It needs no [Notifier].
func Try(ctx context.Context, home string, r Receiver) error {
	s, err := NewSender(r.Kind, Settings{Home: home, Values: r.Values})
	if err != nil {
		return fmt.Errorf("notify %q: %w", r.Name, err)
	}
	c := &courier{name: r.Name, receiver: r}
	err = c.send(ctx, s, &Notice{
		ID: newNoticeID(), Receiver: r.Name, Kind: Test, Time: time.Now(),
		Title: fmt.Sprintf("test of the receiver %s", r.Name),
	})
	if err != nil {
		return fmt.Errorf("notify %q: %w", r.Name, err)
	}
	return nil
}
