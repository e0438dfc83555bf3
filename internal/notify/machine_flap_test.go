package notify

import (
	"strings"
	"testing"
	"time"

	"dtc"
)

// flap has a process of a rule end, and come again, every few seconds, and
// returns how many notices there were of how many ends.
func flap(b *bench, host int, every, long time.Duration) (notices, ends int) {
	for began := b.now; b.now.Sub(began) < long; ends++ {
		b.tell(ruleEvent(host, dtc.StateDead, 0), ruleEvent(host, dtc.StateMissing, 0))
		b.pass(every / 2)
		b.tell(ruleEvent(host, dtc.StateAlive, 0))
		b.pass(every - every/2)
	}
	return len(b.got), ends
}

// toldEnds returns how many ends the notices tell, each of which may come once.
func (b *bench) toldEnds() int {
	b.tb.Helper()
	seen := map[eventID]bool{}
	for _, r := range b.got {
		for i := range r.Events {
			if e := &r.Events[i]; e.State == dtc.StateDead && r.Kind == Problem {
				if seen[idOf(e.event())] {
					b.tb.Fatalf("%s was told twice", e.ID)
				}
				seen[idOf(e.event())] = true
			}
		}
	}
	return len(seen)
}

func TestFlappingIsDamped(t *testing.T) {
	b := newBench(t, opsAlone(3))
	notices, ends := flap(b, 1, 5*time.Second, 75*time.Second)
	if notices > 8 || b.got[0].Time.Sub(benchStart()) != DefaultWait {
		t.Errorf("%d notices of %d ends in 75 s, the first after %s", notices, ends, b.got[0].Time.Sub(benchStart()))
	}
	more, others := flap(b, 1, 5*time.Second, time.Hour)
	if more-notices > 20 {
		t.Errorf("%d notices of %d ends in an hour", more-notices, others)
	}
	b.pass(flapMost + DefaultWait)
	if told := b.toldEnds(); told != ends+others {
		t.Errorf("told of %d ends, there were %d", told, ends+others)
	}
	if len(b.core.machines["ops"].state.Pending) > 0 {
		t.Error("something waits still")
	}

	// Others are told in time meanwhile, and it is when it has been calm.
	b.take()
	flap(b, 1, 5*time.Second, time.Minute)
	b.take()
	b.tell(deadPID(2, 7))
	b.pass(DefaultWait)
	if got := b.take(); len(got) != 1 || !strings.Contains(got[0], "h2") {
		t.Errorf("told %q", got)
	}
	b.pass(flapCalm + flapMost)
	b.take()
	b.tell(ruleEvent(1, dtc.StateDead, 0))
	b.pass(DefaultWait)
	b.want("problem/1: h1: web: nginx[812] dead: signal 9, lived 1h0m0s")
}

// A down and an up, and once more, are told as ever.
func TestTwiceDownIsNoFlapping(t *testing.T) {
	b := newBench(t, opsAlone(2))
	for range 2 {
		b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateMissing, 0))
		b.pass(DefaultWait)
		b.want("problem/2: h1: web: nginx[812] dead: signal 9, lived 1h0m0s; none is left")
		b.pass(10 * time.Second)
		b.tell(ruleEvent(1, dtc.StateAlive, 0))
		b.pass(DefaultWait)
		b.want("recovery/1: h1: web: nginx[900] alive, after 12s")
	}
}

// It is remembered over a restart, also where the notices stand in the queue
// only.
func TestFlappingIsRemembered(t *testing.T) {
	b := newBench(t, opsAlone(2))
	flap(b, 1, 5*time.Second, 30*time.Second)
	b.restart()
	b.take()
	notices, _ := flap(b, 1, 5*time.Second, 14*time.Second)
	if notices > 1 {
		t.Errorf("%d notices in 14 s", notices)
	}
	fresh := newCore(coreState{}, b.now, b.newID)
	fresh.configure(&b.cfg, b.now)
	for _, r := range b.got {
		fresh.recover("ops", r)
	}
	if len(b.got) > 0 && len(fresh.machines["ops"].state.Heard) == 0 {
		t.Error("nothing is remembered")
	}
}

// Hosts that come and go are damped like processes, and a host that does not
// is told in time.
func TestFlappingHost(t *testing.T) {
	b := newBench(t, opsAlone(3))
	for range 30 {
		b.tell(hostEvent(1, dtc.StateUnreachable))
		b.pass(10 * time.Second)
		b.tell(hostEvent(1, dtc.StateReachable))
		b.pass(10 * time.Second)
	}
	if n := len(b.got); n > 9 {
		t.Errorf("%d notices in 10 minutes", n)
	}
	b.take()
	b.tell(hostEvent(2, dtc.StateUnreachable))
	b.pass(hostQuiet)
	b.want("recovery/1: h1 reachable again after 1m10s", "problem/1: h2 unreachable") // what waits goes with it
}

// The damping lets nobody believe that a host is well that is not.
func TestFlappingEndsRight(t *testing.T) {
	for _, last := range []dtc.State{dtc.StateMissing, dtc.StateAlive} {
		b := newBench(t, opsAlone(2))
		flap(b, 1, 5*time.Second, time.Minute)
		b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateMissing, 0))
		if last == dtc.StateAlive {
			b.tell(ruleEvent(1, dtc.StateAlive, 0))
		}
		b.pass(time.Hour)
		known := map[string]bool{}
		for _, r := range b.got {
			for _, p := range r.Told {
				known[p.Key] = true
			}
			for _, key := range r.Closed {
				delete(known, key)
			}
		}
		if wrong := last == dtc.StateMissing; len(known) > 0 != wrong {
			t.Errorf("%s at last: he knows of %v", last, known)
		}
	}
}

func TestManyEndsOfOneRuleHaveOneTitle(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateRestarted, 0), ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateMissing, 0))
	b.pass(DefaultWait)
	b.want("problem/4: h1: 2 processes ended, 1 process restarted; the last: web: nginx[812] dead: signal 9, lived 1h0m0s; none is left")
}

// An end that was told explains that too few are left, but not that too many
// are there.
func TestTooManyAfterAnEnd(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(ruleEvent(1, dtc.StateDead, 0))
	b.pass(3 * time.Second)
	b.take()
	many := ruleEvent(1, dtc.StateCount, 6)
	many.Max = 4
	b.tell(many)
	b.pass(time.Minute)
	b.want("problem/1: h1: web count: 6 there, wanted 1 to 4")
}

// What an end leaves behind stands in the notice of that end, also where an
// other was told a moment ago.
func TestSecondEndSaysWhatIsLeft(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(ruleEvent(1, dtc.StateDead, 0))
	b.pass(3 * time.Second)
	b.take()
	few := ruleEvent(1, dtc.StateCount, 1)
	few.Min = 2
	b.tell(ruleEvent(1, dtc.StateDead, 0), few)
	b.pass(time.Minute)
	b.want("problem/2: h1: web: nginx[812] dead: signal 9, lived 1h0m0s; 1 left, wanted 2")
}

// What is told to be well again in passing is so, and is not told again.
func TestWellAgainSince(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateMissing, 0), ruleEvent(1, dtc.StateAlive, 0), ruleEvent(1, dtc.StateMissing, 0))
	b.pass(time.Minute)
	b.want("problem/2: h1: web: nginx[812] dead: signal 9, lived 1h0m0s; none is left")

	b.tell(ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateAlive, 0)) // of what he knows to be missing
	b.pass(time.Minute)
	b.want("problem/1: h1: web: nginx[812] dead: signal 9, lived 1h0m0s", "recovery/1: h1: web: nginx[900] alive, after 1m0s")
}

// A problem that an Alertmanager was given goes on being so while it is silenced.
func TestSilenceIsNoRecovery(t *testing.T) {
	cfg := opsAlone(2)
	cfg.Receivers[0].Kind = "alertmanager"
	b := newBench(t, cfg)
	b.tell(hostEvent(1, dtc.StateUnreachable))
	b.pass(time.Minute)
	b.core.silences = []Silence{{Start: b.now, End: b.now.Add(time.Hour)}}
	b.core.setMutes(b.now)
	if again := b.core.refresh("ops", b.now); len(again) != 1 {
		t.Errorf("given again: %+v", again)
	}
}

// When the clock was set back, nobody waits until it is as late again.
func TestFlappingAndTheClock(t *testing.T) {
	b := newBench(t, opsAlone(2))
	flap(b, 1, 5*time.Second, time.Minute)
	b.pass(flapMost)
	b.now = b.now.Add(-24 * time.Hour)
	last := b.got[len(b.got)-1]
	b.restart()
	last.Seq++
	b.core.recover("ops", last) // as if the state had not been kept
	b.take()
	b.tell(ruleEvent(1, dtc.StateDead, 0))
	b.pass(flapMost + DefaultWait)
	b.want("problem/1: h1: web: nginx[812] dead: signal 9, lived 1h0m0s")
}
