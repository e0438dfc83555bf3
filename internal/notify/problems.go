package notify

import (
	"slices"
	"time"

	"dtc"
)

// Key returns the key of what an event is about, the same for the event that
// says that something is wrong and for the one that says it is well again, and
// unique in the fleet. opens says that it stays wrong until an event with the
// same key closes it; an event that does neither happened, and is over.
func Key(e *dtc.Event) (key string, opens, closes bool) {
	switch {
	case ofStore(e):
		opens, closes = e.State == dtc.StatePaused, e.State == dtc.StateResumed
	case e.Kind == dtc.EventHost:
		opens = e.State == dtc.StateUnreachable || e.State == dtc.StateStopped
		closes = e.State == dtc.StateReachable
	case e.Kind == dtc.EventProcess && e.Rule != "":
		opens = e.State == dtc.StateDead || e.State == dtc.StateMissing || e.State == dtc.StateCount
		closes = e.State == dtc.StateAlive || e.State == dtc.StateNormal
	case e.Kind == dtc.EventProcess:
		opens, closes = e.State == dtc.StateMissing, e.State == dtc.StateAlive
	case e.Kind == dtc.EventLog:
		opens, closes = e.State == dtc.StatePaused, e.State == dtc.StateResumed
	}
	if !opens && !closes {
		return joinKey("event", e.Address, e.ID), false, false
	}
	return subject(e), opens, closes
}

// joinKey joins what an address, which has no space, and a name make of a kind.
func joinKey(kind, address, name string) string { return kind + " " + address + " " + name }

// problem is something that is wrong now.
type problem struct {
	Event storedEvent   `json:"event"`          // that tells it best
	Also  []storedEvent `json:"also,omitempty"` // of other states, of the same problem
	Since time.Time     `json:"since"`
}

// board is what is wrong in the fleet, whoever is told of it.
type board struct {
	roster   *roster
	problems map[string]*problem // by key

	// live is when this run of the monitor began: events of before are told
	// again, and some of them have been taken by an earlier run.
	live time.Time
}

// turn is what an event changes.
type turn uint8

const (
	passing  turn = iota // nothing that lasts: it just happened
	opened               // something is wrong from now on
	altered              // it is wrong in another way
	repeated             // it is still so
	closed               // it is well again
)

// observe takes an event up. The problem is the one that the event has opened,
// altered or closed; nil if it is passing.
func (b *board) observe(e *dtc.Event) (key string, t turn, p *problem) {
	key, opens, closes := Key(e)
	p = b.problems[key]
	switch {
	case opens && e.State != dtc.StateDead && b.roster.watches(e):
		return key, b.open(key, p, e), b.problems[key]
	case closes && p != nil && p.closedBy(e):
		if e.Time.Before(b.live) && e.Time.Before(p.Event.Time) {
			return key, repeated, p
		}
		delete(b.problems, key)
		return key, closed, p
	default:
		return key, passing, nil
	}
}

func (b *board) open(key string, p *problem, e *dtc.Event) turn {
	if p == nil {
		b.problems[key] = &problem{Event: storedEvent(*e), Since: e.Time}
		return opened
	}
	i := slices.IndexFunc(p.Also, func(other storedEvent) bool { return other.State == e.State })
	switch {
	case p.Event.State == e.State:
		p.Event = storedEvent(*e)
		return repeated
	case p.Event.State == dtc.StateStopped: // why it is unreachable
		if i >= 0 {
			return repeated
		}
		p.Also = append(p.Also, storedEvent(*e))
	case i >= 0:
		p.Event, p.Also[i] = storedEvent(*e), p.Event
	default:
		p.Event, p.Also = storedEvent(*e), append(p.Also, p.Event)
	}
	return altered
}

// closedBy says whether an event with the key of a problem ends it: one process
// that has come is not enough where several are wanted, or fewer.
func (p *problem) closedBy(e *dtc.Event) bool {
	return e.State != dtc.StateAlive || e.Rule == "" || p.Event.State == dtc.StateMissing && p.Event.Min <= 1
}

// told returns the event by which somebody is told of the problem, nil if
// nothing of it is for him.
func (p *problem) told(f *filter) *storedEvent {
	if f.wants(p.Event.event()) {
		return &p.Event
	}
	for i := range p.Also {
		if f.wants(p.Also[i].event()) {
			return &p.Also[i]
		}
	}
	return nil
}

// setRoster takes up which hosts are watched now, and drops what is wrong with
// what is not: nobody will tell that it is well again.
func (b *board) setRoster(r *roster) {
	b.roster = r
	for key, p := range b.problems {
		if !r.watches(p.Event.event()) {
			delete(b.problems, key)
		}
	}
}

// allDown says whether every host that is watched is down, which is more than
// one, and not because their agents were stopped.
func (b *board) allDown() bool {
	lost := 0
	for i := range b.roster.hosts {
		p := b.problems[joinKey("host", b.roster.hosts[i].Address, "")]
		if p == nil {
			return false
		}
		if p.Event.State == dtc.StateUnreachable {
			lost++
		}
	}
	return lost > 1
}

// storedEvent is an event as it stands on the disk.
type storedEvent struct {
	ID      string        `json:"id"`
	Time    time.Time     `json:"time"`
	Host    string        `json:"host,omitempty"`
	Address string        `json:"address,omitempty"`
	Kind    dtc.EventKind `json:"kind"`
	State   dtc.State     `json:"state"`

	PID        int             `json:"pid,omitempty"`
	Name       string          `json:"name,omitempty"`
	Rule       string          `json:"rule,omitempty"`
	Exit       *dtc.Exit       `json:"exit,omitempty"`
	Lived      time.Duration   `json:"lived,omitempty"`
	DiedAt     time.Time       `json:"died_at,omitzero"`
	DiedAfter  time.Time       `json:"died_after,omitzero"`
	DiedBefore time.Time       `json:"died_before,omitzero"`
	NewPID     int             `json:"new_pid,omitempty"`
	Gap        time.Duration   `json:"gap,omitempty"`
	Count      int             `json:"count,omitempty"`
	Min        int             `json:"min,omitempty"`
	Max        int             `json:"max,omitempty"`
	PostMortem *dtc.PostMortem `json:"post_mortem,omitempty"`

	Alias  string `json:"alias,omitempty"`
	From   *int64 `json:"from,omitempty"`
	To     *int64 `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (e *storedEvent) event() *dtc.Event { return (*dtc.Event)(e) }
