package events

import (
	"maps"
	"slices"

	"dtc"
)

// maxEnded is how many of the processes of a rule that ended last are
// remembered, so that none is told to have ended twice.
const maxEnded = 32

// RuleMemory is what is remembered of one rule of a host.
type RuleMemory struct {
	Selects string                `json:"selects,omitempty"` // by what it selects: another rule of its name is a new one; "": not known
	State   dtc.State             `json:"state,omitempty"`   // last told of the rule as a whole: missing, count or normal
	Boot    string                `json:"boot,omitempty"`    // of the host, when the rule was last told of
	Members map[int]ProcessMemory `json:"members,omitempty"` // told alive and not ended, by pid
	Ended   []EndedMemory         `json:"ended,omitempty"`   // the last of them, the oldest first
}

// EndedMemory is the identity of a process whose end has been told.
type EndedMemory struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

func (r *RuleMemory) clone() RuleMemory {
	c := *r
	c.Members, c.Ended = maps.Clone(r.Members), slices.Clone(r.Ended)
	return c
}

func (r *RuleMemory) ended(e EndedMemory) {
	if e.Start == 0 {
		return // no identity
	}
	r.Ended = append(r.Ended, e)
	r.Ended = r.Ended[max(0, len(r.Ended)-maxEnded):]
}

func (m *Memory) changeRule(address, name string, with func(*RuleMemory)) {
	m.change(address, func(h *HostMemory) {
		if h.Rules == nil {
			h.Rules = map[string]*RuleMemory{}
		}
		r := h.Rules[name]
		if r == nil {
			r = &RuleMemory{}
			h.Rules[name] = r
		}
		with(r)
	})
}

// BeginRule remembers that a rule is watched from new.
func (m *Memory) BeginRule(address, name, selects string) {
	m.changeRule(address, name, func(r *RuleMemory) { *r = RuleMemory{Selects: selects} })
}

// SetRule remembers what was last told of a rule as a whole, and in which boot
// of its host.
func (m *Memory) SetRule(address, name string, state dtc.State, boot string) {
	m.changeRule(address, name, func(r *RuleMemory) { r.State, r.Boot = state, boot })
}

// SetMember remembers a process of a rule that is alive.
func (m *Memory) SetMember(address, name string, pid int, p ProcessMemory) {
	m.changeRule(address, name, func(r *RuleMemory) {
		if r.Members == nil {
			r.Members = map[int]ProcessMemory{}
		}
		r.Members[pid], r.Boot = p, p.Boot
	})
}

// EndMember remembers that the end of a process of a rule has been told.
func (m *Memory) EndMember(address, name string, id dtc.ProcessID, boot string) {
	m.changeRule(address, name, func(r *RuleMemory) {
		if p, ok := r.Members[id.PID]; ok && p.ID(id.PID) == id {
			delete(r.Members, id.PID)
		}
		r.ended(EndedMemory{PID: id.PID, Start: id.Start, Boot: boot})
	})
}

// DropRule forgets a rule that nobody watches.
func (m *Memory) DropRule(address, name string) {
	m.change(address, func(h *HostMemory) { delete(h.Rules, name) })
}

// RecallRule takes up what stands in the process log and perhaps not in the
// memory: the pids whose ends have been told, with whether that is the last that
// was told of the pid, and the last state of the rule as a whole, "" if there is
// none.
func (m *Memory) RecallRule(address, name string, ended map[int]bool, state dtc.State) {
	m.changeRule(address, name, func(r *RuleMemory) {
		for pid, last := range ended {
			if p, ok := r.Members[pid]; ok && last {
				r.ended(EndedMemory{PID: pid, Start: p.Start, Boot: p.Boot})
			}
			delete(r.Members, pid) // if another has come since, either of the two may be remembered
		}
		if state != "" {
			r.State = state
		}
	})
}
