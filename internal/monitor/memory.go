package monitor

import (
	"dtc"
	"dtc/internal/events"
)

// recall takes up what an earlier run of the monitor knew of the host.
func (w *hostWatch) recall() {
	h := w.m.memory.Host(w.host.Address.String())
	w.boot, w.down = h.Boot, h.Unreachable
	for pid, p := range h.Processes {
		w.targets[pid] = &target{known: p.ID(pid), boot: p.Boot, name: p.Name}
	}
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

// rememberProcess keeps the identity of a process that was seen alive, and
// drops it with its end.
func (w *hostWatch) rememberProcess(address string, s dtc.Sighting) {
	if s.State != dtc.StateAlive {
		w.m.memory.DropProcess(address, s.Process.PID)
		return
	}
	w.m.memory.SetProcess(address, s.Process.PID, events.ProcessMemory{
		Start: s.Process.Start, Boot: s.Boot, Name: s.Name,
	})
}
