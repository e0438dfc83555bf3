package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	sendTime = 30 * time.Second // for one try
	execTime = 60 * time.Second // for one of a program
	stopTime = 2 * time.Second  // for one that is under way when the service stops

	backoffLeast = time.Second
	backoffMost  = 5 * time.Minute
	laterMost    = time.Hour

	// refreshTime is how often a receiver that wants it is given all that is
	// wrong.
	refreshTime = time.Minute
)

// errTooMany is why the oldest of very many notices are given up.
var errTooMany = errors.New("too many notices wait for this receiver")

// courier delivers the notices of one receiver, one after the other.
type courier struct {
	name    string
	queue   *queue
	log     *slog.Logger
	wake    chan struct{} // of capacity 1: a notice has come
	changed chan struct{} // of capacity 1: the receiver is told in another way now

	mu       sync.Mutex
	receiver Receiver // guarded by mu
	sender   Sender   // guarded by mu; nil: it is not told
	status   Status   // guarded by mu; without what the queue knows
}

func newCourier(name string, q *queue, log *slog.Logger) *courier {
	return &courier{name: name, queue: q, log: log, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

// queueFolder returns the name of the folder of a receiver's queue.
func queueFolder(receiver string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(receiver))
	sum := sha256.Sum256([]byte(receiver))
	return queuePrefix + plain[:min(len(plain), 40)] + "-" + hex.EncodeToString(sum[:4])
}

// set has the receiver told in a way from now on.
func (c *courier) set(r Receiver, s Sender) {
	c.mu.Lock()
	c.receiver, c.sender = r, s
	c.mu.Unlock()
	signal(c.changed)
}

// park has the receiver told no more.
func (c *courier) park() {
	c.mu.Lock()
	before := c.sender
	c.sender = nil
	c.mu.Unlock()
	if before == nil {
		return
	}
	var s Status
	if c.queue.fill(&s); s.Waiting > 0 {
		c.log.Warn("notices wait for a receiver that is not configured any more: they are dropped when the service ends", "receiver", c.name, "notices", s.Waiting)
	}
	signal(c.changed)
}

func (c *courier) rouse() { signal(c.wake) }

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (c *courier) current() (Receiver, Sender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receiver, c.sender
}

// run delivers until ctx is done.
func (c *courier) run(ctx context.Context, n *Notifier) {
	failed := 0 // tries of the oldest notice since the last that was taken
	for ctx.Err() == nil {
		r, sender := c.current()
		if sender == nil {
			failed = 0
			c.rest(ctx, time.Hour)
			continue
		}
		if c.expire(n, r) {
			continue
		}
		s, rec, err := c.queue.head()
		switch {
		case err != nil:
			n.giveUp(c, s, err)
		case rec == nil:
			failed = 0
			c.idle(ctx, n, r, sender)
		default:
			pause := c.try(ctx, n, attempt{slot: s, notice: rec.notice(c.name), failed: failed, end: s.made.Add(r.GiveUp)})
			if failed++; pause <= 0 {
				failed = 0
				continue
			}
			c.rest(ctx, pause)
		}
	}
}

// expire gives up what waits for too long, and says whether there was any.
func (c *courier) expire(n *Notifier, r Receiver) bool {
	old := c.queue.until(n.now().Add(-r.GiveUp))
	if len(old) == 0 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.abandon(c, old, c.why(r))
	return true
}

// why says why notices could not be delivered in time.
func (c *courier) why(r Receiver) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.Error == "" {
		return fmt.Errorf("it was not delivered within %s", r.GiveUp)
	}
	return fmt.Errorf("it was not delivered within %s: %s", r.GiveUp, c.status.Error)
}

// giveUp gives up one notice.
func (n *Notifier) giveUp(c *courier, s slot, why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.abandon(c, []slot{s}, why)
}

// attempt is one try to deliver.
type attempt struct {
	slot   slot
	notice *Notice
	failed int       // tries before
	end    time.Time // it is given up then
}

// try delivers a notice, and returns how long to wait before the next try of
// it: 0 if there is nothing left to do for it.
func (c *courier) try(ctx context.Context, n *Notifier, a attempt) (pause time.Duration) {
	_, sender := c.current()
	if sender == nil {
		return 0
	}
	err := c.send(ctx, sender, a.notice)
	var refused *Refused
	var later *Later
	switch {
	case err == nil:
		c.queue.finish(a.slot)
		c.delivered(n.now())
		n.mu.Lock()
		n.touch(n.now())
		n.mu.Unlock()
		return 0
	case ctx.Err() != nil:
		return time.Hour // of which ctx lets nothing pass
	case errors.As(err, &refused):
		n.giveUp(c, a.slot, err)
		return 0
	case errors.As(err, &later):
		pause = min(max(later.After, backoffLeast), laterMost)
	default:
		pause = backoff(a.failed, a.notice.ID)
	}
	now := n.now()
	pause = max(min(pause, a.end.Sub(now)), 1)
	c.refused(err, now.Add(pause))
	if a.failed == 0 {
		c.log.Warn("a notice could not be delivered, and is tried again", "receiver", c.name, "error", err)
	}
	return pause
}

// backoff returns how long to wait after so many failures before: twice as long
// each time, and of that between a half and the whole, different for each
// notice, so that not all receivers come at once.
func backoff(failed int, id string) time.Duration {
	most := backoffMost
	if failed < 9 {
		most = min(most, backoffLeast<<failed)
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d", id, failed)
	return most/2 + time.Duration(float64(most/2)*float64(h.Sum32())/float64(1<<32))
}

// send has the sender try once. When ctx is done it has a moment more: what it
// has begun may have arrived.
func (c *courier) send(ctx context.Context, s Sender, notice *Notice) error {
	limit := sendTime
	if r, _ := c.current(); r.Kind == "exec" {
		limit = execTime
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(stopTime)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-sending.Done():
		}
	})
	defer stop()
	return s.Send(sending, notice)
}

// rest waits until it is time, or the receiver is told in another way.
func (c *courier) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-c.changed:
	}
}

// idle waits for a notice. A receiver that is to be given again and again what
// is wrong is given that meanwhile.
func (c *courier) idle(ctx context.Context, n *Notifier, r Receiver, s Sender) {
	t := time.NewTimer(refreshTime)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return
	case <-c.changed:
		return
	case <-c.wake:
		return
	case <-t.C:
	}
	if !refreshed(r) {
		return
	}
	for _, rec := range n.refresh(c.name) {
		if err := c.send(ctx, s, rec.notice(c.name)); err != nil {
			c.refused(err, n.now().Add(refreshTime))
			return
		}
	}
}

func (c *courier) delivered(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Sent++
	c.status.Delivered, c.status.Next, c.status.Error = now, time.Time{}, ""
}

// refused notes why a try failed, and when the next one is.
func (c *courier) refused(err error, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Error, c.status.Next = err.Error(), next
}

func (c *courier) gaveUp(notices int, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.GivenUp += notices
	c.status.Error, c.status.Next = why.Error(), time.Time{}
}
