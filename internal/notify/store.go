package notify

import "dtc"

// ofStore says whether an event is of the monitor's own record of events, there
// being one in the fleet: that it cannot be written, or can again.
func ofStore(e *dtc.Event) bool {
	return e.Kind == dtc.EventHost && (e.State == dtc.StatePaused || e.State == dtc.StateResumed)
}

// IsOpen says whether what an event opens or closes is known to be wrong.
func (n *Notifier) IsOpen(e *dtc.Event) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drain(n.now())
	key, _, _ := Key(e)
	return n.core.world.board.problems[key] != nil
}
