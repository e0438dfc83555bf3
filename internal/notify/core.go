package notify

import (
	"maps"
	"slices"
	"time"

	"dtc"
)

// core is all that decides who is told what and when: what is wrong, and a
// machine a receiver. It knows no clock, no disk and no lock.
type core struct {
	world    world
	machines map[string]*machine // by receiver
	parked   map[string]*machine // of receivers that were taken out of the configuration; no one asks them
	windows  []Window
	silences []Silence
	reviewAt time.Time // when a time ends in which something is not told; zero: there is none
	ids      func() string
}

// coreState is what a core remembers.
type coreState struct {
	Problems map[string]*problem     `json:"problems,omitempty"`
	Machines map[string]machineState `json:"machines,omitempty"`
}

// newCore returns a core that remembers a state. Events of before live may be
// told again.
func newCore(state coreState, live time.Time, ids func() string) *core {
	c := &core{machines: map[string]*machine{}, parked: map[string]*machine{}, ids: ids}
	c.world.board = &board{roster: newRoster(nil), problems: state.Problems, live: live}
	if c.world.board.problems == nil {
		c.world.board.problems = map[string]*problem{}
	}
	maps.DeleteFunc(c.world.board.problems, func(_ string, p *problem) bool { return p == nil })
	for name, s := range state.Machines {
		s.Pending = slices.DeleteFunc(s.Pending, func(e *entry) bool { return e == nil })
		s.notAfter(live)
		c.parked[name] = newMachine(Receiver{Name: name}, c.world.board.roster, s)
	}
	return c
}

// notAfter puts what happened later than a time at that time: the clock has been
// set back since, and nobody shall wait for it.
func (s *machineState) notAfter(now time.Time) {
	for _, e := range s.Pending {
		e.At = earlier(e.At, now)
	}
	for key, t := range s.Told {
		t.At = earlier(t.At, now)
		s.Told[key] = t
	}
	for key, h := range s.Heard {
		h.At = earlier(h.At, now)
		s.Heard[key] = h
	}
}

// state returns what is to be remembered. It shares memory with the core.
func (c *core) state() coreState {
	s := coreState{Problems: c.world.board.problems, Machines: map[string]machineState{}}
	for name, m := range c.machines {
		s.Machines[name] = m.state
	}
	return s
}

// configure takes up who is told, and of whom. A receiver that was there before
// remembers what it was told.
func (c *core) configure(cfg *Config, now time.Time) {
	on := newRoster(cfg.Hosts)
	c.world.board.setRoster(on)
	before := c.machines
	c.machines = map[string]*machine{}
	for _, r := range cfg.Receivers {
		m := before[r.Name]
		if m == nil {
			m = c.parked[r.Name]
		}
		if m == nil {
			m = newMachine(r, on, machineState{})
		}
		m.configure(r, on)
		c.machines[r.Name] = m
		delete(before, r.Name)
		delete(c.parked, r.Name)
	}
	maps.Copy(c.parked, before)
	c.windows = cfg.Maintenance
	c.setMutes(now)
}

// setMutes takes up in which times something is not told.
func (c *core) setMutes(now time.Time) {
	c.world.mutes = nil
	for i := range c.windows {
		c.world.mutes = append(c.world.mutes, c.windows[i].mute(c.world.board.roster))
	}
	for i := range c.silences {
		c.world.mutes = append(c.world.mutes, c.silences[i].mute(c.world.board.roster))
	}
	c.review(now)
}

func (c *core) review(now time.Time) {
	for _, m := range c.machines {
		m.review(&c.world, now)
	}
	c.reviewAt = c.world.mutedUntil(now)
}

// observe takes up what has happened, and says whether it matters to anybody.
func (c *core) observe(e *dtc.Event, now time.Time) bool {
	key, t, p := c.world.board.observe(e)
	matters := t != passing && t != repeated
	for _, m := range c.machines {
		before := len(m.state.Pending)
		m.observe(&c.world, happening{event: e, key: key, turn: t, problem: p, now: now})
		matters = matters || len(m.state.Pending) != before
	}
	return matters
}

// due returns the notices that are to be made now, by receiver. What they tell
// waits until [core.made] is called with each.
func (c *core) due(now time.Time) map[string][]*record {
	if ends := c.world.mutedUntil(now); !c.reviewAt.IsZero() && !now.Before(c.reviewAt) {
		c.review(now)
	} else {
		c.reviewAt = earlier(c.reviewAt, ends) // another time may have begun
	}
	records := map[string][]*record{}
	for name, m := range c.machines {
		if some := m.due(&c.world, now, c.ids); len(some) > 0 {
			records[name] = some
		}
	}
	return records
}

// made notes that a notice stands in its receiver's queue.
func (c *core) made(receiver string, r *record) {
	if m := c.machines[receiver]; m != nil {
		m.made(r)
	}
}

// recover notes a notice that stands in a queue and that this core, which
// remembers what was before, knows nothing of.
func (c *core) recover(receiver string, r *record) {
	m := c.machines[receiver]
	if m == nil || r.Seq <= m.state.Seq {
		return
	}
	r.Time = earlier(r.Time, c.world.board.live) // the clock may have been set back since
	m.made(r)
	for i := range r.Events {
		if r.Kind != Reminder {
			m.skip[idOf(r.Events[i].event())] = true
		}
	}
}

// next returns when [core.due] is to be called again, if nothing happens
// before; the zero time if it need not be.
func (c *core) next(now time.Time) time.Time {
	first := c.reviewAt
	for _, m := range c.machines {
		first = earlier(first, m.next(&c.world, now))
	}
	return first
}

// refresh returns notices of all that a receiver knows to be wrong.
func (c *core) refresh(receiver string, now time.Time) []*record {
	m := c.machines[receiver]
	if m == nil {
		return nil
	}
	again := reminders(m.open(&c.world), now)
	for _, r := range again {
		r.ID, r.Time = c.ids(), now
	}
	return again
}
