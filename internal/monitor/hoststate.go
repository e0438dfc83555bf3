package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/events"
)

// found notes that the agent answers: that it can be asked again, and whether
// its host has rebooted since.
func (w *hostWatch) found(info dtc.Info) error {
	w.mu.Lock()
	before := w.state
	w.strange = false
	w.mu.Unlock()
	if before.Unreachable || before.Stopped {
		if err := w.tell(dtc.Event{State: dtc.StateReachable}); err != nil {
			return err
		}
		w.setState(func(s *events.HostState) { s.Unreachable, s.Stopped = false, false })
	}
	if before.Boot == info.Boot {
		return nil
	}
	if before.Boot != "" {
		err := w.tell(dtc.Event{
			ID: w.rebootID(&before, info.Boot), State: dtc.StateRebooted,
			Reason: "the host has started anew since it was last asked",
		})
		if err != nil {
			return err
		}
	}
	w.setState(func(s *events.HostState) { s.Boot, s.BootSeen = info.Boot, time.Now() })
	return nil
}

// rebootID is the id of the event that tells a reboot, the same however often
// that is told: the memory of the boot is written a moment after the line, and
// the monitor may be killed between the two.
func (w *hostWatch) rebootID(from *events.HostState, to string) string {
	h, _ := w.current()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %d %q", h.Address, from.Boot, from.BootSeen.UnixNano(), to))
	return "m" + hex.EncodeToString(sum[:8]) + "-boot"
}

// stopped notes that somebody stopped the agent on purpose: its last word.
// Unreachable follows when it cannot be asked, and reachable when it can.
func (w *hostWatch) stopped(how check) error {
	w.mu.Lock()
	known := w.state.Stopped
	w.mu.Unlock()
	if known || how.routine {
		return nil
	}
	if err := w.tell(dtc.Event{State: dtc.StateStopped, Reason: "the agent was stopped on purpose"}); err != nil {
		return err
	}
	w.setState(func(s *events.HostState) { s.Stopped = true })
	return nil
}

// lost notes that the agent cannot be asked. It is one line, whatever the
// number of attempts, and says nothing of the host's processes. What cannot be
// written has not been told.
func (w *hostWatch) lost(err error) error {
	w.mu.Lock()
	known := w.state.Unreachable
	w.mu.Unlock()
	if known {
		return nil
	}
	if err := w.tell(dtc.Event{State: dtc.StateUnreachable, Reason: dtc.KindOf(err).String() + ": " + err.Error()}); err != nil {
		return err
	}
	w.setState(func(s *events.HostState) { s.Unreachable = true })
	return nil
}

// tell records what happened to the host: an event with a state and a reason.
func (w *hostWatch) tell(e dtc.Event) error {
	h, _ := w.current()
	e.Time, e.Kind, e.Host, e.Address = time.Now(), dtc.EventHost, h.Name, h.Address.String()
	if err := w.record(h.Address.Addr(), e); err != nil {
		return err
	}
	w.m.log.Info("host", "name", h.Name, "address", h.Address, "state", string(e.State), "reason", e.Reason)
	return nil
}

// record writes down an event of the host. That it cannot, and that it can again,
// is logged once: it is tried anew with every connection.
func (w *hostWatch) record(at netip.Addr, e dtc.Event) error {
	err := w.m.record(config.FolderName(at), e)
	w.mu.Lock()
	before := w.failing
	w.failing = err != nil
	name, address := w.host.Name, w.host.Address
	w.mu.Unlock()
	if err != nil {
		w.m.outage.failed(address, err)
	} else if before {
		w.m.outage.worked(address)
	}
	switch {
	case err != nil && !before:
		w.m.log.Error("what happens on a host cannot be recorded now; that is tried again", "host", name, "error", err)
	case err == nil && before:
		w.m.log.Info("what happens on a host is recorded again", "host", name)
	}
	return err
}

// setState notes what has been told of the host, for this run and the next.
func (w *hostWatch) setState(with func(*events.HostState)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	with(&w.state)
	w.m.memory.SetState(w.host.Address.String(), w.state)
}
