package wire

import (
	"time"

	"dtc"
)

func newWatching(want *dtc.Watching) *WatchRequest {
	m := &WatchRequest{
		Targets: make([]*TargetMessage, len(want.Targets)),
		Rules:   make([]*RuleMessage, len(want.Rules)),
	}
	for i, t := range want.Targets {
		m.Targets[i] = &TargetMessage{Pid: int64(t.PID), KnownBoot: []byte(t.KnownBoot)}
		if t.Known != (dtc.ProcessID{}) {
			m.Targets[i].Known = newProcess(t.Known)
		}
	}
	for i := range want.Rules {
		m.Rules[i] = newRule(&want.Rules[i])
	}
	return m
}

func newRule(r *dtc.ProcessRule) *RuleMessage {
	m := &RuleMessage{
		Name: []byte(r.Name), Match: []byte(r.Match), Exe: []byte(r.Exe), Pidfile: []byte(r.PIDFile), Unit: []byte(r.Unit),
		Port: uint32(r.Port), User: []byte(r.User), Min: int64(r.Min), Max: int64(r.Max),
		RestartWithinNanos: int64(r.RestartWithin), KnownBoot: []byte(r.KnownBoot),
		Known: make([]*ProcessMessage, len(r.Known)),
	}
	for i, id := range r.Known {
		m.Known[i] = newProcess(id)
	}
	return m
}

func (m *WatchRequest) watching() (dtc.Watching, error) {
	known := 0
	for _, r := range m.Rules {
		known += len(r.Known)
	}
	switch {
	case len(m.Targets)+known > maxTargets:
		return dtc.Watching{}, invalid("%d processes to watch, at most %d are possible", len(m.Targets)+known, maxTargets)
	case len(m.Rules) > maxRules:
		return dtc.Watching{}, invalid("%d rules of processes, at most %d are possible", len(m.Rules), maxRules)
	}
	want := dtc.Watching{Targets: make([]dtc.WatchTarget, len(m.Targets)), Rules: make([]dtc.ProcessRule, len(m.Rules))}
	for i, t := range m.Targets {
		if t.Pid <= 0 {
			return dtc.Watching{}, invalid("watch pid %d: not a pid", t.Pid)
		}
		want.Targets[i] = dtc.WatchTarget{PID: int(t.Pid), Known: t.Known.id(), KnownBoot: cut(t.KnownBoot, maxShort)}
	}
	for i, r := range m.Rules {
		var err error
		if want.Rules[i], err = r.rule(); err != nil {
			return dtc.Watching{}, err
		}
	}
	return want, nil
}

// rule refuses what is too long: half a regular expression is another one.
func (m *RuleMessage) rule() (dtc.ProcessRule, error) {
	for _, text := range [][]byte{m.Match, m.Exe, m.Pidfile, m.Unit} {
		if len(text) > maxCondition {
			return dtc.ProcessRule{}, invalid("the rule %q has a text of %d bytes, at most %d are possible", cut(m.Name, maxShort), len(text), maxCondition)
		}
	}
	for _, text := range [][]byte{m.Name, m.User} {
		if len(text) > maxShort {
			return dtc.ProcessRule{}, invalid("the rule %q has a name or a user of %d bytes, at most %d are possible", cut(m.Name, maxShort), len(text), maxShort)
		}
	}
	if m.Port > 65535 || m.Min < 0 || m.Max < 0 || m.Min > maxTargets || m.Max > maxTargets {
		return dtc.ProcessRule{}, invalid("the rule %q has a number out of its limits", m.Name)
	}
	r := dtc.ProcessRule{
		Name: string(m.Name), Match: string(m.Match), Exe: string(m.Exe), PIDFile: string(m.Pidfile), Unit: string(m.Unit),
		Port: int(m.Port), User: string(m.User), Min: int(m.Min), Max: int(m.Max),
		RestartWithin: span(m.RestartWithinNanos), KnownBoot: cut(m.KnownBoot, maxShort),
	}
	for _, id := range m.Known {
		r.Known = append(r.Known, id.id())
	}
	return r, nil
}

func newCheck(pids []int, rules []string) *CheckRequest {
	m := &CheckRequest{Pids: make([]int64, len(pids)), Rules: make([][]byte, len(rules))}
	for i, pid := range pids {
		m.Pids[i] = int64(pid)
	}
	for i, name := range rules {
		m.Rules[i] = []byte(name)
	}
	return m
}

func (m *CheckRequest) check() (pids []int, rules []string, err error) {
	if len(m.Pids) > maxTargets || len(m.Rules) > maxRules {
		return nil, nil, invalid("%d processes and %d rules to check, at most %d and %d are possible", len(m.Pids), len(m.Rules), maxTargets, maxRules)
	}
	pids, rules = make([]int, len(m.Pids)), make([]string, len(m.Rules))
	for i, pid := range m.Pids {
		if pid <= 0 {
			return nil, nil, invalid("check pid %d: not a pid", pid)
		}
		pids[i] = int(pid)
	}
	for i, name := range m.Rules {
		rules[i] = cut(name, maxShort)
	}
	return pids, rules, nil
}

func newProcess(id dtc.ProcessID) *ProcessMessage {
	return &ProcessMessage{Pid: int64(id.PID), Start: id.Start}
}

func (m *ProcessMessage) id() dtc.ProcessID {
	return dtc.ProcessID{PID: int(max(m.GetPid(), 0)), Start: m.GetStart()}
}

func newSighting(s *dtc.Sighting) *SightingMessage {
	m := &SightingMessage{
		Run: []byte(s.Run), Number: s.Number, State: []byte(s.State), Process: newProcess(s.Process),
		Boot: []byte(s.Boot), Name: []byte(s.Name), LivedNanos: int64(s.Lived), AgeNanos: int64(s.Age),
		Rule: []byte(s.Rule), Count: int64(s.Count), NewPid: int64(s.NewPID), GapNanos: int64(s.Gap),
		Reason: []byte(s.Reason), AgeMostNanos: int64(s.AgeMost), PostMortem: newPostMortem(s.PostMortem),
	}
	if s.Exit != (dtc.Exit{}) {
		m.Exit = &ExitMessage{Core: s.Exit.Core, Oom: s.Exit.OOM}
	}
	switch s.Exit.Kind {
	case dtc.ExitCode:
		m.Exit.How = &ExitMessage_Code{Code: int64(s.Exit.Number)}
	case dtc.ExitSignal:
		m.Exit.How = &ExitMessage_Signal{Signal: int64(s.Exit.Number)}
	case dtc.ExitUnknown:
	}
	return m
}

// sighting takes any state: one that this version does not know is no reason to
// hear nothing more of a newer agent, and the caller's to leave out.
func (m *SightingMessage) sighting() dtc.Sighting {
	s := dtc.Sighting{
		Run: cut(m.Run, maxShort), Number: m.Number, State: dtc.State(cut(m.State, maxShort)), Process: m.Process.id(),
		Boot: cut(m.Boot, maxShort), Name: cut(m.Name, maxShort),
		Lived: time.Duration(max(m.LivedNanos, dtc.Absent)), Age: span(m.AgeNanos),
		Rule: cut(m.Rule, maxShort), Count: int(max(m.Count, 0)), NewPID: int(max(m.NewPid, 0)), Gap: span(m.GapNanos),
		Reason: cut(m.Reason, maxNote), AgeMost: span(m.AgeMostNanos), PostMortem: m.PostMortem.postMortem(),
		Exit: dtc.Exit{Core: m.Exit.GetCore(), OOM: m.Exit.GetOom()},
	}
	switch how := m.Exit.GetHow().(type) {
	case *ExitMessage_Code:
		s.Exit.Kind, s.Exit.Number = dtc.ExitCode, int(how.Code)
	case *ExitMessage_Signal:
		s.Exit.Kind, s.Exit.Number = dtc.ExitSignal, int(how.Signal)
	}
	return s
}

func newPostMortem(p *dtc.PostMortem) *PostMortemMessage {
	if p == nil {
		return nil
	}
	return &PostMortemMessage{
		CpuNanos: present(int64(p.CPU)), RssBytes: present(p.RSSBytes), Threads: present(int64(p.Threads)),
		Descriptors: present(int64(p.Descriptors)), Ppid: present(int64(p.PPID)), SampledNanos: present(int64(p.Sampled)),
		Parent: []byte(p.Parent), Command: []byte(p.Command),
	}
}

// present returns nil for what is absent.
func present(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func (m *PostMortemMessage) postMortem() *dtc.PostMortem {
	if m == nil {
		return nil
	}
	return &dtc.PostMortem{
		CPU: time.Duration(figure(m.CpuNanos)), RSSBytes: figure(m.RssBytes), Threads: int(figure(m.Threads)),
		Descriptors: int(figure(m.Descriptors)), PPID: int(figure(m.Ppid)), Sampled: time.Duration(figure(m.SampledNanos)),
		Parent: cut(m.Parent, maxShort), Command: cut(m.Command, maxCondition),
	}
}

// figure is present's reverse.
func figure(n *int64) int64 {
	if n == nil {
		return dtc.Absent
	}
	return max(*n, dtc.Absent)
}

func newPreview(rules []dtc.RuleMatches) *PreviewReply {
	m := &PreviewReply{Rules: make([]*RuleMatchesMessage, len(rules))}
	for i, r := range rules {
		m.Rules[i] = &RuleMatchesMessage{Rule: []byte(r.Rule), Pid: int64(r.PID), Total: int64(r.Total), Problem: []byte(r.Problem), Reason: []byte(r.Reason)}
		for _, p := range r.Matches {
			m.Rules[i].Matches = append(m.Rules[i].Matches, &MatchMessage{
				Process: newProcess(p.ID), User: []byte(p.User), Name: []byte(p.Name), Command: []byte(p.Command),
			})
		}
	}
	return m
}

func (m *PreviewReply) matches() []dtc.RuleMatches {
	rules := make([]dtc.RuleMatches, len(m.Rules))
	for i, r := range m.Rules {
		rules[i] = dtc.RuleMatches{
			Rule: cut(r.Rule, maxShort), PID: int(max(r.Pid, 0)), Total: int(max(r.Total, 0)), Problem: cut(r.Problem, maxNote), Reason: cut(r.Reason, maxNote),
		}
		for _, p := range r.Matches {
			rules[i].Matches = append(rules[i].Matches, dtc.Match{
				ID: p.Process.id(), User: cut(p.User, maxShort), Name: cut(p.Name, maxShort), Command: cut(p.Command, maxCondition),
			})
		}
	}
	return rules
}
