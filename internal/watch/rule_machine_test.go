package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// ruleBench drives a machine by hand. Times are seconds since its beginning,
// which is an hour after the boot.
type ruleBench struct {
	t   *testing.T
	m   machine
	now time.Duration
	ids map[int]dtc.ProcessID
	was map[dtc.ProcessID]float64 // when they began
}

const benchBegan = time.Hour

func newRuleBench(t *testing.T, spec dtc.ProcessRule, there ...int) *ruleBench {
	t.Helper()
	spec.Name = "r"
	b := &ruleBench{t: t, m: newMachine(&spec, "b"), ids: map[int]dtc.ProcessID{}, was: map[dtc.ProcessID]float64{}, now: benchBegan}
	for _, pid := range there {
		b.born(pid, -1000)
	}
	b.look(there...)
	return b
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// at goes to a time. What is due meanwhile is not done.
func (b *ruleBench) at(s float64) *ruleBench {
	b.now = benchBegan + seconds(s)
	return b
}

// born has a process begin, which nobody has been told.
func (b *ruleBench) born(pid int, began float64) {
	b.ids[pid] = dtc.ProcessID{PID: pid, Start: uint64((benchBegan + seconds(began)) / (10 * time.Millisecond))}
	b.was[b.ids[pid]] = began
}

func (b *ruleBench) arrival(pid int) arrival {
	id := b.ids[pid]
	return arrival{seen: proc.Seen{ID: id, Name: "x"}, began: benchBegan + seconds(b.was[id])}
}

// came has a newcomer that began this moment told.
func (b *ruleBench) came(pid int) *ruleBench {
	b.born(pid, (b.now - benchBegan).Seconds())
	return b.met(pid)
}

// met has one told that began before.
func (b *ruleBench) met(pid int) *ruleBench {
	a := b.arrival(pid)
	b.m.came(&a, b.now, MaxTargets)
	return b
}

func (b *ruleBench) end(pid int) *ruleBench {
	id := b.ids[pid]
	began := benchBegan + seconds(b.was[id])
	b.m.ended(id, &ending{at: b.now, lived: b.now - began, exit: dtc.Exit{Kind: dtc.ExitSignal, Number: 9}}, b.now)
	return b
}

// unseen has an end found that was after a time.
func (b *ruleBench) unseen(pid int, after float64) *ruleBench {
	b.m.ended(b.ids[pid], &ending{at: b.now, since: benchBegan + seconds(after)}, b.now)
	return b
}

func (b *ruleBench) look(pids ...int) *ruleBench { return b.lookWith(nil, pids...) }

func (b *ruleBench) lookWith(err error, pids ...int) *ruleBench {
	l := &look{began: b.now, err: err, room: MaxTargets}
	for _, pid := range pids {
		l.found = append(l.found, b.arrival(pid))
	}
	b.m.look(l, b.now+time.Millisecond)
	return b
}

func (b *ruleBench) tick() *ruleBench {
	b.m.tick(b.now)
	return b
}

// tells fails unless this is what there is to tell.
func (b *ruleBench) tells(want ...string) *ruleBench {
	b.t.Helper()
	tells, _ := b.m.drain()
	b.same(tells, want)
	return b
}

// stands fails unless this is how things are told to stand.
func (b *ruleBench) stands(want ...string) *ruleBench {
	b.t.Helper()
	b.same(b.m.present(0), want)
	return b
}

func (b *ruleBench) same(tells []tell, want []string) {
	b.t.Helper()
	got := make([]string, len(tells))
	for i := range tells {
		got[i] = tellText(&tells[i])
	}
	if !slices.Equal(got, want) {
		b.t.Fatalf("at %v told\n\t%s\nwant\n\t%s", b.now-benchBegan, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func tellText(t *tell) string {
	text := string(t.state)
	switch {
	case t.heir != nil:
		text += fmt.Sprintf(" %d by %d after %v", t.member.id.PID, t.heir.id.PID, t.gap)
	case t.member != nil:
		text += fmt.Sprintf(" %d", t.member.id.PID)
	default:
		text += fmt.Sprintf(" of %d", t.count)
	}
	if t.reason != "" {
		text += ": " + t.reason
	}
	return text
}

// due fails unless a look is wanted at this time, or at none if it is negative.
func (b *ruleBench) due(s float64) *ruleBench {
	b.t.Helper()
	due := b.m.dueLook()
	if s < 0 && due == never || (due-benchBegan-seconds(s)).Abs() < time.Microsecond {
		return b
	}
	b.t.Fatalf("a look is due at %v, want %v", due-benchBegan, s)
	return b
}

// restart has a new run of the agent go on.
func (b *ruleBench) restart(boot string) *ruleBench {
	b.t.Helper()
	r := &rule{machine: b.m}
	data, err := json.Marshal(r.memory())
	if err != nil {
		b.t.Fatal(err)
	}
	var memory ruleMemory
	if err := json.Unmarshal(data, &memory); err != nil {
		b.t.Fatal(err)
	}
	m := newMachine(&dtc.ProcessRule{Min: b.m.min, Max: b.m.max, RestartWithin: b.m.within}, boot)
	m.restore(&memory, clock{now: b.now, today: time.Now()})
	b.m = m
	return b
}

var (
	plain  = dtc.ProcessRule{}
	within = dtc.ProcessRule{RestartWithin: 10 * time.Second}
)

func TestRuleBegins(t *testing.T) {
	newRuleBench(t, plain, 1, 2).tells().stands("alive 1", "alive 2", "normal of 2").due(-1)
	newRuleBench(t, plain).tells().stands("missing of 0").due(-1)
	newRuleBench(t, dtc.ProcessRule{Min: 2}, 1).stands("alive 1", "count of 1")
	newRuleBench(t, dtc.ProcessRule{Max: 1}, 1, 2).stands("alive 1", "alive 2", "count of 2")
}

func TestRuleEndsWithoutTime(t *testing.T) {
	b := newRuleBench(t, plain, 1)
	b.at(1).end(1).tells("dead 1").due(1).look().tells("missing of 0").due(-1)
	b.at(5).came(2).tells("alive 2", "normal of 1")
	b.at(6).end(2).tells("dead 2").came(3).tells("alive 3").due(-1) // back before anybody looked
}

func TestRuleNeverThere(t *testing.T) {
	b := newRuleBench(t, within)
	b.stands("missing of 0").at(100).look().tells().stands("missing of 0")
	b.at(200).came(1).tells("alive 1", "normal of 1").stands("alive 1", "normal of 1")
}

func TestRuleOfManyThatBegin(t *testing.T) {
	b := newRuleBench(t, dtc.ProcessRule{Min: 3, RestartWithin: 10 * time.Second})
	b.at(1).came(1).at(2).came(2).tells("alive 1", "alive 2").due(11).at(3).came(3).tells("alive 3", "normal of 3").due(-1)
	b = newRuleBench(t, dtc.ProcessRule{Min: 3, RestartWithin: 10 * time.Second})
	b.at(1).came(1).at(11).look(1).tells("alive 1", "count of 1")
}

func TestRuleRestarts(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		newRuleBench(t, within, 1).at(1).end(1).tells().stands("normal of 1").due(11).
			at(4).came(2).tells("restarted 1 by 2 after 3s", "alive 2").due(-1).at(50).tick().tells()
	})
	t.Run("late", func(t *testing.T) {
		newRuleBench(t, within, 1).at(1).end(1).at(11).look().tells("dead 1", "missing of 0").
			at(12).came(2).tells("alive 2", "normal of 1")
	})
	t.Run("overlooked until the time is over", func(t *testing.T) {
		b := newRuleBench(t, within, 1).at(1).end(1)
		b.born(2, 10.5)
		b.at(11).look(2).tells("restarted 1 by 2 after 9.5s", "alive 2").due(-1)
	})
	t.Run("nobody can look", func(t *testing.T) {
		newRuleBench(t, within, 1).at(1).end(1).at(11).lookWith(errors.New("no way")).tells().
			at(12.9).tick().tells().at(13).tick().tells("dead 1")
	})
	t.Run("four at once", func(t *testing.T) {
		b := newRuleBench(t, dtc.ProcessRule{Min: 4, Max: 4, RestartWithin: 10 * time.Second}, 1, 2, 3, 4)
		b.at(1).end(3).end(1).at(1.01).end(4).end(2).tells()
		b.at(2).came(11).tells("restarted 3 by 11 after 1s", "alive 11")
		b.at(3).came(12).tells("restarted 1 by 12 after 2s", "alive 12")
		b.at(4).came(13).came(14).tells("restarted 4 by 13 after 2.99s", "alive 13", "restarted 2 by 14 after 2.99s", "alive 14")
		b.stands("alive 11", "alive 12", "alive 13", "alive 14", "normal of 4").due(-1)
	})
	t.Run("three of four", func(t *testing.T) {
		b := newRuleBench(t, dtc.ProcessRule{Min: 4, RestartWithin: 10 * time.Second}, 1, 2, 3, 4)
		b.at(1).end(1).end(2).end(3).end(4).at(2).came(11).came(12).came(13)
		b.tells("restarted 1 by 11 after 1s", "alive 11", "restarted 2 by 12 after 1s", "alive 12", "restarted 3 by 13 after 1s", "alive 13")
		b.at(11).look(11, 12, 13).tells("dead 4", "count of 3")
		b.at(20).came(14).tells("alive 14", "normal of 4")
	})
	t.Run("a crash loop", func(t *testing.T) {
		b := newRuleBench(t, within, 1)
		for i := range 1000 {
			b.at(float64(i)+1).end(1+i).tells().at(float64(i)+1.5).came(2+i).
				tells(fmt.Sprintf("restarted %d by %d after 500ms", 1+i, 2+i), fmt.Sprintf("alive %d", 2+i))
		}
		if len(b.m.members) != 1 || len(b.m.waiting)+len(b.m.fresh) != 0 || len(b.m.past.order) > 61 {
			t.Errorf("a long crash loop leaves %d members and %d ends", len(b.m.members), len(b.m.past.order))
		}
	})
	t.Run("the pid of one is given to the next", func(t *testing.T) {
		b := newRuleBench(t, within, 1, 2).at(1).end(1).at(2).end(2)
		b.at(3).came(2).tells("restarted 2 by 2 after 1s", "alive 2")
		b.at(4).came(1).tells("restarted 1 by 1 after 3s", "alive 1")
		b.at(5).end(1).at(20)
		b.born(1, 19)
		b.look(1, 2).tells("dead 1", "alive 1")
		// The end of who had the pid is told first, even if it is noticed later.
		old := b.ids[2]
		b.at(30).came(2).tells().due(-benchBegan.Seconds()).look(1, 2).tells()
		b.m.ended(old, &ending{at: b.now, lived: time.Second}, b.now)
		b.tells().look(1, 2).tells("restarted 2 by 2 after 0s", "alive 2").due(-1)
	})
	t.Run("the same pid", func(t *testing.T) {
		newRuleBench(t, within, 1).at(1).end(1).at(2).came(1).tells("restarted 1 by 1 after 1s", "alive 1")
	})
}

func TestRuleHandover(t *testing.T) {
	t.Run("the new starts before the old ends", func(t *testing.T) {
		b := newRuleBench(t, dtc.ProcessRule{Max: 1, RestartWithin: 10 * time.Second}, 1)
		b.at(1).came(2).tells("alive 2").due(11).at(5).end(1).tells("restarted 1 by 2 after 0s").due(-1)
	})
	t.Run("the old stays for too long", func(t *testing.T) {
		b := newRuleBench(t, dtc.ProcessRule{Max: 1, RestartWithin: 10 * time.Second}, 1)
		b.at(1).came(2).tells("alive 2").at(11).look(1, 2).tells("count of 2")
		b.at(20).end(1).tells().at(30).look(2).tells("dead 1", "normal of 1")
	})
	t.Run("the end is noticed late", func(t *testing.T) {
		b := newRuleBench(t, within, 1).at(1)
		b.born(2, 0.99)
		b.end(1).met(2).tells("restarted 1 by 2 after 0s", "alive 2")
	})
	t.Run("siblings are nobody's successors", func(t *testing.T) {
		b := newRuleBench(t, dtc.ProcessRule{Min: 3, RestartWithin: 10 * time.Second})
		b.at(1).came(1).at(1.5).came(2).at(2).came(3).tells("alive 1", "alive 2", "alive 3", "normal of 3")
		b.at(4).end(1).tells().at(14).look(2, 3).tells("dead 1", "count of 2")
		b.at(20).came(4).at(20.02).came(5).tells("alive 4", "normal of 3", "alive 5")
		b.at(20.04).end(5).tells() // who was there before him came in nobody's place
	})
	t.Run("those that were there from the beginning are not either", func(t *testing.T) {
		newRuleBench(t, within, 1, 2).at(1).end(1).tells().at(11).look(2).tells("dead 1")
	})
	t.Run("one that does not match any more", func(t *testing.T) {
		b := newRuleBench(t, dtc.ProcessRule{Max: 1, RestartWithin: time.Second}, 1) // its pidfile names another one
		b.at(1).came(2).tells("alive 2").at(2).look(2).tells().due(-1)               // and so it is not counted
		b.stands("alive 1", "alive 2", "normal of 1")
		b.at(100).end(1).tells("restarted 1 by 2 after 0s")
	})
}

func TestRuleStrays(t *testing.T) {
	b := newRuleBench(t, plain, 1)
	b.at(1).look().tells().due(1.001) // a second look is to say so too
	b.at(2).look().tells("missing of 0").stands("alive 1", "missing of 0")
	b.at(3).look(1).tells("normal of 1")
	b.at(4).look().at(5).look(1).tells().due(-1)
	b.at(6).look().at(7).look().tells("missing of 0").at(8).end(1).tells("dead 1")
	b.at(9).look(1).tells() // a look that began before shows it
}

func TestRuleCrossings(t *testing.T) {
	b := newRuleBench(t, dtc.ProcessRule{Min: 2, Max: 3}, 1, 2, 3)
	b.at(1).came(4).tells("alive 4").due(1).look(1, 2, 3, 4).tells("count of 4")
	b.at(2).came(5).tells("alive 5").at(3).look(1, 2, 3, 4, 5).tells()
	b.at(4).end(5).tells("dead 5").end(4).tells("dead 4", "normal of 3")
	b.at(5).end(3).end(2).tells("dead 3", "dead 2").look(1).tells("count of 1")
	b.at(6).end(1).tells("dead 1").look().tells("missing of 0")
	b.at(7).came(6).tells("alive 6").at(8).look(6).tells("count of 1")
	b.at(9).came(7).tells("alive 7", "normal of 2")
	// One that flaps between two looks is an end a line, and no verdict.
	for i := range 20 {
		pid := 7 + i
		b.end(pid).tells(fmt.Sprintf("dead %d", pid)).came(pid + 1).tells(fmt.Sprintf("alive %d", pid+1)).due(-1)
	}
}

func TestRuleWaitingCounts(t *testing.T) {
	b := newRuleBench(t, dtc.ProcessRule{Min: 2, RestartWithin: 10 * time.Second}, 1, 2)
	b.at(1).end(1).at(6).end(2).tells().stands("normal of 2")
	b.at(11).look().tells("dead 1", "count of 1") // nobody has been told that 2 has ended
	b.at(16).look().tells("dead 2", "missing of 0")
}

func TestRuleThatCannotBeJudged(t *testing.T) {
	blind := errors.New("ask systemd:\n no answer")
	t.Run("from the beginning", func(t *testing.T) {
		b := newRuleBench(t, plain)
		b.m = newMachine(&dtc.ProcessRule{}, "b")
		b.lookWith(blind).tells().stands().due(10)
		b.at(59).tick().tells().at(60.1).tick().tells("count of 0: it cannot be said how many there are: ask systemd: no answer")
		b.at(61).lookWith(blind).tick().tells().due(71)
		b.born(1, -5)
		b.at(71).look(1).tells("alive 1", "normal of 1").due(-1)
	})
	t.Run("for a while", func(t *testing.T) {
		b := newRuleBench(t, plain, 1).at(1).lookWith(blind).due(11).at(100).tick().tells() // it has one: all is well
		b.end(1).tells("dead 1").tick().tells("count of 0: it cannot be said how many there are: ask systemd: no answer")
		b.at(111).look().tells("missing of 0")
	})
	t.Run("there can be none", func(t *testing.T) {
		none := fmt.Errorf("no pidfile /run/x.pid: %w", fs.ErrNotExist)
		b := newRuleBench(t, plain)
		b.m = newMachine(&dtc.ProcessRule{}, "b")
		b.lookWith(none).tells().stands("missing of 0: no pidfile /run/x.pid: file does not exist")
		b.at(1).came(1).tells("alive 1", "normal of 1")
		b.at(2).lookWith(none).tells().at(3).lookWith(none).tells("missing of 0: no pidfile /run/x.pid: file does not exist")
		b.at(4).look(1).tells("normal of 1")
	})
}

func TestRuleBounds(t *testing.T) {
	b := newRuleBench(t, plain)
	for pid := 1; pid <= maxMembers+5; pid++ {
		b.came(pid)
	}
	if len(b.m.members) != maxMembers || b.m.count() != maxMembers+5 || len(b.m.fresh) > maxFresh {
		t.Fatalf("%d members, %d counted", len(b.m.members), b.m.count())
	}
	b.m.drain()
	all := make([]int, maxMembers+5)
	for i := range all {
		all[i] = i + 1
	}
	b.at(1).look(all...).tells(fmt.Sprintf("count of %d: %s", maxMembers+5, b.m.why(verdictExcess)))
	b.at(2).look(all...).tells().due(-1)
	b.at(3).end(1).tells("dead 1").due(-benchBegan.Seconds()) // there is room for another
	b.look(all[1:]...).tells(fmt.Sprintf("alive %d", maxMembers+1))
	for pid := 2; pid <= maxMembers; pid++ {
		b.end(pid)
	}
	b.m.drain()
	b.at(4).look(all[maxMembers:]...).tells("alive 10002", "alive 10003", "alive 10004", "alive 10005", "normal of 5")

	b = newRuleBench(t, within)
	for pid := 1; pid <= maxWaiting+1; pid++ {
		b.born(pid, -100)
		b.met(pid)
	}
	b.m.drain()
	for pid := 1; pid <= maxWaiting+1; pid++ {
		b.end(pid)
	}
	b.tells("dead 1")
	if n := len(b.m.past.order); n > maxPast {
		t.Errorf("%d ends are remembered", n)
	}
}

func TestRuleGoesOnAfterARestartOfTheAgent(t *testing.T) {
	t.Run("an end waits", func(t *testing.T) {
		b := newRuleBench(t, within, 1, 2).at(1).end(1).tells().at(3).restart("b")
		b.born(9, 2)
		b.tick().tells().look(2, 9).tells("restarted 1 by 9 after 1s", "alive 9").stands("alive 2", "alive 9", "normal of 2")
		if who := (identity{"b", b.ids[1]}); !b.m.knows(who) { // to an asker that has not heard of it
			t.Error("an end that waited is not known once it is told")
		}
	})
	t.Run("longer than it waits", func(t *testing.T) {
		b := newRuleBench(t, within, 1, 2).at(1).end(1).at(100).restart("b").tick().tells().look(2).tells("dead 1")
		b.at(101).came(3).tells("alive 3")
	})
	t.Run("ends that nobody saw", func(t *testing.T) {
		b := newRuleBench(t, within, 1, 2, 3).at(100).restart("b").unseen(1, 50).unseen(2, 50).tells()
		b.born(8, 30) // too early for a handover
		b.born(9, 60)
		b.look(3, 8, 9).tells("alive 8", "restarted 1 by 9 after 0s", "alive 9")
		b.at(110).look(3, 8, 9).tells("dead 2")
	})
	t.Run("a newcomer of before", func(t *testing.T) {
		newRuleBench(t, within, 1).at(1).came(2).tells("alive 2").at(5).restart("b").
			unseen(1, 2).tells("restarted 1 by 2 after 0s").look(2).tells()
	})
	t.Run("the same without a time", func(t *testing.T) {
		b := newRuleBench(t, plain, 1).at(100).restart("b").unseen(1, 50).tells("dead 1")
		b.born(9, 60)
		b.look(9).tells("alive 9").stands("alive 9", "normal of 1")
	})
	t.Run("what was told", func(t *testing.T) {
		b := newRuleBench(t, plain, 1).at(1).end(1).look().tells("dead 1", "missing of 0").at(2).restart("b").look().tells()
		b.at(3).restart("b").came(2).tells("alive 2", "normal of 1")
	})
	t.Run("over a reboot", func(t *testing.T) {
		b := newRuleBench(t, within, 1, 2).at(1).end(1).tells()
		b.now = time.Minute // of the next boot
		b.restart("next")
		b.m.ended(b.ids[2], &ending{at: -1, since: -5, boot: "b"}, b.now)
		b.ids[3] = dtc.ProcessID{PID: 3, Start: 4000}
		b.was[b.ids[3]] = 40 - benchBegan.Seconds()
		b.look(3).tells("alive 3", "dead 1", "dead 2").stands("alive 3", "normal of 1")
	})
}

func TestRuleTakesUpWhatTheAskerKnows(t *testing.T) {
	spec := within
	spec.KnownBoot = "b"
	b := newRuleBench(t, spec)
	b.m = newMachine(&spec, "b")
	for pid, began := range map[int]float64{1: -100, 2: -100, 3: -100, 4: -3} {
		b.born(pid, began)
	}
	gone, there, stray := b.arrival(1), b.arrival(2), b.arrival(3)
	b.m.lost(&gone, &ending{at: b.now, since: benchBegan - seconds(5)}, b.now)
	b.m.adopt(&there, b.now)
	b.m.adopt(&stray, b.now)
	b.look(2, 4).tells("restarted 1 by 4 after 0s", "alive 4").stands("alive 2", "alive 3", "alive 4", "normal of 2")
	b.at(1).end(3).tells()
}
