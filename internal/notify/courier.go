package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

const (
	stopTime = 2 * time.Second // for a try that is under way when the service stops

	backoffLeast = time.Second
	backoffMost  = 5 * time.Minute

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
	freshAt time.Time     // when it is to be given again all that is wrong, if it wants that; Run's alone

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

// set has the receiver told in a way from now on. A sender whose settings are as
// they were stays: it may know whom of several it has told.
func (c *courier) set(r Receiver, s Sender) {
	c.mu.Lock()
	if c.sender == nil || c.receiver.Kind != r.Kind || !maps.Equal(c.receiver.Values, r.Values) {
		c.sender = s
	}
	c.receiver = r
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
			c.rest(ctx, time.Hour, nil)
			continue
		}
		if failed == 0 && refreshed(r) {
			c.refresh(ctx, n, sender)
		}
		s, rec, err := c.queue.head()
		switch {
		case err != nil:
			n.giveUp(c, []slot{s}, err)
		case rec == nil:
			failed = 0
			c.rest(ctx, c.untilFresh(n, r), c.wake)
		default:
			pause := c.try(ctx, n, attempt{slot: s, notice: rec.notice(c.name), failed: failed})
			if failed++; pause <= 0 {
				failed = 0
				continue
			}
			c.rest(ctx, pause, nil)
		}
	}
}

// giveUp gives up notices.
func (n *Notifier) giveUp(c *courier, slots []slot, why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.abandon(c, slots, why)
}

// attempt is one try to deliver.
type attempt struct {
	slot   slot
	notice *Notice
	failed int // tries before
}

// try delivers a notice, and returns how long to wait before the next try: 0 if
// there is nothing left to do for this one.
func (c *courier) try(ctx context.Context, n *Notifier, a attempt) (pause time.Duration) {
	r, sender := c.current()
	if sender == nil {
		return 0
	}
	c.trying(n.now())
	err := c.send(ctx, sender, a.notice)
	c.trying(time.Time{})
	var refused *Refused
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
		n.giveUp(c, []slot{a.slot}, err)
		return 0
	}
	return c.failed(n, r, a, err)
}

// failed takes up that a try has failed which may be repeated. A notice is given
// up only after a try, and with it all that have waited for as long: the
// receiver takes nothing now.
func (c *courier) failed(n *Notifier, r Receiver, a attempt, err error) (pause time.Duration) {
	now := n.now()
	old := c.queue.until(now.Add(-r.GiveUp))
	over := len(old) > 0
	if over {
		n.giveUp(c, old, fmt.Errorf("it was not delivered within %s: %w", r.GiveUp, err))
	}
	var later *Later
	switch {
	case errors.As(err, &later): // whatever is to come next
		pause = min(max(later.After, backoffLeast), maxLater)
	case over:
		return 0
	default:
		pause = max(min(backoff(a.failed, a.notice.ID), a.slot.made.Add(r.GiveUp).Sub(now)), 1)
	}
	c.refused(err, now.Add(pause))
	if a.failed == 0 && !over {
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

// sendTime is how long one try may take. Whoever needs less ends it earlier.
func sendTime(kind string) time.Duration {
	switch kind {
	case "email":
		return mailTime
	case "exec":
		return programTime
	default:
		return deliveryTime
	}
}

// send has the sender try once. When ctx is done it has a moment more: what it
// has begun may have arrived.
func (c *courier) send(ctx context.Context, s Sender, notice *Notice) error {
	r, _ := c.current()
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime(r.Kind))
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

// rest waits until it is time, the receiver is told in another way, or it is
// woken; nil: by nothing.
func (c *courier) rest(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-c.changed:
	case <-wake:
	}
}

// untilFresh returns how long it is until the receiver is to be given again what
// is wrong.
func (c *courier) untilFresh(n *Notifier, r Receiver) time.Duration {
	if refreshed(r) {
		return c.freshAt.Sub(n.now())
	}
	return time.Hour
}

// refresh gives a receiver all that is wrong, if it is time. It waits for no
// pause between notices: there may be none for long.
func (c *courier) refresh(ctx context.Context, n *Notifier, s Sender) {
	if now := n.now(); now.Before(c.freshAt) {
		return
	}
	c.freshAt = n.now().Add(refreshTime)
	again := n.refresh(c.name)
	for _, rec := range again {
		if err := c.send(ctx, s, rec.notice(c.name)); err != nil {
			c.refused(err, c.freshAt)
			return
		}
	}
	if len(again) > 0 {
		c.mu.Lock()
		c.status.Error = ""
		c.mu.Unlock()
	}
}

// trying notes since when a try is under way; the zero time that none is.
func (c *courier) trying(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Trying = since
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
