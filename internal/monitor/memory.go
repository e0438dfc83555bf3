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
	w.boot, w.down = h.Boot, h.Unreachable
	for pid, p := range h.Processes {
		t := &target{known: p.ID(pid), boot: p.Boot, name: p.Name}
		if p.Dead { // the pid is watched anew, but that end is not told again
			t.known, t.ended = dtc.ProcessID{}, t.known
		}
		w.targets[pid] = t
	}
}

// recallEvents brings the memory up to what stands in the process logs: it is
// written a moment after them, and the monitor may have been killed in that
// moment.
func (m *Monitor) recallEvents(ctx context.Context) error {
	since := m.memory.Written()
	if since.IsZero() {
		return nil
	}
	type process struct {
		address string
		pid     int
	}
	dead, state := map[process]bool{}, map[string]dtc.State{}
	filter := events.Filter{Since: since.Add(-time.Minute)} // clocks of files and of lines differ a little
	err := events.Read(ctx, filepath.Join(m.opts.Home, "logs"), filter, func(e dtc.Event) error {
		switch e.State {
		case dtc.StateDead:
			dead[process{e.Address, e.PID}] = true
		case dtc.StateAlive:
			delete(dead, process{e.Address, e.PID})
		case dtc.StateReachable, dtc.StateUnreachable:
			state[e.Address] = e.State
		default: // says nothing of what is remembered
		}
		return nil
	})
	for p := range dead {
		m.memory.EndProcess(p.address, p.pid)
	}
	for address, s := range state {
		m.memory.SetState(address, m.memory.Host(address).Boot, s)
	}
	return err
}

// rememberState keeps what is known of the host for the next run.
func (w *hostWatch) rememberState() {
	w.mu.Lock()
	boot, state, address := w.boot, dtc.StateReachable, w.host.Address.String()
	if w.down {
		state = dtc.StateUnreachable
	}
	w.mu.Unlock()
	w.m.memory.SetState(address, boot, state)
}

// rememberProcess keeps the identity of a process that was seen alive, also
// when its end has been told: a zombie may stay for long.
func (w *hostWatch) rememberProcess(address string, s dtc.Sighting) {
	if s.State == dtc.StateMissing {
		w.m.memory.DropProcess(address, s.Process.PID)
		return
	}
	w.m.memory.SetProcess(address, s.Process.PID, events.ProcessMemory{
		Start: s.Process.Start, Boot: s.Boot, Name: s.Name, Dead: s.State == dtc.StateDead,
	})
}
