package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// bench drives a core as the loop of a Notifier does, with a clock of its own.
type bench struct {
	tb    rapid.TB
	core  *core
	cfg   Config
	now   time.Time
	ids   int
	got   []*record // of all receivers
	whose []string  // of got
}

func benchStart() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) } // a Friday

func newBench(tb rapid.TB, cfg Config) *bench {
	tb.Helper()
	b := &bench{tb: tb, cfg: cfg, now: benchStart()}
	b.core = newCore(coreState{}, b.now, b.newID)
	b.core.configure(&b.cfg, b.now)
	return b
}

func (b *bench) newID() string {
	b.ids++
	return fmt.Sprintf("id-%d", b.ids)
}

// tell has something happen now.
func (b *bench) tell(events ...dtc.Event) {
	for _, e := range events {
		b.ids++
		if e.ID == "" {
			e.ID = fmt.Sprintf("e-%d", b.ids)
		}
		if e.Time.IsZero() {
			e.Time = b.now
		}
		b.core.observe(&e, b.now)
		b.due()
	}
}

func (b *bench) due() {
	due := b.core.due(b.now)
	for _, r := range b.cfg.Receivers {
		for _, rec := range due[r.Name] {
			b.got, b.whose = append(b.got, rec), append(b.whose, r.Name)
			b.core.made(r.Name, rec)
		}
	}
}

// pass lets time pass.
func (b *bench) pass(d time.Duration) {
	b.tb.Helper()
	end := b.now.Add(d)
	for n := 0; ; n++ {
		next := b.core.next(b.now)
		if next.IsZero() || next.After(end) {
			break
		}
		if n > 10_000 {
			b.tb.Fatalf("it is always due: at %s, now %s", next, b.now)
		}
		if next.After(b.now) {
			b.now = next
		}
		b.due()
	}
	b.now = end
}

// restart writes what the core remembers and reads it again.
func (b *bench) restart() {
	b.tb.Helper()
	data, err := json.Marshal(b.core.state())
	if err != nil {
		b.tb.Fatal(err)
	}
	var s coreState
	if err := json.Unmarshal(data, &s); err != nil {
		b.tb.Fatal(err)
	}
	silences := b.core.silences
	b.core = newCore(s, b.now, b.newID)
	b.core.silences = silences
	b.core.configure(&b.cfg, b.now)
}

// take returns the notices since the last call, one line each.
func (b *bench) take() []string {
	lines := []string{}
	for _, r := range b.got {
		lines = append(lines, fmt.Sprintf("%s/%d: %s", r.Kind, len(r.Events), r.Title))
	}
	b.got, b.whose = nil, nil
	return lines
}

// want compares the notices since the last call.
func (b *bench) want(lines ...string) {
	b.tb.Helper()
	if got := b.take(); !slices.Equal(got, append([]string{}, lines...)) {
		b.tb.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// someHosts returns hosts h1, h2, … of the group all, each with a rule web and a
// watched pid 7.
func someHosts(n int) []Host {
	hosts := make([]Host, n)
	for i := range hosts {
		hosts[i] = Host{
			Name: fmt.Sprintf("h%d", i+1), Address: addressOf(i + 1),
			Groups: []string{"all"}, Rules: []string{"web", "db"}, PIDs: []int{7, 8},
		}
	}
	return hosts
}

func addressOf(host int) string { return fmt.Sprintf("10.0.%d.%d:7701", host/250, host%250+1) }

func of(host int) dtc.Event {
	return dtc.Event{Host: fmt.Sprintf("h%d", host), Address: addressOf(host)}
}

func hostEvent(host int, s dtc.State) dtc.Event {
	e := of(host)
	e.Kind, e.State = dtc.EventHost, s
	return e
}

func deadPID(host, pid int) dtc.Event {
	e := of(host)
	e.Kind, e.State, e.PID, e.Name = dtc.EventProcess, dtc.StateDead, pid, "nginx"
	e.Exit, e.Lived = &dtc.Exit{Kind: dtc.ExitSignal, Number: 9}, time.Hour
	return e
}

func ruleEvent(host int, s dtc.State, count int) dtc.Event {
	e := of(host)
	e.Kind, e.State, e.Rule, e.Count, e.Min = dtc.EventProcess, s, "web", count, 1
	switch s {
	case dtc.StateDead, dtc.StateRestarted:
		e.PID, e.Name, e.Exit, e.Lived = 812, "nginx", &dtc.Exit{Kind: dtc.ExitSignal, Number: 9}, time.Hour
		e.Count, e.Min = 0, 0
	case dtc.StateAlive:
		e.PID, e.Name, e.Count, e.Min = 900, "nginx", 0, 0
	default:
	}
	return e
}

func opsAlone(hosts int) Config {
	return Config{Receivers: []Receiver{{Name: "ops"}}, Hosts: someHosts(hosts)}
}

func TestEndsWithinTheWindowAreOneNotice(t *testing.T) {
	b := newBench(t, opsAlone(3))
	b.tell(deadPID(1, 7))
	b.pass(1900 * time.Millisecond)
	b.want()
	b.tell(deadPID(1, 8), deadPID(2, 7))
	b.pass(200 * time.Millisecond)
	b.want("problem/3: 3 processes ended on h1, h2")
	b.pass(time.Hour)
	b.want()
	b.tell(deadPID(3, 7))
	b.pass(time.Hour)
	b.want("problem/1: h3: nginx[7] dead: signal 9, lived 1h0m0s")
}

func TestRuleIsOneProblem(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateMissing, 0))
	b.pass(time.Minute)
	b.want("problem/2: h1: web: nginx[812] dead: signal 9, lived 1h0m0s; none is left")
	b.tell(ruleEvent(1, dtc.StateMissing, 0)) // a routine check
	b.pass(time.Minute)
	b.want()
	b.tell(ruleEvent(1, dtc.StateAlive, 0), ruleEvent(1, dtc.StateNormal, 1))
	b.pass(time.Minute)
	b.want("recovery/1: h1: web: nginx[900] alive, after 2m0s")

	b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateMissing, 0), ruleEvent(1, dtc.StateAlive, 0))
	b.pass(time.Minute)
	b.want("problem/1: h1: web: nginx[812] dead: signal 9, lived 1h0m0s; well again since")

	// What comes a moment after the notice of the end belongs to it.
	b.tell(ruleEvent(1, dtc.StateDead, 0))
	b.pass(3 * time.Second)
	b.want("problem/1: h1: web: nginx[812] dead: signal 9, lived 1h0m0s")
	b.tell(ruleEvent(1, dtc.StateMissing, 0))
	b.pass(time.Minute)
	b.want()
	b.tell(ruleEvent(1, dtc.StateNormal, 1))
	b.pass(time.Minute)
	b.want("recovery/1: h1: web normal: 1 there, wanted 1 or more, after 1m0s")
}

func TestCountIsOverOnlyWhenEnough(t *testing.T) {
	b := newBench(t, opsAlone(1))
	few := ruleEvent(1, dtc.StateCount, 1)
	few.Min = 3
	b.tell(few)
	b.pass(time.Minute)
	b.want("problem/1: h1: web count: 1 there, wanted 3 or more")
	b.tell(ruleEvent(1, dtc.StateAlive, 0)) // one of two that lack
	b.pass(time.Minute)
	b.want()
	none := ruleEvent(1, dtc.StateMissing, 0)
	none.Min = 3
	b.tell(none) // worse
	b.pass(time.Minute)
	b.want("problem/1: h1: web missing: 0 there, wanted 3 or more")
	b.tell(ruleEvent(1, dtc.StateAlive, 0), ruleEvent(1, dtc.StateAlive, 0), ruleEvent(1, dtc.StateNormal, 3))
	b.pass(time.Minute)
	b.want("recovery/1: h1: web normal: 3 there, wanted 1 or more, after 3m0s")
}

func TestFleetFallsAsOne(t *testing.T) {
	const n = 300
	b := newBench(t, opsAlone(n+1))
	for i := range n {
		b.tell(hostEvent(i+1, dtc.StateUnreachable))
		b.pass(33 * time.Millisecond)
	}
	b.pass(time.Hour)
	b.want("problem/300: 300 hosts unreachable: h1, h2, h3 and 297 more")
	for i := range n {
		b.tell(hostEvent(i+1, dtc.StateReachable))
		b.pass(20 * time.Millisecond)
	}
	b.pass(time.Hour)
	b.want("recovery/300: 300 hosts reachable again: h1, h2, h3 and 297 more")
}

func TestOwnNetworkIsGone(t *testing.T) {
	b := newBench(t, opsAlone(3))
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(time.Minute)
	b.want("problem/1: h1 unreachable")
	b.tell(hostEvent(2, dtc.StateUnreachable))
	b.pass(time.Second)
	b.tell(hostEvent(3, dtc.StateUnreachable))
	b.pass(time.Hour)
	b.want("problem/2: all 3 hosts unreachable: the monitor's own network seems to be gone")
	b.tell(hostEvent(3, dtc.StateReachable), hostEvent(2, dtc.StateReachable), hostEvent(1, dtc.StateReachable))
	b.pass(time.Hour)
	b.want("recovery/3: 3 hosts reachable again: h3, h2, h1")

	b = newBench(t, opsAlone(1))
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(time.Hour)
	b.want("problem/1: h1 unreachable")
}

func TestFallingOfHostsIsBounded(t *testing.T) {
	b := newBench(t, opsAlone(100))
	for i := range 10 {
		b.tell(hostEvent(i+1, dtc.StateUnreachable))
		b.pass(4 * time.Second)
	}
	b.want("problem/8: 8 hosts unreachable: h1, h2, h3 and 5 more")
	b.pass(time.Minute)
	b.want("problem/2: 2 hosts unreachable: h9, h10")
}

func TestHostThatIsBackIsNotTold(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(4 * time.Second)
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(time.Hour)
	b.want()

	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(time.Minute)
	b.want("problem/1: h1 unreachable")
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(4 * time.Second)
	b.tell(hostEvent(1, dtc.StateUnreachable)) // it was well for a moment
	b.pass(time.Hour)
	b.want()
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(time.Hour)
	b.want("recovery/1: h1 reachable again after 1h1m4s")
	b.tell(hostEvent(1, dtc.StateReachable)) // that is nothing new
	b.pass(time.Hour)
	b.want()
}

func TestProcessesFallWithTheirHost(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(deadPID(1, 7), deadPID(2, 7))
	b.pass(time.Second)
	b.tell(deadPID(1, 8), hostEvent(1, dtc.StateUnreachable))
	b.pass(time.Minute)
	b.want("problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s",
		"problem/3: h1 unreachable; 2 watched processes ended with it")

	// It is back before its fall was told: the ends are told all the same.
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(time.Minute)
	b.want("recovery/1: h1 reachable again after 1m0s")
	b.tell(deadPID(1, 7), hostEvent(1, dtc.StateUnreachable))
	b.pass(3 * time.Second)
	b.want()
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(time.Minute)
	b.want("problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s")
}

func TestRebootIsOneNotice(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(4 * time.Second)
	b.tell(hostEvent(1, dtc.StateReachable), hostEvent(1, dtc.StateRebooted))
	for pid := range 12 {
		e := deadPID(1, 100+pid)
		e.Reason = "the host rebooted"
		b.tell(e)
		b.pass(100 * time.Millisecond)
	}
	b.pass(time.Minute)
	b.want("problem/13: h1 rebooted; 12 watched processes ended with it")

	// The ends come before the monitor knows of the boot.
	e := deadPID(1, 7)
	e.Reason = "the host rebooted"
	b.tell(e)
	b.pass(3 * time.Second)
	b.tell(hostEvent(1, dtc.StateRebooted))
	b.pass(time.Minute)
	b.want("problem/2: h1 rebooted; 1 watched process ended with it")
}

func TestStoppedOnPurpose(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(hostEvent(1, dtc.StateStopped))
	b.pass(100 * time.Millisecond)
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(time.Minute)
	b.want("problem/1: h1: its agent was stopped on purpose")
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(time.Minute)
	b.want("recovery/1: h1 reachable again after 1m0s")

	// All stopped is no lost network.
	b.tell(hostEvent(1, dtc.StateStopped), hostEvent(2, dtc.StateStopped), hostEvent(1, dtc.StateUnreachable), hostEvent(2, dtc.StateUnreachable))
	b.pass(time.Minute)
	b.want("problem/2: the agents of 2 hosts were stopped on purpose: h1, h2")
}

func TestReminders(t *testing.T) {
	cfg := opsAlone(3)
	cfg.Receivers[0].Remind = time.Hour
	b := newBench(t, cfg)
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(20 * time.Minute)
	b.tell(hostEvent(2, dtc.StateUnreachable), deadPID(3, 7))
	b.pass(20 * time.Minute)
	b.tell(ruleEvent(3, dtc.StateMissing, 0))
	b.pass(19 * time.Minute)
	b.want("problem/1: h1 unreachable", "problem/1: h3: nginx[7] dead: signal 9, lived 1h0m0s",
		"problem/1: h2 unreachable", "problem/1: h3: web missing: 0 there, wanted 1 or more")
	b.pass(2 * time.Minute)
	b.want("reminder/2: still wrong: 2 hosts unreachable: h1, h2")
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(58 * time.Minute)
	b.want("recovery/1: h1 reachable again after 1h1m0s", "reminder/2: still wrong: h2: host unreachable; h3: web missing: 0 there, wanted 1 or more")
	b.tell(hostEvent(2, dtc.StateReachable))
	b.pass(time.Hour)
	b.want("recovery/1: h2 reachable again after 1h39m0s", "reminder/1: still wrong for 2h0m2s: h3: web missing: 0 there, wanted 1 or more")
	b.restart()
	b.pass(time.Hour)
	b.want("reminder/1: still wrong for 3h0m2s: h3: web missing: 0 there, wanted 1 or more")
	b.cfg.Hosts = b.cfg.Hosts[:2] // it is watched no more
	b.core.configure(&b.cfg, b.now)
	b.pass(24 * time.Hour)
	b.want()
}

func TestSilence(t *testing.T) {
	b := newBench(t, opsAlone(3))
	silence := func(s Silence) {
		b.core.silences = append(b.core.silences, s)
		b.core.setMutes(b.now)
	}
	silence(Silence{Hosts: []string{"h1"}, Start: b.now, End: b.now.Add(time.Hour)})
	b.tell(hostEvent(1, dtc.StateUnreachable), deadPID(1, 7), deadPID(2, 7))
	b.pass(time.Minute)
	b.want("problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s")
	b.pass(time.Hour) // it is still wrong
	b.want("problem/1: h1 unreachable")
	silence(Silence{Hosts: []string{"h1"}, Start: b.now, End: b.now.Add(time.Hour)})
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(59 * time.Minute)
	b.want()
	b.pass(time.Hour)
	b.want("recovery/1: h1 reachable again after 1h1m0s")

	// What began and ended in it is never told.
	silence(Silence{Processes: []string{"w*"}, States: []string{"missing"}, Start: b.now, End: b.now.Add(time.Hour)})
	b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateMissing, 0))
	b.pass(time.Minute)
	b.want("problem/1: h1: web: nginx[812] dead: signal 9, lived 1h0m0s")
	b.tell(ruleEvent(2, dtc.StateMissing, 0))
	b.pass(time.Minute)
	b.tell(ruleEvent(2, dtc.StateNormal, 1))
	b.pass(2 * time.Hour)
	b.want()
	b.tell(ruleEvent(1, dtc.StateNormal, 1)) // its end was told
	b.pass(time.Minute)
	b.want("recovery/1: h1: web normal: 1 there, wanted 1 or more, after 2h2m0s")
}

func TestMaintenance(t *testing.T) {
	cfg := opsAlone(2)
	cfg.Maintenance = []Window{{For: []string{"h1", "unreachable"}, From: 22 * time.Hour, To: 6 * time.Hour, Days: []time.Weekday{time.Friday}}}
	b := newBench(t, cfg)
	b.tell(hostEvent(1, dtc.StateUnreachable)) // at noon
	b.pass(time.Minute)
	b.want("problem/1: h1 unreachable")
	b.tell(hostEvent(1, dtc.StateReachable))
	b.pass(11 * time.Hour)
	b.take()
	b.tell(hostEvent(1, dtc.StateUnreachable), hostEvent(2, dtc.StateUnreachable), deadPID(1, 7))
	b.pass(time.Minute)
	b.want("problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s", "problem/1: all 2 hosts unreachable: the monitor's own network seems to be gone")
	b.restart()
	b.pass(6 * time.Hour)
	b.want()
	b.pass(2 * time.Hour)
	b.want("problem/1: all 2 hosts unreachable: the monitor's own network seems to be gone")
	b.pass(48 * time.Hour)
	b.want()
}

func TestNewReceiverIsToldWhatIsWrong(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(time.Minute)
	b.want("problem/1: h1 unreachable")
	b.cfg.Receivers = append(b.cfg.Receivers, Receiver{Name: "boss", For: []string{"unreachable"}})
	b.core.configure(&b.cfg, b.now)
	b.pass(time.Minute)
	if len(b.got) != 1 || b.whose[0] != "boss" {
		t.Errorf("told: %v", b.whose)
	}
}

func TestMoreThanOneNoticeHolds(t *testing.T) {
	b := newBench(t, opsAlone(2))
	for i := range MaxEvents + 100 {
		b.tell(deadPID(1, 1000+i))
	}
	b.pass(time.Minute)
	b.want("problem/500: 600 processes ended on h1 (1 of 2)", "problem/100: 600 processes ended on h1 (2 of 2)")
}

func TestRefresh(t *testing.T) {
	cfg := opsAlone(2)
	cfg.Receivers[0].Kind, cfg.Receivers[0].Remind = "alertmanager", time.Hour
	b := newBench(t, cfg)
	b.tell(hostEvent(1, dtc.StateUnreachable), ruleEvent(2, dtc.StateMissing, 0), deadPID(2, 7))
	b.pass(24 * time.Hour)
	if got := b.take(); len(got) != 2 {
		t.Errorf("told %q", got)
	}
	again := b.core.refresh("ops", b.now)
	if len(again) != 1 || again[0].Kind != Reminder || len(again[0].Events) != 2 {
		t.Errorf("given again: %+v", again)
	}
	b.tell(hostEvent(1, dtc.StateReachable))
	if again := b.core.refresh("ops", b.now); len(again) != 1 || len(again[0].Events) != 1 {
		t.Errorf("given again, after a recovery: %+v", again)
	}
}
