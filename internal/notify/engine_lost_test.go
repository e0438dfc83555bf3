package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// again tells the events of a log again, as the monitor does at its start.
func (r *rig) again(log ...dtc.Event) {
	for _, e := range log {
		if since := r.Until(); !since.IsZero() && !e.Time.Before(since) {
			r.Tell(e)
		}
	}
}

// logged gives events an id and the present time, tells them, and returns them.
func (r *rig) logged(events ...dtc.Event) []dtc.Event {
	for i := range events {
		r.number++
		events[i].ID, events[i].Time = fmt.Sprintf("e-%d", r.number), time.Now()
		r.Tell(events[i])
	}
	return events
}

// tellsInTheNextRun fails if a notice that one run makes, and cannot deliver, is
// not delivered by the next.
func (r *rig) tellsInTheNextRun() {
	r.t.Helper()
	r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
	r.happen(deadPID(4, 7))
	r.pass(time.Minute)
	r.end()
	r.scripts["ops"].says(nil)
	r.start()
	r.pass(time.Minute)
	r.want("ops", "problem/1: h4: nginx[7] dead: signal 9, lived 1h0m0s")
	r.end()
}

func TestMemoryIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, dir, opsAlone(5))
		r.start()
		for i := range 3 {
			r.happen(deadPID(i+1, 7))
			r.pass(time.Minute)
		}
		r.scripts["ops"].titles()
		r.end()
		must(t, os.Remove(filepath.Join(dir, stateFile)))
		r.start()
		r.tellsInTheNextRun()
	})
}

func TestMemoryIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, dir, opsAlone(5))
		r.start()
		r.pass(time.Second)
		old, err := os.ReadFile(filepath.Join(dir, stateFile))
		must(t, err)
		log := r.logged(hostEvent(1, dtc.StateUnreachable), deadPID(2, 7), deadPID(3, 7))
		r.pass(time.Minute)
		log = append(log, r.logged(hostEvent(4, dtc.StateUnreachable))...)
		r.pass(time.Minute)
		log = append(log, r.logged(hostEvent(4, dtc.StateReachable))...)
		r.pass(time.Minute)
		r.want("ops", "problem/2: 2 processes ended on h2, h3", "problem/1: h1 unreachable", "problem/1: h4 unreachable", "recovery/1: h4 reachable again after 1m0s")
		r.end()
		must(t, os.WriteFile(filepath.Join(dir, stateFile), old, 0o600)) // the disk was full since
		r.start()
		r.again(log...)
		r.pass(time.Minute)
		r.want("ops")
		r.happen(hostEvent(1, dtc.StateReachable))
		r.pass(time.Minute)
		r.want("ops", "recovery/1: h1 reachable again after 4m0s")
		r.end()
	})
}

func TestOldNewsEndNoProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		log := r.logged(ruleEvent(1, dtc.StateAlive, 0)) // that changes nothing, and is not remembered
		r.pass(time.Second)
		log = append(log, r.logged(ruleEvent(1, dtc.StateMissing, 0))...)
		r.pass(time.Minute)
		r.want("ops", "problem/1: h1: web missing: 0 there, wanted 1 or more")
		r.end()
		r.start()
		r.again(log...)
		r.pass(time.Minute)
		r.want("ops")
		r.happen(ruleEvent(1, dtc.StateAlive, 0))
		r.pass(time.Minute)
		r.want("ops", "recovery/1: h1: web: nginx[900] alive, after 2m0s")
		r.end()
	})
}

func TestClockIsSetBack(t *testing.T) {
	b := newBench(t, opsAlone(5))
	b.tell(deadPID(1, 7), hostEvent(2, dtc.StateUnreachable))
	b.now = b.now.Add(-24 * time.Hour)
	b.restart()
	b.pass(time.Minute)
	b.want("problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s", "problem/1: h2 unreachable")
}

func TestKilledWhileGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, filepath.Join(dir, "before"), opsAlone(5))
		r.start()
		r.refusing(errors.New("the disk is full"))
		r.scripts["ops"].says(func(*Notice) error { return &Refused{Err: errors.New("no")} })
		r.happen(deadPID(1, 7))
		r.pass(DefaultWait + 100*time.Millisecond)
		must(t, os.CopyFS(filepath.Join(dir, "after"), os.DirFS(r.dir))) // what a kill would leave
		r.end()
		r.dir = filepath.Join(dir, "after")
		r.refusing(nil)
		r.start()
		r.pass(time.Minute)
		r.end()
		if len(r.reports()) != 1 || len(r.scripts["ops"].tries) != 1 { // of that he is not told
			t.Errorf("reported %+v after %d tries", r.reports(), len(r.scripts["ops"].tries))
		}
	})
}

func TestQueueRemembersItsNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		queue := filepath.Join(dir, queueFolder("ops"))
		must(t, os.MkdirAll(queue, 0o750)) // all that an earlier run has left
		must(t, os.WriteFile(filepath.Join(queue, segmentName(7)), doneLine(50), 0o600))
		r := newRig(t, dir, opsAlone(5))
		r.start()
		r.tellsInTheNextRun()
	})
}

func TestEventsAreKeptBeforeTheirNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		defer func() { r.end() }()
		r.cfg.Receivers[0].Wait = time.Millisecond // before what has happened is written for its own sake
		must(t, r.Configure(r.cfg))
		r.pass(time.Minute)
		r.scripts["ops"].says(func(*Notice) error {
			if data, err := os.ReadFile(filepath.Join(r.dir, stateFile)); err != nil || !strings.Contains(string(data), `"e-1"`) {
				t.Errorf("the state does not know of the event: %v", err)
			}
			return nil
		})
		r.happen(deadPID(1, 7))
		r.pass(100 * time.Millisecond)
		r.want("ops", "problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s")
	})
}
