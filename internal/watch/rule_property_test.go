package watch

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
	"dtc/internal/proc"
)

const ms = time.Millisecond

// ruleWorld is a host with processes that match one rule, an agent that hears of
// them late, or not at all, and what the reader of its lines believes.
type ruleWorld struct {
	t    *rapid.T
	spec dtc.ProcessRule
	boot string
	now  time.Duration
	rule *rule
	down bool
	last time.Duration // when the agent was alive last: all ends of a second before are told
	look *look         // that is under way

	all    []*worldProcess
	came   []*worldProcess // who is still to be told to the agent
	gone   []*worldProcess
	looked time.Duration

	// What the reader of the lines knows.
	alive   map[dtc.ProcessID]bool
	verdict dtc.State
	crowded bool
}

type worldProcess struct {
	id           dtc.ProcessID
	began, ended time.Duration
	told         dtc.State // of its end
	toldAt       time.Duration
	newcomer     bool // it was told as one
	heir         bool
}

func newRuleWorld(t *rapid.T) *ruleWorld {
	w := &ruleWorld{
		t: t, boot: "b", now: time.Hour, looked: -time.Hour,
		alive: map[dtc.ProcessID]bool{},
		spec: dtc.ProcessRule{
			Name: "r", Match: "x", Min: rapid.IntRange(1, 3).Draw(t, "min"),
			RestartWithin: rapid.SampledFrom([]time.Duration{0, 500 * ms, 3 * time.Second}).Draw(t, "within"),
		},
	}
	if rapid.Bool().Draw(t, "bounded") {
		w.spec.Max = w.spec.Min + rapid.IntRange(0, 2).Draw(t, "room")
	}
	for range rapid.IntRange(0, 4).Draw(t, "first") {
		w.start()
	}
	w.came = nil
	w.now += 10 * time.Second
	w.rule = newRule(nil, &w.spec, nil, w.boot)
	w.feed(&look{began: w.now, found: w.scan(), room: MaxTargets})
	for _, line := range w.rule.machine.present(0) {
		w.read(&line)
	}
	return w
}

func (w *ruleWorld) start() {
	p := &worldProcess{
		id:    dtc.ProcessID{PID: len(w.all) + 1, Start: uint64(w.now / (10 * ms))},
		began: w.now / (10 * ms) * (10 * ms),
	}
	w.all = append(w.all, p)
	if !w.down && rapid.IntRange(0, 4).Draw(w.t, "noticed") > 0 {
		w.came = append(w.came, p)
	}
}

func (w *ruleWorld) living() []*worldProcess {
	return slices.DeleteFunc(slices.Clone(w.all), func(p *worldProcess) bool { return p.ended != 0 })
}

func (w *ruleWorld) end() {
	living := w.living()
	if len(living) == 0 {
		return
	}
	p := rapid.SampledFrom(living).Draw(w.t, "ends")
	p.ended = w.now
	if !w.down {
		w.gone = append(w.gone, p)
	}
}

func (w *ruleWorld) arrival(p *worldProcess) arrival {
	return arrival{seen: proc.Seen{ID: p.id, Name: "x"}, began: p.began}
}

func (w *ruleWorld) scan() []arrival {
	list := []arrival{}
	for _, p := range w.living() {
		list = append(list, w.arrival(p))
	}
	return list
}

// hear has the agent hear of one newcomer.
func (w *ruleWorld) hear() {
	if w.down || len(w.came) == 0 {
		return
	}
	p := w.came[0]
	w.came = w.came[1:]
	if p.ended != 0 && rapid.Bool().Draw(w.t, "too late") {
		return
	}
	a := w.arrival(p)
	taken := w.rule.machine.came(&a, w.now, MaxTargets)
	w.drain()
	if taken {
		w.hold(p)
	}
}

// hold has the end of a new member told that ended before it was watched.
func (w *ruleWorld) hold(p *worldProcess) {
	if p.ended != 0 && !slices.Contains(w.gone, p) {
		w.tellEnd(p)
	}
}

func (w *ruleWorld) tellEnd(p *worldProcess) {
	w.rule.machine.ended(p.id, &ending{
		at: w.now, lived: w.now - p.began, exit: dtc.Exit{Kind: dtc.ExitCode, Number: p.id.PID},
	}, w.now)
	w.drain()
}

// mourn has the agent hear of one end.
func (w *ruleWorld) mourn() {
	if w.down || len(w.gone) == 0 {
		return
	}
	p := w.gone[0]
	w.gone = w.gone[1:]
	w.tellEnd(p)
}

func (w *ruleWorld) feed(l *look) {
	taken := w.rule.machine.look(l, w.now)
	w.looked = w.now
	w.drain()
	for _, a := range taken {
		w.hold(w.all[a.seen.ID.PID-1])
	}
}

// pass lets time go by, in which the agent does what is due.
func (w *ruleWorld) pass(d time.Duration) {
	for until := w.now + d; w.now < until; {
		w.now += min(100*ms, until-w.now)
		if w.down {
			continue
		}
		for len(w.came)+len(w.gone) > 0 { // nothing is heard of later than this
			w.hear()
			w.mourn()
		}
		if w.look != nil {
			w.feed(w.look)
			w.look = nil
		}
		m := &w.rule.machine
		if m.dueTick() <= w.now {
			m.tick(w.now)
			w.drain()
		}
		if m.dueTick() <= w.now {
			w.t.Fatalf("a tick leaves something due: %+v", m.judgement)
		}
		if m.dueLook() <= w.now && w.now >= w.looked+lookGap {
			w.look = &look{began: w.now, found: w.scan(), room: MaxTargets}
		}
	}
	if !w.down {
		w.last = w.now
	}
}

func (w *ruleWorld) stop() {
	if !w.down {
		w.down, w.last, w.look = true, w.now, nil
		w.came, w.gone = nil, nil
	}
}

// restart has a new run of the agent go on from what the old one remembered.
func (w *ruleWorld) restart() {
	if !w.down {
		return
	}
	w.down = false
	data, err := json.Marshal(w.rule.memory())
	if err != nil {
		w.t.Fatal(err)
	}
	var memory ruleMemory
	if err := json.Unmarshal(data, &memory); err != nil {
		w.t.Fatal(err)
	}
	w.rule = newRule(nil, &w.spec, nil, w.boot)
	members := w.rule.machine.restore(&memory, clock{now: w.now, today: time.Now()})
	for _, r := range members {
		p := w.all[r.PID-1]
		if p.ended == 0 {
			continue
		}
		w.rule.machine.ended(p.id, &ending{at: w.now, since: w.last - time.Second, lived: w.now - p.began}, w.now)
		w.drain()
	}
}

func (w *ruleWorld) drain() {
	tells, _ := w.rule.machine.drain()
	for i := range tells {
		w.read(&tells[i])
	}
}

// read takes a line as its reader does, and complains of what cannot be.
func (w *ruleWorld) read(line *tell) {
	t := w.t
	count := func() int { return len(w.alive) }
	if line.member == nil {
		t.Logf("%v %s %d", w.now, line.state, line.count)
		crowded := w.spec.Max > 0 && line.count > w.spec.Max
		if line.state == w.verdict && crowded == w.crowded {
			t.Fatalf("%s is told twice", line.state)
		}
		w.verdict, w.crowded = line.state, crowded
		w.check(line)
		return
	}
	p := w.all[line.member.id.PID-1]
	t.Logf("%v %s %d, of %d", w.now, line.state, p.id.PID, count())
	switch line.state {
	case dtc.StateAlive:
		if w.alive[p.id] || p.told != "" {
			t.Fatalf("process %d is told alive again", p.id.PID)
		}
		w.alive[p.id] = true
		p.newcomer = w.verdict != ""
	case dtc.StateDead, dtc.StateRestarted:
		if !w.alive[p.id] || p.ended == 0 {
			t.Fatalf("process %d is told %s: alive for the reader %v, ended %v", p.id.PID, line.state, w.alive[p.id], p.ended)
		}
		delete(w.alive, p.id)
		p.told, p.toldAt = line.state, w.now
		w.checkEnd(p, line)
	default:
		t.Fatalf("a line of a process with the state %q", line.state)
	}
}

func (w *ruleWorld) checkEnd(p *worldProcess, line *tell) {
	t, within := w.t, w.spec.RestartWithin
	switch e := line.end; {
	case e.unseen() && (e.since > p.ended || e.at < p.ended):
		t.Fatalf("the end of %d was at %v, told between %v and %v", p.id.PID, p.ended, e.since, e.at)
	case !e.unseen() && (e.at < p.ended || e.at > p.ended+time.Second || e.exit.Number != p.id.PID):
		t.Fatalf("the end of %d was at %v, told at %v with %+v", p.id.PID, p.ended, e.at, e.exit)
	}
	if line.state == dtc.StateDead {
		if within > 0 && w.now < p.ended+within {
			t.Fatalf("process %d is told dead %v after its end", p.id.PID, w.now-p.ended)
		}
		return
	}
	heir := w.all[line.heir.id.PID-1]
	switch {
	case within == 0:
		t.Fatalf("restarted without a time for that")
	case heir.heir || heir == p:
		t.Fatalf("%d is the successor of two", heir.id.PID)
	case heir.began < p.ended-within-startSlack && !line.end.unseen() || heir.began > line.end.at+within || heir.began < p.began-startSlack:
		t.Fatalf("%d, from %v to %v, has the successor %d, from %v", p.id.PID, p.began, p.ended, heir.id.PID, heir.began)
	case line.gap < 0 || line.gap > within:
		t.Fatalf("a gap of %v", line.gap)
	}
	heir.heir = true
}

// check is of a verdict: it is what the reader counts himself.
func (w *ruleWorld) check(line *tell) {
	n := len(w.alive)
	if w.rule.machine.astray > 0 {
		return // whose end the agent has not heard of yet
	}
	want := dtc.StateNormal
	switch {
	case n == 0:
		want = dtc.StateMissing
	case n < w.spec.Min, w.spec.Max > 0 && n > w.spec.Max:
		want = dtc.StateCount
	}
	if line.state != want || line.count != n {
		w.t.Fatalf("told %s of %d, for the reader there are %d: %s", line.state, line.count, n, want)
	}
}

// settled is for the end: all is told, and right.
func (w *ruleWorld) settled() {
	w.restart()
	w.pass(time.Second) // what is under way comes in
	w.rule.machine.stale = true
	w.pass(w.spec.RestartWithin + lookPatience + 5*lookGap)
	t := w.t
	living := w.living()
	for _, p := range w.all {
		switch {
		case p.ended == 0 && !w.alive[p.id]:
			t.Fatalf("process %d lives, and nobody was told", p.id.PID)
		case p.ended != 0 && w.alive[p.id]:
			t.Fatalf("process %d has ended, and nobody was told", p.id.PID)
		}
	}
	want := dtc.StateNormal
	switch n := len(living); {
	case n == 0:
		want = dtc.StateMissing
	case n < w.spec.Min, w.spec.Max > 0 && n > w.spec.Max:
		want = dtc.StateCount
	}
	if w.verdict != want {
		t.Fatalf("there are %d processes, and the last verdict is %q", len(living), w.verdict)
	}
	if m := &w.rule.machine; len(m.members) != len(living) || m.astray != 0 || len(m.waiting) != 0 {
		t.Fatalf("%d members, %d of them astray, %d wait; %d live", len(m.members), m.astray, len(m.waiting), len(living))
	}
	w.checkUnpaired()
}

// checkUnpaired looks for deaths that should have been restarts: somebody came
// in time, lives, and is nobody's successor.
func (w *ruleWorld) checkUnpaired() {
	for _, dead := range w.all {
		if dead.told != dtc.StateDead || w.spec.RestartWithin == 0 {
			continue
		}
		for _, n := range w.living() {
			if n.newcomer && !n.heir && n.began >= dead.ended && n.began <= dead.ended+w.spec.RestartWithin {
				w.t.Fatalf("%d ended at %v and is told dead, %d came at %v for nobody", dead.id.PID, dead.ended, n.id.PID, n.began)
			}
		}
	}
}

func TestRuleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newRuleWorld(t)
		some := func(do func()) func(*rapid.T) {
			return func(t *rapid.T) {
				w.t = t
				for range rapid.IntRange(1, 3).Draw(t, "times") {
					do()
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"start": some(w.start),
			"end":   some(w.end),
			"pass": func(t *rapid.T) {
				w.t = t
				w.pass(rapid.SampledFrom([]time.Duration{50 * ms, 300 * ms, 1200 * ms, 5 * time.Second}).Draw(t, "time"))
			},
			"hear":    some(w.hear),
			"mourn":   some(w.mourn),
			"stop":    func(t *rapid.T) { w.t = t; w.stop() },
			"restart": func(t *rapid.T) { w.t = t; w.restart() },
		})
		w.t = t
		w.settled()
	})
}
