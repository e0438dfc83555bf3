package notify

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// drawEvent returns any event of a fleet of n hosts, whether it makes sense then
// or not.
func drawEvent(t *rapid.T, n int) dtc.Event {
	host := rapid.IntRange(1, n).Draw(t, "host")
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0, 1, 2:
		return hostEvent(host, rapid.SampledFrom([]dtc.State{
			dtc.StateUnreachable, dtc.StateReachable, dtc.StateStopped, dtc.StateRebooted, dtc.StateRefused,
		}).Draw(t, "state"))
	case 3, 4, 5:
		e := ruleEvent(host, rapid.SampledFrom([]dtc.State{
			dtc.StateDead, dtc.StateRestarted, dtc.StateMissing, dtc.StateCount, dtc.StateNormal, dtc.StateAlive,
		}).Draw(t, "state"), rapid.IntRange(0, 3).Draw(t, "count"))
		e.Rule = rapid.SampledFrom([]string{"web", "db"}).Draw(t, "rule")
		return e
	case 6:
		e := of(host)
		e.Kind, e.Alias = dtc.EventLog, "app.log"
		e.State = rapid.SampledFrom([]dtc.State{dtc.StatePaused, dtc.StateResumed, dtc.StateGap}).Draw(t, "state")
		return e
	case 7:
		e := deadPID(host, 7)
		e.State = rapid.SampledFrom([]dtc.State{dtc.StateMissing, dtc.StateAlive, dtc.StateReplaced}).Draw(t, "state")
		e.Exit = nil
		return e
	default:
		e := deadPID(host, rapid.IntRange(7, 8).Draw(t, "pid"))
		if rapid.Bool().Draw(t, "rebooted") {
			e.Reason = "the host rebooted"
		}
		return e
	}
}

// ledger checks what the receivers of a bench are told.
type ledger struct {
	*bench
	read  int                               // of got
	told  map[string]map[eventID]NoticeKind // by receiver: where an event was told
	known map[string]map[string]bool        // by receiver: problems that it knows of
	ends  map[string]map[string]bool        // by receiver: rules of which it was told an end: that tells of their problem
	owed  map[string]map[eventID]time.Time  // by receiver: ends that it is to be told of, and by when
}

func newLedger(t *rapid.T, cfg Config) *ledger {
	l := &ledger{
		bench: newBench(t, cfg), told: map[string]map[eventID]NoticeKind{},
		known: map[string]map[string]bool{}, owed: map[string]map[eventID]time.Time{}, ends: map[string]map[string]bool{},
	}
	for _, r := range cfg.Receivers {
		l.ends[r.Name] = map[string]bool{}
		l.told[r.Name], l.known[r.Name], l.owed[r.Name] = map[eventID]NoticeKind{}, map[string]bool{}, map[eventID]time.Time{}
	}
	return l
}

func (l *ledger) happen(e dtc.Event) {
	l.ids++
	e.ID, e.Time = fmt.Sprintf("e-%d", l.ids), l.now
	for name, m := range l.core.machines {
		isEnd := e.State == dtc.StateDead || e.State == dtc.StateRestarted
		if isEnd && m.filter.wants(&e) && !l.core.world.muted(&e, l.now) {
			l.owed[name][idOf(&e)] = l.now.Add(hostMost + flapMost + time.Second)
		}
	}
	l.tell(e)
	l.check()
}

// check looks at the notices that have come since it was called last.
func (l *ledger) check() {
	for ; l.read < len(l.got); l.read++ {
		r, name := l.got[l.read], l.whose[l.read]
		l.checkEvents(name, r)
		known := l.known[name]
		for _, p := range r.Told {
			known[p.Key] = true
		}
		for _, key := range r.Ends {
			l.ends[name][key] = true
		}
		for _, key := range slices.Concat(r.Closed, r.Again) {
			if !known[key] && !l.ends[name][key] {
				l.tb.Fatalf("%s: %s of %s, of which he was not told", name, r.Kind, key)
			}
		}
		for _, key := range r.Closed {
			delete(known, key)
		}
	}
	for name, owed := range l.owed {
		for id, by := range owed {
			if l.now.After(by) {
				l.tb.Fatalf("%s was not told of the end %s by %s", name, id.ID, by)
			}
		}
	}
}

func (l *ledger) checkEvents(name string, r *record) {
	if r.Title == "" || r.ID == "" || len(r.Events) == 0 || len(r.Events) > MaxEvents {
		l.tb.Fatalf("a bad notice: %+v", r)
	}
	last := time.Time{}
	for i := range r.Events {
		e := &r.Events[i]
		id := idOf(e.event())
		delete(l.owed[name], id)
		if r.Kind == Reminder {
			continue
		}
		if kind, again := l.told[name][id]; again {
			l.tb.Fatalf("%s was told of %s in a %s and in a %s", name, id.ID, kind, r.Kind)
		}
		l.told[name][id] = r.Kind
		if r.Kind == Problem && (e.State == dtc.StateReachable || e.State == dtc.StateNormal || e.State == dtc.StateAlive) {
			l.tb.Fatalf("%s: %s as a problem", name, e.State)
		}
		if e.Time.Before(last) {
			l.tb.Fatalf("%s was told of %s too late in %q", name, id.ID, r.Title)
		}
		last = e.Time
	}
}

// settle lets everything be told, and compares what is wrong with what is known.
func (l *ledger) settle() {
	l.core.silences = nil
	l.core.setMutes(l.now)
	l.pass(hostMost + flapMost + time.Minute)
	l.check()
	for name, m := range l.core.machines {
		if len(m.state.Pending) > 0 {
			l.tb.Fatalf("%s still waits to be told: %+v", name, m.state.Pending[0])
		}
		wanted := map[string]bool{}
		for key, p := range l.core.world.board.problems {
			if p.told(m.filter) != nil {
				wanted[key] = true
			}
		}
		known := maps.Clone(l.known[name])
		for key := range wanted {
			if !known[key] && !l.ends[name][key] {
				l.tb.Fatalf("%s does not know of %s", name, key)
			}
		}
		for key := range known {
			if l.core.world.board.problems[key] == nil {
				l.tb.Fatalf("%s was not told that %s is over", name, key)
			}
		}
	}
}

func TestAnyEventsAreToldOnceAndPaired(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "hosts")
		cfg := Config{Hosts: someHosts(n), Receivers: []Receiver{
			{Name: "ops"},
			{Name: "slow", Wait: 20 * time.Second, Remind: time.Hour},
			{Name: "some", For: []string{"h1", "dead", "unreachable"}},
			{Name: "web", For: []string{"web", "missing", "dead"}, Remind: time.Minute},
		}}
		l := newLedger(t, cfg)
		t.Repeat(map[string]func(*rapid.T){
			"event":  func(t *rapid.T) { l.happen(drawEvent(t, n)) },
			"event2": func(t *rapid.T) { l.happen(drawEvent(t, n)) },
			"burst": func(t *rapid.T) {
				for range rapid.IntRange(2, 20).Draw(t, "events") {
					l.happen(drawEvent(t, n))
				}
			},
			"moment": func(t *rapid.T) {
				l.pass(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
				l.check()
			},
			"while": func(t *rapid.T) {
				l.pass(time.Duration(rapid.IntRange(3, 4000).Draw(t, "s")) * time.Second)
				l.check()
			},
			"restart": func(*rapid.T) { l.restart() },
			"silence": func(t *rapid.T) {
				s := Silence{Start: l.now, End: l.now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "s")) * time.Second)}
				if rapid.Bool().Draw(t, "host") {
					s.Hosts = []string{"h1"}
				}
				if rapid.Bool().Draw(t, "process") {
					s.Processes = []string{"web", "nginx"}
				}
				if rapid.Bool().Draw(t, "state") {
					s.States = []string{"missing", "unreachable"}
				}
				l.core.silences = append(l.core.silences, s)
				l.core.setMutes(l.now)
				for name := range l.owed { // what waits may be silenced, too
					clear(l.owed[name])
				}
			},
			"settle": func(*rapid.T) { l.settle() },
		})
		l.settle()
	})
}
