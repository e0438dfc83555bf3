package notify

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// crash is a notifier without a Run: its rounds are done by hand, and may end
// between any two writes.
type crash struct {
	*Notifier
	t    *rapid.T
	dir  string
	cfg  Config
	now  time.Time
	log  []dtc.Event // what stands in the event logs
	left int         // how many writes there are until it crashes
}

func (c *crash) open() {
	n, err := New(Options{Dir: c.dir, Config: c.cfg, Now: func() time.Time { return c.now }})
	if err != nil {
		c.t.Fatal(err)
	}
	c.Notifier = n
	for _, e := range c.log {
		if since := n.Until(); !since.IsZero() && !e.Time.Before(since) {
			n.Tell(e)
		}
	}
}

// close is a kill: nothing is written.
func (c *crash) close() {
	for _, courier := range c.couriers {
		_ = courier.queue.release()
	}
}

// wrote counts a write, and says whether the process lives on.
func (c *crash) wrote() bool {
	c.left--
	return c.left > 0
}

// round is that of a Notifier, until it crashes.
func (c *crash) round() (next time.Time, alive bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain(c.now)
	due := c.core.due(c.now)
	if len(due) > 0 {
		c.save(c.now)
		if !c.wrote() {
			return time.Time{}, false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(due)) {
		for _, r := range due[name] {
			c.couriers[name].queue.append(r)
			c.core.made(name, r)
			if !c.wrote() {
				return time.Time{}, false
			}
		}
	}
	if !c.saveAt.IsZero() && !c.now.Before(c.saveAt) {
		c.save(c.now)
		if !c.wrote() {
			return time.Time{}, false
		}
	}
	return earlier(c.core.next(c.now), c.saveAt), true
}

// pass lets time pass, over any crash.
func (c *crash) pass(d time.Duration) {
	for end := c.now.Add(d); ; {
		next, alive := c.round()
		switch {
		case !alive:
			c.close()
			c.left = rapid.IntRange(1, 12).Draw(c.t, "writes")
			c.open()
		case next.IsZero() || next.After(end):
			c.now = end
			return
		case next.After(c.now):
			c.now = next
		}
	}
}

func (c *crash) happen(e dtc.Event) {
	e.ID, e.Time = fmt.Sprintf("e-%d", len(c.log)+1), c.now
	c.log = append(c.log, e)
	c.Tell(e)
}

// check looks at all that was ever put into the queues.
func (c *crash) check() {
	for name, courier := range c.couriers {
		told := map[eventID]bool{}
		known := map[string]bool{}
		for _, r := range courier.queue.since(0) {
			for i := range r.Events {
				if id := idOf(r.Events[i].event()); told[id] {
					c.t.Fatalf("%s was told of %s twice", name, id.ID)
				} else {
					told[id] = true
				}
			}
			for _, p := range r.Told {
				if known[p.Key] {
					c.t.Fatalf("%s was told twice that there is %s", name, p.Key)
				}
				known[p.Key] = true
			}
			for _, key := range r.Closed {
				if !known[key] {
					c.t.Fatalf("%s was told of the end of %s alone", name, key)
				}
				delete(known, key)
			}
		}
		down := map[string]bool{}
		for i := range c.log {
			e := &c.log[i]
			if e.State == dtc.StateDead && courier.receiver.filterOf(c.core.world.board.roster).wants(e) && !told[idOf(e)] {
				c.t.Fatalf("%s was not told of %s", name, e.ID)
			}
			if key, opens, closes := Key(e); e.State != dtc.StateDead && opens || closes {
				down[key] = opens
			}
		}
		for key, is := range down {
			if is != known[key] {
				c.t.Fatalf("%s knows of %s: %t, but it is so: %t", name, key, known[key], is)
			}
		}
	}
}

func (r Receiver) filterOf(on *roster) *filter { return newFilter(r.For, on) }

func TestCrashBetweenAnyTwoWrites(t *testing.T) {
	t.Parallel()
	base, runs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		c := &crash{
			t: t, dir: filepath.Join(base, fmt.Sprint(runs)), now: benchStart(),
			cfg:  Config{Hosts: someHosts(3), Receivers: []Receiver{{Name: "ops"}, {Name: "boss", Wait: 3 * time.Second}}},
			left: rapid.IntRange(1, 12).Draw(t, "writes"),
		}
		for i := range c.cfg.Receivers {
			c.cfg.Receivers[i].Kind, c.cfg.Receivers[i].Values = "webhook", map[string]string{"url": "http://127.0.0.1:1/"}
		}
		c.open()
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			for range rapid.IntRange(0, 5).Draw(t, "events") {
				host := rapid.IntRange(1, 3).Draw(t, "host")
				switch state := rapid.SampledFrom([]dtc.State{dtc.StateDead, dtc.StateUnreachable, dtc.StateReachable}).Draw(t, "state"); state {
				case dtc.StateDead:
					c.happen(deadPID(host, 7))
				default:
					c.happen(hostEvent(host, state))
				}
			}
			c.pass(time.Duration(rapid.IntRange(100, 9000).Draw(t, "ms")) * time.Millisecond)
		}
		c.pass(hostMost + flapMost + time.Minute)
		c.check()
		c.close()
	})
}
