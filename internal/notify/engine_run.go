package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// Run makes notices and delivers them until ctx is done. What is being sent then
// has a moment more.
func (n *Notifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	started := map[*courier]bool{}
	for ctx.Err() == nil {
		next := n.round()
		next = earlier(next, n.report())
		for _, c := range n.all() {
			if !started[c] {
				started[c] = true
				wg.Go(func() { c.run(ctx, n) })
			}
		}
		n.sleep(ctx, next)
	}
	wg.Wait()
	return n.end()
}

// all returns the couriers.
func (n *Notifier) all() []*courier {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.couriers))
}

// sleep waits until there is something to do: at a time, unless it is zero, or
// when it is told so.
func (n *Notifier) sleep(ctx context.Context, next time.Time) {
	left := time.Hour
	if !next.IsZero() {
		left = min(left, next.Sub(n.now()))
	}
	timer := time.NewTimer(max(left, coalesce))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	case <-n.wake:
	}
	timer.Reset(coalesce) // more of a burst
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// round takes what was told and makes the notices that are due. It returns when
// it is to be called again.
func (n *Notifier) round() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	n.drain(now)
	if due := n.core.due(now); len(due) > 0 {
		n.save(now) // with all that they tell still waiting
		for _, name := range slices.Sorted(maps.Keys(due)) {
			n.commit(name, due[name])
		}
		n.saveAt = earlier(n.saveAt, now.Add(saveSoon))
	}
	if !n.saveAt.IsZero() && !now.Before(n.saveAt) {
		n.save(now)
	}
	n.look(now)
	return earlier(earlier(n.core.next(now), n.saveAt), n.lookAt)
}

// commit puts notices into their receiver's queue. n.mu is held.
func (n *Notifier) commit(name string, records []*record) {
	c := n.couriers[name]
	reminds := c.queue.reminds() // and one is enough for who is away
	for _, r := range records {
		n.core.made(name, r)
		if r.Kind == Reminder && reminds {
			continue
		}
		c.queue.append(r)
		n.log.Info("notice", "receiver", name, "kind", string(r.Kind), "title", r.Title, "events", len(r.Events))
	}
	if over := c.queue.excess(); len(over) > 0 {
		n.abandon(c, over, errTooMany)
	}
	c.rouse()
}

// save writes what is remembered. A failure is told once, and it is tried again.
// n.mu is held.
func (n *Notifier) save(now time.Time) {
	err := n.write()
	switch {
	case err != nil && n.unsaved == nil:
		n.log.Error("what was told cannot be kept: after a crash it may be told again", "error", err)
	case err == nil && n.unsaved != nil:
		n.log.Info("what was told is kept again")
	}
	n.unsaved = err
	n.saveAt = time.Time{}
	for _, c := range n.couriers {
		c.queue.retry()
		if m := n.core.machines[c.name]; m != nil && err == nil {
			c.queue.settle(m.state.Seq)
		}
		if err != nil || c.queue.failed() {
			n.saveAt = now.Add(saveRetry)
		}
	}
	if err != nil {
		n.saveAt = now.Add(saveRetry)
	}
}

// look has what is remembered written anew if somebody has removed the files.
// n.mu is held.
func (n *Notifier) look(now time.Time) {
	if now.Before(n.lookAt) {
		return
	}
	n.lookAt = now.Add(lookEvery)
	if isGone(filepath.Join(n.opts.Dir, stateFile)) {
		n.log.Warn("what was told was removed, and is written anew", "folder", n.opts.Dir)
		n.save(now)
		return
	}
	for _, c := range n.couriers {
		c.queue.retry()
	}
}

// isGone says whether a file is not there.
func isGone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func (n *Notifier) write() error {
	if err := os.MkdirAll(n.opts.Dir, folderMode); err != nil { // somebody may have removed it
		return fmt.Errorf("keep what was told: %w", err)
	}
	if len(n.core.silences) > 0 && isGone(filepath.Join(n.opts.Dir, silencesFile)) {
		if err := saveSilences(n.opts.Dir, n.core.silences); err != nil {
			return err
		}
	}
	before := n.taken.at.Number
	at, err := n.taken.save()
	if err != nil {
		return err
	}
	m := memory{Until: n.latest.Add(-replayed), Since: n.since, Taken: at, Owed: n.owed, Core: n.core.state()}
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keep what was told: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(n.opts.Dir, stateFile), data, stateMode); err != nil {
		return err
	}
	if at.Number != before {
		n.taken.tidy()
	}
	return nil
}

// end writes what is remembered for the last time.
func (n *Notifier) end() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	n.drain(now)
	n.save(now)
	for _, c := range n.couriers {
		if err := c.queue.release(); err != nil {
			n.log.Error("close a queue of notices", "receiver", c.name, "error", err)
		}
	}
	return n.unsaved
}

// maxOwed is how many given-up notices may wait to be reported.
const maxOwed = 1000

// abandon gives notices up that stand in a queue, and owes an event for them,
// unless they tell of nothing but given-up notices. n.mu is held.
func (n *Notifier) abandon(c *courier, slots []slot, why error) {
	now := n.now()
	title, id := slots[0].title, ""
	if i := slices.IndexFunc(slots, func(s slot) bool { return s.flags != flagOwn }); i >= 0 {
		title, id = slots[i].title, slots[i].id
	}
	n.log.Error("notices given up", "receiver", c.name, "notices", len(slots), "first", title, "error", why)
	if id != "" && len(n.owed) < maxOwed {
		reason := fmt.Sprintf("%s was not told %q: %s", c.name, title, why)
		if len(slots) > 1 {
			reason = fmt.Sprintf("%s, nor %d more", reason, len(slots)-1)
		}
		e := dtc.Event{ID: undeliveredBy(c.name) + id, Time: now, Kind: dtc.EventNotify, State: dtc.StateUndelivered, Reason: reason}
		n.owed = append(n.owed, storedEvent(e))
		n.save(now) // before the queue forgets
	}
	c.queue.finish(slots...)
	c.gaveUp(len(slots), why)
	n.touch(now)
}

// report hands on what is owed. It returns when it is to be called again, if
// nothing happens before; the zero time if it need not be.
func (n *Notifier) report() time.Time {
	n.mu.Lock()
	owed, again := slices.Clone(n.owed), n.reportAt
	n.mu.Unlock()
	if len(owed) > 0 && n.now().Before(again) {
		return again
	}
	for i := range owed {
		e := owed[i].event()
		if n.opts.Report != nil {
			if err := n.opts.Report(*e); err != nil {
				n.log.Error("report a notice that was given up", "error", err)
				return n.reportLater()
			}
		}
		n.mu.Lock()
		n.owed = slices.DeleteFunc(n.owed, func(o storedEvent) bool { return o.ID == e.ID })
		n.touch(n.now())
		n.mu.Unlock()
	}
	return time.Time{}
}

// reportLater has the next report wait, and returns until when.
func (n *Notifier) reportLater() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reportAt = n.now().Add(saveRetry)
	return n.reportAt
}

// refresh returns notices of all that is wrong and that a receiver knows of.
func (n *Notifier) refresh(receiver string) []*record {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.refresh(receiver, n.now())
}
