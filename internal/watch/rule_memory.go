package watch

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// rememberedCommand is how much of a member's command line outlives the agent.
const rememberedCommand = 128

// ruleMemory is what a rule remembers over a restart of the agent.
type ruleMemory struct {
	Boot    text           `json:"boot,omitempty"`  // of the host, when it was written
	Begun   bool           `json:"begun,omitempty"` // false: nothing is known
	Members []memberRecord `json:"members,omitempty"`
	Waiting []*keptRecord  `json:"waiting,omitempty"` // ends that wait for a successor, oldest first
	Told    verdict        `json:"told,omitempty"`
	Reason  text           `json:"reason,omitempty"`
}

// memberRecord is a process that matches a rule.
type memberRecord struct {
	PID     int    `json:"pid"`
	Start   uint64 `json:"start"`
	Began   int64  `json:"began_ns,omitempty"` // since boot
	Name    text   `json:"name,omitempty"`
	Command text   `json:"command,omitempty"`
	Fresh   bool   `json:"fresh,omitempty"` // a newcomer who is nobody's successor
}

// memory returns what the rule remembers. Watcher.mu is held.
func (r *rule) memory() ruleMemory {
	m := &r.machine
	// A rule that has been judged by other bounds has something to remember too.
	begun := m.begun || m.told != verdictNone
	memory := ruleMemory{Boot: text(m.boot), Begun: begun, Told: m.told, Reason: text(m.reason)}
	fresh := make(map[*member]struct{}, len(m.fresh))
	for _, n := range m.fresh {
		fresh[n] = struct{}{}
	}
	for _, n := range m.members {
		_, isFresh := fresh[n]
		command := n.command.String()
		memory.Members = append(memory.Members, memberRecord{
			PID: n.id.PID, Start: n.id.Start, Began: int64(n.began), Name: text(n.name),
			Command: text(command[:min(len(command), rememberedCommand)]), Fresh: isFresh,
		})
	}
	clock := readClock()
	for _, d := range m.waiting {
		memory.Waiting = append(memory.Waiting, newKeptRecord(d.entry(m.boot), m.boot, clock))
	}
	return memory
}

// entry is the end of a member as a kept sighting, which it is not yet.
func (d *departed) entry(boot string) *entry {
	if d.end.boot != "" {
		boot = d.end.boot
	}
	name := d.name
	if d.end.name != "" {
		name = d.end.name
	}
	return &entry{at: d.end.at, since: d.end.since, sighting: dtc.Sighting{
		Process: d.id, Boot: boot, Name: name,
		Exit: d.end.exit, Lived: d.end.lived, PostMortem: d.end.post, Reason: d.end.reason,
	}}
}

// departedOf is entry's reverse. A start in another boot is not known.
func departedOf(e *entry, boot string) *departed {
	s := &e.sighting
	n := &member{id: s.Process, name: s.Name}
	d := &departed{member: n, from: e.at, end: ending{
		exit: s.Exit, name: s.Name, at: e.at, since: e.since, lived: s.Lived, post: s.PostMortem, reason: s.Reason,
	}}
	switch {
	case s.Boot != boot:
		d.end.boot = s.Boot
	default: // if it is not known how long it lived, it is nobody's who came before its end
		n.began = max(0, e.at-max(s.Lived, startSlack))
	}
	if d.end.unseen() {
		d.from = max(0, e.since, n.began)
	}
	return d
}

// restoreRule gives a session a rule that it had in a former run of the agent,
// with what it remembers: it goes on from there. Who is not there any more has
// ended. Neither w.mu nor w.attaching is held.
func (w *Watcher) restoreRule(s *session, spec dtc.ProcessRule, memory ruleMemory) {
	if !memory.Begun {
		return
	}
	sels, err := newSelectors([]dtc.ProcessRule{spec})
	if err != nil {
		w.log.Warn("cannot go on with a rule of before", "rule", spec.Name, "err", err)
		return
	}
	r := newRule(s, &spec, sels[0], w.boot)
	w.mu.Lock()
	s.rules[spec.Name] = r
	members := r.machine.restore(&memory, readClock())
	w.mu.Unlock()
	boot := memory.Boot.or(text(w.boot))
	for i := range members {
		w.restoreMember(r, members[i].arrival(), boot)
	}
}

// restore makes the machine go on from what it remembers, and returns the
// members: some of them may have ended.
func (m *machine) restore(memory *ruleMemory, clock clock) []memberRecord {
	m.begun, m.stale, m.resumed = true, true, clock.now
	m.told, m.reason = memory.Told, string(memory.Reason)
	boot := memory.Boot.or(text(m.boot))
	head := &headRecord{Boot: text(boot)}
	for _, k := range memory.Waiting[:min(len(memory.Waiting), maxWaiting)] {
		if k != nil && k.sound() {
			e := k.entry(head, m.boot, clock)
			d := departedOf(&e, m.boot)
			m.waiting = append(m.waiting, d)
			m.bury(d, clock.now)
		}
	}
	slices.SortStableFunc(m.waiting, func(a, b *departed) int { return cmp.Compare(a.end.at, b.end.at) })
	members := memory.Members[:min(len(memory.Members), maxMembers)]
	for i := range members {
		a := members[i].arrival()
		if boot != m.boot {
			a.began = 0 // on another clock
		}
		if n := m.admit(&a, clock.now); members[i].Fresh {
			m.fresh = append(m.fresh, n)
		}
	}
	m.fresh = m.fresh[:min(len(m.fresh), maxFresh)]
	slices.SortFunc(m.fresh, func(a, b *member) int { return cmp.Compare(a.began, b.began) })
	return members
}

// sound says whether the end of a member makes sense.
func (r *keptRecord) sound() bool {
	post := r.Post == nil || short(r.Post.Parent) && long(r.Post.Command)
	return r.PID > 0 && short(r.Boot) && short(r.Name) && long(r.Reason) && post
}

func (r *memberRecord) arrival() arrival {
	seen := proc.Seen{ID: dtc.ProcessID{PID: r.PID, Start: r.Start}, Name: string(r.Name)}
	return arrival{seen: seen, command: string(r.Command), began: time.Duration(max(0, r.Began))}
}

// restoreMember has a member of the former run watched again, or tells that it
// has ended.
func (w *Watcher) restoreMember(r *rule, a arrival, boot string) {
	seen, is := w.stillThere(identity{boot, a.seen.ID})
	if is && !seen.Zombie {
		w.holdMember(r, seen)
		return
	}
	end := w.unseenEnding(a.seen.ID, boot)
	if is {
		end.exit = seen.Exit
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.lose(w, a.seen.ID, &end)
}

// stillThere says whether a process is there still, as a zombie perhaps. One of
// which the system does not say is.
func (w *Watcher) stillThere(who identity) (proc.Seen, bool) {
	if who.boot != w.boot {
		return proc.Seen{}, false
	}
	seen, err := proc.Look(who.id.PID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return proc.Seen{ID: who.id, Lived: sinceStart(who.id)}, true
	}
	return seen, err == nil && seen.ID == who.id
}

// startOf is when a process of this boot started, since boot, to a hundredth of
// a second: one process has one start, whenever that is asked.
func startOf(id dtc.ProcessID) time.Duration {
	return max(0, now()-sinceStart(id)).Round(10 * time.Millisecond)
}
