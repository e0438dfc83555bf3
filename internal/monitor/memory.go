package monitor

import (
	"context"
	"path/filepath"
	"time"

	"dtc"
	"dtc/internal/events"
)

// recall takes up what an earlier run of the monitor knew of the host.
func (w *hostWatch) recall() {
	h := w.m.memory.Host(w.host.Address.String())
	w.state = h.HostState
	for pid, p := range h.Processes {
		t := &target{known: p.ID(pid), boot: p.Boot, name: p.Name, seen: p.Seen}
		if p.Start == 0 { // all that is known is what was called so
			t.known, t.boot = dtc.ProcessID{}, ""
		} else if p.Dead { // the pid is watched anew, but that end is not told again
			t.known, t.ended = dtc.ProcessID{}, t.known
		}
		w.targets[pid] = t
	}
	for name, r := range h.Rules {
		w.rules[name] = recalled(r)
	}
}

// recallEvents brings the memory up to what stands in the process logs: it is
// written a moment after them, and the monitor may have been killed in that
// moment.
func (m *Monitor) recallEvents(ctx context.Context) error {
	since := m.memory.Written().Add(-time.Minute) // clocks of files and of lines differ a little
	if m.memory.Written().IsZero() {
		since = time.Now().Add(-time.Hour) // the first run was killed, or somebody has deleted it
	}
	hosts := logged{}
	filter := events.Filter{Since: since, Tail: true}
	err := events.Read(ctx, filepath.Join(m.opts.Home, "logs"), filter, func(e dtc.Event) error {
		hosts.add(&e)
		return nil
	})
	for address, h := range hosts {
		for pid, dead := range h.dead {
			if dead {
				m.memory.EndProcess(address, pid)
			}
		}
		for name, r := range h.rules {
			m.memory.RecallRule(address, name, r.ended, r.state)
		}
		if h.told {
			state, known := h.state, m.memory.Host(address)
			state.Boot, state.BootSeen = known.Boot, known.BootSeen
			m.memory.SetState(address, state)
		}
	}
	return err
}

// logged is what the last lines of the process logs say of each host, by
// address.
type logged map[string]*loggedHost

type loggedHost struct {
	dead  map[int]bool // whether the last line of a watched pid tells its end
	rules map[string]*loggedRule
	state events.HostState // if told
	told  bool
}

type loggedRule struct {
	ended map[int]bool // of whom a line tells the end: whether it is the last one of that pid
	state dtc.State    // "" if no line tells it
}

func (l logged) add(e *dtc.Event) {
	h := l[e.Address]
	if h == nil {
		h = &loggedHost{dead: map[int]bool{}, rules: map[string]*loggedRule{}}
		l[e.Address] = h
	}
	switch {
	case e.Kind == dtc.EventProcess && e.Rule != "":
		h.addRule(e)
	case e.State == dtc.StateDead:
		h.dead[e.PID] = true
	case e.State == dtc.StateAlive:
		h.dead[e.PID] = false
	case e.State == dtc.StateReachable:
		h.state, h.told = events.HostState{}, true
	case e.State == dtc.StateUnreachable:
		h.state.Unreachable, h.told = true, true
	case e.State == dtc.StateStopped:
		h.state.Stopped, h.told = true, true
	}
}

func (h *loggedHost) addRule(e *dtc.Event) {
	r := h.rules[e.Rule]
	if r == nil {
		r = &loggedRule{ended: map[int]bool{}}
		h.rules[e.Rule] = r
	}
	switch e.State {
	case dtc.StateDead, dtc.StateRestarted:
		r.ended[e.PID] = true
	case dtc.StateAlive:
		if r.ended[e.PID] {
			r.ended[e.PID] = false
		}
	case dtc.StateMissing, dtc.StateCount, dtc.StateNormal:
		r.state = e.State
	default: // says nothing of what is remembered
	}
}

// rememberProcess keeps the identity of a process that was seen alive, also
// when its end has been told: a zombie may stay for long. t is as it was
// before. w.mu is held.
func (w *hostWatch) rememberProcess(t *target, s *dtc.Sighting, at time.Time) {
	address := w.host.Address.String()
	switch {
	case s.State == t.told && s.Process == t.known, s.State == dtc.StateReplaced:
	case s.State == dtc.StateMissing && t.name == "":
		w.m.memory.DropProcess(address, s.Process.PID)
	case s.State == dtc.StateMissing: // its end may still come: that it is over is not known by this
		w.m.memory.SetProcess(address, s.Process.PID, events.ProcessMemory{Name: t.name})
	default:
		w.m.memory.SetProcess(address, s.Process.PID, events.ProcessMemory{
			Start: s.Process.Start, Boot: s.Boot, Name: s.Name, Seen: at, Dead: s.State == dtc.StateDead,
		})
	}
}

// rememberRule keeps what a sighting says of a rule. r is as it was before. w.mu
// is held.
func (w *hostWatch) rememberRule(r *ruleWatch, s *dtc.Sighting, at time.Time) {
	address := w.host.Address.String()
	switch s.State {
	case dtc.StateAlive:
		if p := r.members[s.Process.PID]; (p == nil || p.id != s.Process || p.boot != s.Boot) && w.room() > 0 {
			w.m.memory.SetMember(address, s.Rule, s.Process.PID, events.ProcessMemory{
				Start: s.Process.Start, Boot: s.Boot, Name: s.Name, Seen: at,
			})
		}
	case dtc.StateDead, dtc.StateRestarted:
		w.m.memory.EndMember(address, s.Rule, s.Process, s.Boot)
	case dtc.StateMissing, dtc.StateCount, dtc.StateNormal:
		if r.last != s.State || r.boot != s.Boot {
			w.m.memory.SetRule(address, s.Rule, s.State, s.Boot)
		}
	default:
	}
}
