package dtc

// States returns all states of events: those of processes, of hosts, of followed
// logs and of notices, in this order.
func States() []State {
	return []State{
		StateAlive, StateDead, StateMissing, StateRestarted, StateCount, StateNormal, StateReplaced,
		StateReachable, StateUnreachable, StateStopped, StateRebooted, StateRefused, StateRejoined,
		StateGap, StateChanged, StateRewound, StateHole, StatePaused, StateResumed, StateCorrupt,
		StateUndelivered,
	}
}
