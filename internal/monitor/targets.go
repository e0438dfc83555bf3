package monitor

import (
	"slices"
	"time"

	"dtc"
	"dtc/internal/config"
)

// target is what the monitor knows of one watched pid.
type target struct {
	known dtc.ProcessID // zero: never seen alive
	boot  string        // of the host, when seen
	name  string
	seen  time.Time     // when it was last told to be alive; zero: never
	ended dtc.ProcessID // whose end an earlier run of the monitor told
	told  dtc.State     // the last state in the log, of this run of the monitor
	heir  bool          // who came after it has been told
}

// wanted says what the agent shall watch: all pids but those whose end has been
// told, and all rules.
func (w *hostWatch) wanted(h config.Host) dtc.Watching {
	w.mu.Lock()
	defer w.mu.Unlock()
	return dtc.Watching{Targets: w.wantedTargets(h.PIDs), Rules: w.wantedRules(h.Rules)}
}

// wantedTargets is wanted for the pids. w.mu is held.
func (w *hostWatch) wantedTargets(pids []int) []dtc.WatchTarget {
	configured := map[int]bool{}
	var list []dtc.WatchTarget
	for _, pid := range pids {
		configured[pid] = true
		t := w.targets[pid]
		if t == nil {
			t = &target{}
			w.targets[pid] = t
		}
		if t.told != dtc.StateDead {
			want := dtc.WatchTarget{PID: pid, Known: t.known}
			if t.known != (dtc.ProcessID{}) {
				want.KnownBoot = t.boot
			}
			list = append(list, want)
		}
	}
	for pid := range w.targets {
		if !configured[pid] { // watched from new if it comes back
			delete(w.targets, pid)
			w.m.memory.DropProcess(w.host.Address.String(), pid)
		}
	}
	return list
}

// targetOf returns what is known of a watched pid, nil if it is not watched.
// What ended before it was taken out of the configuration is told all the same,
// and who came after it. w.mu is held.
func (w *hostWatch) targetOf(s *dtc.Sighting) *target {
	t := w.targets[s.Process.PID]
	heir := s.State == dtc.StateReplaced && slices.Contains(w.former.PIDs, s.Process.PID)
	if t == nil && (isEnd(s) || heir) {
		t = &target{}
	}
	return t
}

// news says whether a sighting of a watched pid tells something new. w.mu is
// held.
func (t *target) news(s *dtc.Sighting, how check) bool {
	if s.State == dtc.StateDead && s.Process == t.ended && s.Boot == t.boot {
		t.told = dtc.StateDead // by an earlier run: its zombie is still there
	}
	switch {
	case s.State == dtc.StateReplaced:
		return !t.heir
	case t.told == dtc.StateDead:
		return false
	case s.State == dtc.StateAlive && t.known == s.Process:
		t.seen = time.Now()
		return t.told != s.State || how.routine
	default:
		return t.told != s.State || s.State == dtc.StateAlive || how.routine
	}
}

// took notes that a sighting has been told. w.mu is held.
func (t *target) took(s *dtc.Sighting, at time.Time) {
	if s.State == dtc.StateReplaced {
		t.heir = true
		return
	}
	t.told = s.State
	if s.State == dtc.StateAlive {
		t.known, t.boot, t.name, t.seen = s.Process, s.Boot, s.Name, at
	}
}
