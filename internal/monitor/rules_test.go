package monitor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// of makes a sighting one of a rule's.
func of(rule string, s dtc.Sighting) dtc.Sighting {
	s.Rule = rule
	return s
}

// whole is a sighting of a rule as a whole.
func whole(run string, number uint64, rule string, state dtc.State, count int) dtc.Sighting {
	return dtc.Sighting{Run: run, Number: number, State: state, Rule: rule, Count: count, Boot: "boot1"}
}

func restarted(run string, number uint64, pid, as int) dtc.Sighting {
	s := dead(run, number, pid, 0)
	s.State, s.NewPID, s.Gap = dtc.StateRestarted, as, time.Second
	return s
}

// ruled returns the agent's host with rules.
func (a *agent) ruled(rules ...dtc.ProcessRule) config.Host {
	h := a.host()
	h.Rules = rules
	return h
}

func web() dtc.ProcessRule {
	return dtc.ProcessRule{Name: "web", Match: "nginx: master", Min: 2, Max: 4, RestartWithin: 10 * time.Second}
}

func pidsOf(ids []dtc.ProcessID) []int {
	pids := make([]int, len(ids))
	for i, id := range ids {
		pids[i] = id.PID
	}
	return pids
}

// All that happens to a rule is told once, with what the rule allows; what a
// new call tells of the present is not told again.
func TestRule(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.ruled(web())}})
	f.start(PartProcess)
	w := a.watch()
	if want := web(); len(w.targets) != 0 || len(w.rules) != 1 || w.rules[0].Name != want.Name || w.rules[0].Match != want.Match ||
		w.rules[0].Max != 4 || w.rules[0].RestartWithin != want.RestartWithin || w.rules[0].Known != nil {
		t.Fatalf("rules %+v", w.rules)
	}
	w.emit(t, whole("run1", 1, "web", dtc.StateMissing, 0))
	w.emit(t, of("web", alive("run1", 2, 1)))
	w.emit(t, whole("run1", 3, "web", dtc.StateCount, 1))
	w.emit(t, of("web", alive("run1", 4, 2)))
	w.emit(t, whole("run1", 5, "web", dtc.StateNormal, 2))
	w.emit(t, of("web", restarted("run1", 6, 1, 3)))
	w.emit(t, of("web", alive("run1", 7, 3))) // the newcomer
	end := of("web", dead("run1", 8, 3, 10*time.Second))
	end.PostMortem = &dtc.PostMortem{CPU: time.Second, Command: "nginx: master"}
	end.Reason = "and a reason"
	w.emit(t, end)
	w.emit(t, whole("run1", 9, "web", dtc.StateCount, 1))
	a.acknowledged(9)
	want := []string{
		"web missing 0 of 2", "web 1 alive", "web count 1 of 2", "web 2 alive", "web normal 2 of 2",
		"web 1 restarted as 3", "web 3 alive", "web 3 dead", "web count 1 of 2",
	}
	f.wantTold("web1", want...)
	f.read(func(e dtc.Event) {
		switch {
		case e.PID == 0 && e.Max != 4:
			t.Errorf("%s allows at most %d", e.State, e.Max)
		case e.State == dtc.StateRestarted && (e.Gap != time.Second || !e.DiedAt.IsZero()):
			t.Errorf("restarted: %+v", e)
		case e.State == dtc.StateDead && (e.PostMortem == nil || e.PostMortem.Command != "nginx: master" || e.Reason != "and a reason" ||
			e.Time.Sub(e.DiedAt).Round(time.Second) != 10*time.Second):
			t.Errorf("dead: %+v %+v", e, e.PostMortem)
		}
	})

	// The link breaks before all of that was acknowledged.
	a.restart(dtc.Info{Boot: "boot1", Run: "run1"})
	w = a.watch()
	if r := w.rules[0]; !slices.Equal(r.Known, []dtc.ProcessID{alive("", 0, 2).Process}) || r.KnownBoot != "boot1" {
		t.Errorf("known is %+v of %s", r.Known, r.KnownBoot)
	}
	w.emit(t, of("web", alive("run1", 7, 3)))
	w.emit(t, end)
	w.emit(t, whole("run1", 9, "web", dtc.StateCount, 1))
	w.emit(t, of("web", alive("run1", 10, 2)))
	w.emit(t, whole("run1", 11, "web", dtc.StateCount, 1))
	w.emit(t, whole("run1", 12, "web", dtc.StateCount, 5))
	a.acknowledged(12)
	told := slices.DeleteFunc(f.told("web1"), func(s string) bool { return strings.HasSuffix(s, "reachable") })
	if want = append(want, "web count 5 of 2"); !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A routine check tells what there is of each rule, and nothing that has
// changed since it began.
func TestRuleRoutine(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	h := a.ruled(web(), dtc.ProcessRule{Name: "db", Exe: "postgres"})
	h.DetectInterval = 2 * time.Second
	a.found = []dtc.Sighting{
		of("web", alive("", 0, 1)), of("web", alive("", 0, 2)), whole("", 0, "web", dtc.StateNormal, 2),
		whole("", 0, "db", dtc.StateMissing, 0), whole("", 0, "db", dtc.StateMissing, 0), whole("", 0, "other", dtc.StateMissing, 0),
	}
	f.set(config.Monitor{Hosts: []config.Host{h}})
	m := f.start(PartProcess)
	w := a.watch()
	w.emit(t, of("web", alive("run1", 1, 1)))
	w.emit(t, of("web", alive("run1", 2, 2)))
	w.emit(t, whole("run1", 3, "web", dtc.StateNormal, 2))
	w.emit(t, whole("run1", 4, "db", dtc.StateMissing, 0))
	select {
	case names := <-a.asks:
		if !slices.Equal(names, []string{"web", "db"}) {
			t.Errorf("asked for %q", names)
		}
	case <-time.After(patience):
		t.Fatal("no routine check")
	}
	f.wantTold("web1", "web 1 alive", "web 2 alive", "db missing 0 of 1", "web 1 alive", "web 2 alive", "db missing 0 of 1")

	// A check that has begun before an end finds the process alive, and after it
	// the rule without it.
	hw := newHostWatch(m.Monitor, h, func() {})
	hw.wanted(h)
	see := func(s dtc.Sighting, how check) {
		t.Helper()
		if err := hw.saw(t.Context(), s, how); err != nil {
			t.Fatal(err)
		}
	}
	before := len(f.told("web1"))
	see(of("web", alive("run1", 11, 1)), check{})
	hw.beginCheck()
	see(of("web", dead("run1", 12, 1, 0)), check{})
	see(whole("run1", 13, "web", dtc.StateMissing, 0), check{})
	routine := check{routine: true, answered: map[subject]bool{}}
	see(of("web", alive("", 0, 1)), routine)
	see(whole("", 0, "web", dtc.StateCount, 1), routine)
	if got := f.told("web1")[before:]; !slices.Equal(got, []string{"web 1 alive", "web 1 dead", "web missing 0 of 2"}) {
		t.Errorf("told %q", got)
	}
}

// A monitor that starts anew knows the members of its rules and what was told of
// them, also when it was killed before its memory was written.
func TestRulesOverRestart(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.ruled(web())}})
	m := f.start(PartProcess)
	w := a.watch()
	for pid := 1; pid <= 3; pid++ {
		w.emit(t, of("web", alive("run1", uint64(pid), pid)))
	}
	path := filepath.Join(f.dir, "state", "watch.json")
	var memory []byte
	f.eventually("the memory", func() bool {
		memory, _ = os.ReadFile(path)
		return strings.Contains(string(memory), `"start":1003`)
	})
	w.emit(t, of("web", dead("run1", 4, 1, 0)))
	w.emit(t, of("web", dead("run1", 5, 2, 0)))
	w.emit(t, whole("run1", 6, "web", dtc.StateCount, 1))
	a.acknowledged(6)
	want := []string{"web 1 alive", "web 2 alive", "web 3 alive", "web 1 dead", "web 2 dead", "web count 1 of 2"}
	f.wantTold("web1", want...)
	m.stop()
	if err := os.WriteFile(path, memory, 0o600); err != nil { // as after a kill
		t.Fatal(err)
	}

	m = f.start(PartProcess)
	w = a.watch()
	if known := pidsOf(w.rules[0].Known); !slices.Equal(known, []int{3}) || w.rules[0].KnownBoot != "boot1" {
		t.Errorf("known are %d of %s", known, w.rules[0].KnownBoot)
	}
	// The agent has lost its memory and finds an end a second time.
	again := of("web", dead("run2", 1, 2, 0))
	again.Exit, again.Lived = dtc.Exit{}, dtc.Absent
	w.emit(t, again)
	w.emit(t, of("web", alive("run2", 2, 3)))
	w.emit(t, whole("run2", 3, "web", dtc.StateNormal, 2)) // it was count for the last run
	want = append(want, "web 3 alive", "web normal 2 of 2")
	f.wantTold("web1", want...)
	m.stop()

	// Another rule of that name knows nothing.
	rule := web()
	rule.Match = "apache"
	f.set(config.Monitor{Hosts: []config.Host{a.ruled(rule)}})
	f.start(PartProcess)
	if w = a.watch(); len(w.rules[0].Known) != 0 || w.rules[0].KnownBoot != "" {
		t.Errorf("known are %+v", w.rules[0])
	}
	w.emit(t, whole("run1", 4, "web", dtc.StateNormal, 2))
	a.acknowledged(4)
	f.wantTold("web1", want...)
}

// Rules come, go and change with a reload; what is known of the others stays.
func TestReloadRules(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	db := dtc.ProcessRule{Name: "db", Exe: "postgres", Min: 1}
	h := a.ruled(web(), db)
	f.set(config.Monitor{Hosts: []config.Host{h}})
	m := f.start(PartProcess)
	reload := func(h config.Host) {
		t.Helper()
		f.set(config.Monitor{Hosts: []config.Host{h}})
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w := a.watch()
	w.emit(t, of("web", alive("run1", 1, 1)))
	w.emit(t, of("db", alive("run1", 2, 2)))
	a.acknowledged(2)
	h.RuleLines, h.Line = []int{7, 8}, 5 // in the file, no more
	reload(h)
	w.emit(t, of("web", alive("run1", 3, 3)))
	a.acknowledged(3)

	// Other limits are the same rule, another condition is another.
	fewer, other := web(), db
	fewer.Min, fewer.Max, other.Exe = 1, 0, "mysqld"
	reload(a.ruled(fewer, other))
	w.ended(t)
	w = a.watch()
	if !slices.Equal(pidsOf(w.rules[0].Known), []int{1, 3}) || len(w.rules[1].Known) != 0 {
		t.Errorf("known are %+v", w.rules)
	}
	w.emit(t, of("web", alive("run1", 4, 1)))
	w.emit(t, of("web", alive("run1", 5, 3)))
	w.emit(t, whole("run1", 6, "web", dtc.StateCount, 0))
	w.emit(t, whole("run1", 7, "db", dtc.StateMissing, 0))
	want := []string{"web 1 alive", "db 2 alive", "web 3 alive", "web count 0 of 1", "db missing 0 of 1"}
	f.wantTold("web1", want...)

	// What ended before a rule went is told all the same.
	reload(a.ruled(other))
	w.ended(t)
	w = a.watch()
	if len(w.rules) != 1 {
		t.Errorf("rules %+v", w.rules)
	}
	w.emit(t, of("web", dead("run1", 8, 1, 0)))
	w.emit(t, of("web", alive("run1", 9, 9)))
	w.emit(t, of("web", restarted("run1", 10, 3, 9)))
	a.acknowledged(10)
	f.wantTold("web1", append(want, "web 1 dead", "web 3 restarted as 9")...)
	f.eventually("the rule to be forgotten", func() bool { return m.memory.Host(a.at.String()).Rules["web"] == nil })
}

// Ends that wait on a host while rules and pids are taken out and the service
// is down are told, once, and nothing else of them.
func TestRulesTakenOut(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	h := a.ruled(web())
	h.PIDs = []int{7}
	f.set(config.Monitor{Hosts: []config.Host{h}})
	m := f.start(PartProcess)
	w := a.watch()
	w.emit(t, of("web", alive("run1", 1, 1)))
	w.emit(t, alive("run1", 2, 7))
	a.acknowledged(2)
	m.stop()
	f.set(config.Monitor{Hosts: []config.Host{a.host(8)}})
	m = f.start(PartProcess)
	w = a.watch()
	for range 2 { // as over a lost acknowledgement
		w.emit(t, of("web", dead("run1", 3, 1, 0)))
		w.emit(t, of("web", restarted("run1", 4, 2, 9)))
		w.emit(t, dead("run1", 5, 7, 0))
		w.emit(t, of("web", alive("run1", 6, 9)))
		w.emit(t, of("web", whole("run1", 7, "", dtc.StateCount, 1)))
		a.acknowledged(7)
	}
	f.wantTold("web1", "web 1 alive", "7 alive", "web 1 dead", "web 2 restarted as 9", "7 dead")
	if log := m.log.String(); strings.Contains(log, "not asked") || strings.Count(log, "left out") != 1 {
		t.Errorf("logged %s", log)
	}
	if known := m.memory.Host(a.at.String()); known.Rules["web"] != nil || len(known.Processes) > 0 {
		t.Errorf("remembered %+v", known)
	}
}

// An end that nobody saw has bounds; the monitor's own may be better.
func TestBounds(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		age, most, seen time.Duration // ago; 0: never
		after, before   time.Duration
	}{
		"of the agent":   {2 * time.Second, 8 * time.Second, 20 * time.Second, 8 * time.Second, 2 * time.Second},
		"our own":        {2 * time.Second, 8 * time.Second, 5 * time.Second, 5 * time.Second, 2 * time.Second},
		"none":           {2 * time.Second, 100 * 365 * 24 * time.Hour, 0, 0, 2 * time.Second},
		"only our own":   {2 * time.Second, 100 * 365 * 24 * time.Hour, time.Hour, time.Hour, 2 * time.Second},
		"clocks that go": {2 * time.Second, 8 * time.Second, time.Second, 8 * time.Second, 2 * time.Second},
		"no sense":       {8 * time.Second, 2 * time.Second, 0, 8 * time.Second, 8 * time.Second},
	} {
		e := dtc.Event{Time: now}
		if c.seen != 0 {
			e.DiedAfter = now.Add(-c.seen)
		}
		setEnd(&e, &dtc.Sighting{State: dtc.StateDead, Age: c.age, AgeMost: c.most})
		var after time.Duration
		if !e.DiedAfter.IsZero() {
			after = now.Sub(e.DiedAfter)
		}
		if after != c.after || now.Sub(e.DiedBefore) != c.before || !e.DiedAt.IsZero() {
			t.Errorf("%s: %s to %s ago, want %s to %s", name, after, now.Sub(e.DiedBefore), c.after, c.before)
		}
	}
}

// What an agent tells that it was not asked, and what makes no sense, is left
// out and acknowledged.
func TestStrangeSightings(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	h := a.ruled(web())
	h.PIDs = []int{1}
	f.set(config.Monitor{Hosts: []config.Host{h}})
	m := f.start(PartProcess)
	w := a.watch()
	strange := []dtc.Sighting{
		alive("run1", 0, 2),
		alive("run1", 0, 0),
		of("web", whole("", 0, "", dtc.StateNormal, 2)),
		of("other", alive("run1", 0, 1)),
		of("other", whole("", 0, "", dtc.StateMissing, 0)),
		of("web", dead("run1", 0, 0, 0)),
		of("web", missing("run1", 0, 1)),
		of("web", restarted("run1", 0, 1, 0)),
		restarted("run1", 0, 1, 2),
		whole("run1", 0, "", dtc.StateMissing, 0),
		whole("run1", 0, "", dtc.StateCount, 0),
		of("web", dtc.Sighting{State: dtc.StateReplaced, Process: dtc.ProcessID{PID: 1, Start: 1}, NewPID: 2}),
		{State: "of a later version", Process: dtc.ProcessID{PID: 1, Start: 1}},
	}
	for i, s := range strange {
		s.Run, s.Number = "run1", uint64(i+1)
		w.emit(t, s)
	}
	unnumbered := dead("run1", 0, 1, 0)
	w.emit(t, unnumbered)
	a.acknowledged(uint64(len(strange)))
	w.emit(t, alive("run1", 100, 1))
	a.acknowledged(100)
	f.wantTold("web1", "1 alive")
	if n := strings.Count(m.log.String(), "left out, this time"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// Who came after a watched pid is told once, after its end.
func TestReplaced(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	f.start(PartProcess)
	w := a.watch()
	w.emit(t, alive("run1", 1, 1))
	w.emit(t, dead("run1", 2, 1, 0))
	s := dead("run1", 3, 1, 0)
	s.State, s.NewPID, s.Gap = dtc.StateReplaced, 7, 3*time.Second
	w.emit(t, s)
	w.emit(t, s)
	s.Number = 4
	w.emit(t, s)
	a.acknowledged(4)
	f.wantTold("web1", "1 alive", "1 dead", "1 replaced as 7")
}

// Sightings of an agent's former run come first; acknowledged is the last.
func TestFormerRun(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1, 2)}})
	f.start(PartProcess)
	w := a.watch()
	w.emit(t, dead("run0", 900, 1, time.Minute))
	w.emit(t, dead("run1", 1, 2, 0))
	a.acknowledged(1)
	f.wantTold("web1", "1 dead", "2 dead")
}

// What an agent can make the monitor remember and write is bounded.
func TestFlood(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11))
	h := a.ruled(web())
	f.set(config.Monitor{Hosts: []config.Host{h}})
	m := f.start(PartLog) // it watches nothing itself
	w := newHostWatch(m.Monitor, h, func() {})
	w.wanted(h)
	r := w.rules["web"]
	room := w.room()
	for pid := range 100 {
		s := of("web", alive("run1", 1, pid+1))
		r.took(&s, time.Now(), room-maxMembers+50-len(r.members))
	}
	if len(r.members) != 50 || w.room() != maxMembers-50 {
		t.Errorf("%d are remembered, and there is room for %d", len(r.members), w.room())
	}
	for i := range 3 * maxGone {
		s := of("web", dead("run1", 1, i+1, 0))
		r.took(&s, time.Now(), 1)
	}
	if len(r.gone.ids) != maxGone || len(r.gone.order) != maxGone || !r.gone.has(identity{"boot1", dead("", 0, 3*maxGone, 0).Process}) {
		t.Errorf("%d of the dead are remembered", len(r.gone.ids))
	}
	p := newPace(time.Now())
	now, lines := p.at, 0
	for e := (&dtc.Event{}); p.take(e, now) == 0; lines++ {
	}
	if lines != paceBurst/paceLine {
		t.Errorf("%d lines at once", lines)
	}
	now = now.Add(time.Second + p.take(&dtc.Event{}, now))
	if d := p.take(&dtc.Event{Reason: "why"}, now); d != 0 {
		t.Errorf("a second later the wait is %s", d)
	}
}
