package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// What somebody removes under a running service is made again, and nothing is
// lost.
func TestFolderIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home := t.TempDir()
		r := newRig(t, filepath.Join(home, "state", "notify"), opsAlone(9))
		r.start()
		_, err := r.Silence(Silence{Hosts: []string{"h9"}, End: time.Now().Add(24 * time.Hour)})
		must(t, err)
		r.happen(hostEvent(1, dtc.StateUnreachable))
		r.pass(time.Minute)
		r.want("ops", "problem/1: h1 unreachable")
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		r.happen(deadPID(2, 7))
		r.pass(time.Minute)

		must(t, os.RemoveAll(filepath.Join(home, "state")))
		r.happen(deadPID(3, 7))
		r.pass(2 * time.Minute)
		left := filepath.Join(home, "left") // what a kill would leave now
		must(t, os.CopyFS(left, os.DirFS(r.dir)))
		r.scripts["ops"].says(nil)
		r.pass(10 * time.Minute)
		want := []string{"problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s", "problem/1: h3: nginx[7] dead: signal 9, lived 1h0m0s"}
		r.want("ops", want...)
		if len(r.reports()) != 0 {
			t.Errorf("given up: %+v", r.reports())
		}
		must(t, os.RemoveAll(filepath.Join(home, "state")))
		r.pass(2 * time.Minute) // in which nothing happens
		for _, name := range []string{stateFile, silencesFile} {
			if isGone(filepath.Join(r.dir, name)) {
				t.Errorf("%s is not made again", name)
			}
		}
		must(t, os.RemoveAll(filepath.Join(home, "state")))
		_, err = r.Silence(Silence{Hosts: []string{"h8"}, End: time.Now().Add(24 * time.Hour)})
		must(t, err)
		r.end()

		r.dir = left
		r.start()
		r.pass(10 * time.Minute)
		r.want("ops", want...)
		if s := r.Silences(); len(s) != 1 || s[0].Hosts[0] != "h9" {
			t.Errorf("silences: %+v", s)
		}
		r.happen(hostEvent(1, dtc.StateReachable))
		r.pass(time.Minute)
		if got := r.scripts["ops"].titles(); len(got) != 1 || !strings.HasPrefix(got[0], "recovery/1: h1 reachable again") {
			t.Errorf("told %v", got)
		}
		r.end()
	})
}

// A notice of which the content is lost is given up on with its title.
func TestNoticeIsDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		r.happen(deadPID(2, 7))
		r.pass(time.Minute)
		path := filepath.Join(r.dir, queueFolder("ops"), segmentName(1))
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(strings.Repeat("\x00", len(data))), 0o600))
		r.pass(10 * time.Minute)
		r.end()
		if got := r.reports(); len(got) != 1 || !strings.Contains(got[0].Reason, `ops was not told "h2: nginx[7] dead: signal 9, lived 1h0m0s": read a notice from the queue: `) {
			t.Errorf("reported %+v", got)
		}
	})
}

func TestQueueFilesAreRemoved(t *testing.T) {
	for lost := 1; lost <= 3; lost++ { // of three
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "queue")
			q := mustQueue(t, dir)
			for seq := range uint64(24) {
				q.append(recordOf(seq+1, 100<<10))
			}
			if len(q.segments) != 3 {
				t.Fatalf("%d files", len(q.segments))
			}
			must(t, os.Remove(filepath.Join(dir, segmentName(lost))))
			q.append(recordOf(25, 10))
			want := make([]uint64, 25)
			for i := range want {
				want[i] = uint64(i) + 1
			}
			again := mustQueue(t, dir)
			if !slices.Equal(q.seqs(), want) || !slices.Equal(again.seqs(), want) || again.bytes != q.bytes {
				t.Fatalf("waiting %v, %v", q.seqs(), again.seqs())
			}
			for _, seq := range want {
				s, r, err := again.head()
				if err != nil || r.Seq != seq {
					t.Fatalf("head %+v, %v, want %d", r, err, seq)
				}
				again.finish(s)
			}
			must(t, again.release())
			must(t, q.release())
		})
	}
}

// Who has lost all is told of nothing that was before, now and at each later
// start.
func TestMemoryIsLostForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "notify")
		r := newRig(t, dir, opsAlone(5))
		r.start()
		var log []dtc.Event
		for i := range 5 {
			log = append(log, r.logged(deadPID(i+1, 7))...)
		}
		r.pass(time.Minute)
		r.scripts["ops"].titles()
		r.end()
		must(t, os.RemoveAll(dir))
		for range 3 { // the first starts without state
			r.start()
			r.again(log...)
			r.pass(10 * time.Second)
			r.want("ops")
			r.end()
		}
		must(t, os.Remove(filepath.Join(dir, takenPrefix+"1")))
		r.start()
		r.again(log...)
		r.pass(10 * time.Second)
		r.want("ops")
		log = r.logged(deadPID(4, 7)) // that is lost with a kill
		r.end()
		r.start()
		r.again(log...)
		r.pass(time.Minute)
		r.want("ops", "problem/1: h4: nginx[7] dead: signal 9, lived 1h0m0s")
		r.end()
	})
}

// Who was told that none is there is told how many there are, if it was well in
// between for a moment only.
func TestAnotherNumberAfterAMoment(t *testing.T) {
	b := newBench(t, opsAlone(2))
	b.tell(ruleEvent(1, dtc.StateMissing, 0))
	b.pass(time.Minute)
	b.want("problem/1: h1: web missing: 0 there, wanted 1 or more")
	many := ruleEvent(1, dtc.StateCount, 0)
	many.Count, many.Min, many.Max = 3, 1, 1
	normal := ruleEvent(1, dtc.StateNormal, 0)
	b.tell(normal, many)
	b.pass(time.Minute)
	b.want("problem/1: h1: web count: 3 there, wanted 1")
	b.tell(normal, many) // that he knows
	b.pass(time.Minute)
	b.want()
	b.tell(normal)
	b.restart()
	b.tell(ruleEvent(1, dtc.StateMissing, 0))
	b.pass(time.Minute)
	b.want("problem/1: h1: web missing: 0 there, wanted 1 or more")
	b.tell(normal)
	b.pass(time.Minute)
	if got := b.take(); len(got) != 1 || !strings.HasPrefix(got[0], "recovery/1: ") {
		t.Errorf("told %v", got)
	}
}

// An end that two rules and a pid tell is one.
func TestOneEndOfSeveralRules(t *testing.T) {
	cfg := opsAlone(2)
	cfg.Hosts[0].Rules = append(cfg.Hosts[0].Rules, "all")
	b := newBench(t, cfg)
	web, all, plain := ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateDead, 0), deadPID(1, 7)
	all.Rule, web.PID, all.PID = "all", 7, 7
	b.tell(plain, web, all)
	b.pass(time.Minute)
	b.want("problem/3: h1: web: nginx[7] dead: signal 9, lived 1h0m0s")
	other := deadPID(1, 8)
	b.tell(plain, web, all, other)
	b.pass(time.Minute)
	b.want("problem/4: 2 processes ended on h1")
	b.tell(hostEvent(1, dtc.StateUnreachable), plain, web, all)
	b.pass(time.Minute)
	b.want("problem/4: h1 unreachable; 1 watched process ended with it")
}

func TestStatusOfATry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		defer func() { r.end() }()
		var during Status
		r.scripts["ops"].says(func(*Notice) error {
			time.Sleep(10 * time.Second)
			during = r.Status()[0]
			return nil
		})
		r.happen(deadPID(1, 7))
		r.pass(time.Minute)
		if during.Waiting != 1 || during.Trying.IsZero() || !r.Status()[0].Trying.IsZero() {
			t.Errorf("during %+v, after %+v", during, r.Status()[0])
		}
	})
}
