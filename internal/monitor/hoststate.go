package monitor

import (
	"time"

	"dtc"
	"dtc/internal/config"
)

// found notes that the agent answers: that it can be asked again, and whether
// its host has rebooted since.
func (w *hostWatch) found(info dtc.Info) error {
	w.mu.Lock()
	h, before := w.host, w.state
	w.strange = false
	w.mu.Unlock()
	if before.Unreachable || before.Stopped {
		if err := w.tell(h, dtc.StateReachable, ""); err != nil {
			return err
		}
	}
	if before.Boot != "" && before.Boot != info.Boot {
		if err := w.tell(h, dtc.StateRebooted, "the host has started anew since it was last asked"); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.state.Unreachable, w.state.Stopped, w.state.Boot = false, false, info.Boot
	changed := w.state != before
	w.mu.Unlock()
	if changed {
		w.rememberState()
	}
	return nil
}

// stopped notes that somebody stopped the agent on purpose: its last word.
// Unreachable follows when it cannot be asked, and reachable when it can.
func (w *hostWatch) stopped(how check) error {
	w.mu.Lock()
	h, before := w.host, w.state
	w.mu.Unlock()
	if before.Stopped || how.routine {
		return nil
	}
	if err := w.tell(h, dtc.StateStopped, "the agent was stopped on purpose"); err != nil {
		return err
	}
	w.mu.Lock()
	w.state.Stopped = true
	w.mu.Unlock()
	w.rememberState()
	return nil
}

// lost notes that the agent cannot be asked. It is one line, whatever the
// number of attempts, and says nothing of the host's processes.
func (w *hostWatch) lost(err error) {
	w.mu.Lock()
	h, down := w.host, w.state.Unreachable
	w.mu.Unlock()
	if down || w.tell(h, dtc.StateUnreachable, dtc.KindOf(err).String()+": "+err.Error()) != nil {
		return // what is not written has not been told: reachable will not be, either
	}
	w.mu.Lock()
	w.state.Unreachable = true
	w.mu.Unlock()
	w.rememberState()
}

func (w *hostWatch) tell(h config.Host, state dtc.State, reason string) error {
	w.m.log.Info("host", "name", h.Name, "address", h.Address, "state", string(state), "reason", reason)
	err := w.m.record(config.FolderName(h.Address.Addr()), dtc.Event{
		Time: time.Now(), Host: h.Name, Address: h.Address.String(),
		Kind: dtc.EventHost, State: state, Reason: reason,
	})
	if err != nil {
		w.m.log.Error("record an event", "host", h.Name, "state", string(state), "error", err)
	}
	return err
}
