package notify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// patient is a receiver with a time of its own to be given up on after.
func patient(give time.Duration) Config {
	cfg := opsAlone(50)
	cfg.Receivers[0].GiveUp = give
	return cfg
}

// running has the notifier run, and returns what ends that.
func (r *rig) running() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			r.t.Errorf("run: %v", err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// Each notice is tried, however short its time is and however often the one
// before failed.
func TestEachNoticeIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), patient(20*time.Second))
		r.start()
		defer func() { r.end() }()
		tried := map[string]int{}
		r.scripts["ops"].says(func(n *Notice) error {
			tried[n.ID]++
			return errors.New("no")
		})
		const notices = 8
		for i := range notices {
			r.happen(deadPID(i+1, 7))
			r.pass(3 * time.Second)
		}
		r.pass(time.Minute)
		own := 0 // of the notices about those
		for _, n := range tried {
			if n == 1 {
				own++
			}
		}
		if s := r.Status()[0]; s.Waiting != 0 || s.GivenUp != len(tried) || own > 0 {
			t.Errorf("%d of %d notices were tried but once, %+v", own, len(tried), s)
		}
	})
}

// What grew too old while the service was away is tried before it is given up.
func TestOldNoticesAreTriedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), patient(time.Hour))
		r.start()
		defer func() { r.end() }()
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		r.happen(deadPID(1, 7))
		r.pass(time.Minute)
		r.happen(deadPID(2, 7))
		r.pass(time.Minute)
		r.end()
		r.pass(48 * time.Hour)
		r.scripts["ops"].says(nil)
		r.start()
		r.pass(time.Minute)
		r.want("ops", "problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s", "problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s")
		if len(r.reports()) != 0 {
			t.Errorf("reported %+v", r.reports())
		}
	})
}

// All that is too old is given up together, after one more try, and a receiver
// that asked to be left alone is left alone.
func TestTooOldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), patient(time.Hour))
		r.start()
		defer func() { r.end() }()
		r.scripts["ops"].says(func(*Notice) error { return &Later{Err: errors.New("429"), After: 50 * time.Minute} })
		for i := range 10 {
			r.happen(deadPID(i+1, 7))
			r.pass(3 * time.Second)
		}
		r.pass(3 * time.Hour)
		tries := r.scripts["ops"].tries
		for i := 1; i < len(tries); i++ {
			if d := tries[i].Sub(tries[i-1]); d < 50*time.Minute {
				t.Errorf("try %d came %s after the one before", i, d)
			}
		}
		if len(r.reports()) != 1 || !strings.Contains(r.reports()[0].Reason, "nor 9 more") {
			t.Errorf("reported %+v", r.reports())
		}
	})
}

// A receiver that is away for days is not reminded of each hour of them.
func TestRemindersDoNotPileUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := patient(7 * 24 * time.Hour)
		cfg.Receivers[0].Remind = time.Minute
		r := newRig(t, t.TempDir(), cfg)
		r.start()
		defer func() { r.end() }()
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		r.happen(hostEvent(1, dtc.StateUnreachable))
		r.pass(12 * time.Hour)
		if n := r.Status()[0].Waiting; n != 2 {
			t.Errorf("%d notices wait", n)
		}
		r.end()
		r.start()
		r.pass(12 * time.Hour)
		r.scripts["ops"].says(nil)
		r.pass(6 * time.Minute)
		r.scripts["ops"].titles()
		r.pass(10 * time.Minute)
		got := r.scripts["ops"].titles()
		if len(got) != 10 || !strings.HasPrefix(got[0], "reminder/1: still wrong for 24h") {
			t.Errorf("told %q", got)
		}
	})
}

// What comes again and again keeps no Alertmanager from being given the rest.
func TestRefreshIsNotStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := opsAlone(50)
		cfg.Receivers[0].Kind = "alertmanager"
		r := newRig(t, t.TempDir(), cfg)
		r.start()
		defer func() { r.end() }()
		r.happen(hostEvent(1, dtc.StateUnreachable))
		r.pass(10 * time.Second)
		r.scripts["ops"].titles()
		for i := range 40 { // one each 15 s
			r.happen(deadPID(i+2, 7))
			r.pass(15 * time.Second)
		}
		again := 0
		for _, title := range r.scripts["ops"].titles() {
			if strings.HasPrefix(title, "reminder/") {
				again++
			}
		}
		if again != 10 {
			t.Errorf("it was given again %d times in 10 minutes", again)
		}
	})
}

// A failure to give all again is no failure any more once that went well.
func TestRefreshMendsTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := opsAlone(2)
		cfg.Receivers[0].Kind = "alertmanager"
		r := newRig(t, t.TempDir(), cfg)
		r.start()
		defer func() { r.end() }()
		r.happen(hostEvent(1, dtc.StateUnreachable))
		r.pass(10 * time.Second)
		r.scripts["ops"].says(func(*Notice) error { return errors.New("down") })
		r.pass(2 * time.Minute)
		if s := r.Status()[0]; s.Error != "down" {
			t.Errorf("status %+v", s)
		}
		r.scripts["ops"].says(nil)
		r.pass(2 * time.Minute)
		if s := r.Status()[0]; s.Error != "" {
			t.Errorf("status %+v", s)
		}
	})
}

// A reload leaves a sender alone whose settings are as they were: it may know
// whom of several it has told.
func TestReloadKeepsTheSender(t *testing.T) {
	cfg := opsAlone(2)
	cfg.Receivers[0].Values = map[string]string{"url": "one"}
	made := 0
	n, err := New(Options{Dir: t.TempDir(), Config: cfg, NewSender: func(string, Settings) (Sender, error) {
		made++
		return &scripted{}, nil
	}})
	must(t, err)
	_, first := n.couriers["ops"].current()
	must(t, n.Configure(cfg))
	if _, same := n.couriers["ops"].current(); same != first || made != 2 {
		t.Errorf("another sender of %d", made)
	}
	cfg.Receivers[0].Values = map[string]string{"url": "two"}
	must(t, n.Configure(cfg))
	if _, other := n.couriers["ops"].current(); other == first {
		t.Error("the sender is not the one of the new settings")
	}
	must(t, n.end())
}

// While a report fails it is tried now and then, not with each event.
func TestReportIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := opsAlone(50)
		var tries atomic.Int32
		n, err := New(Options{
			Dir: t.TempDir(), Config: cfg,
			NewSender: func(string, Settings) (Sender, error) {
				s := &scripted{}
				s.says(func(*Notice) error { return &Refused{Err: errors.New("no")} })
				return s, nil
			},
			Report: func(dtc.Event) error { tries.Add(1); return errors.New("the disk is full") },
		})
		must(t, err)
		r := &rig{t: t, Notifier: n}
		stop := r.running()
		defer stop()
		r.happen(deadPID(1, 7))
		r.pass(3 * time.Second)
		before := tries.Load()
		for i := range 100 { // in two seconds
			r.happen(deadPID(i%50+1, 1000+i))
			r.pass(20 * time.Millisecond)
		}
		if n := tries.Load() - before; n > 2 {
			t.Errorf("%d tries in 2 s", n)
		}
	})
}

// A memory of a time that is still to come has nothing left out.
func TestClockIsSetBackOverARestart(t *testing.T) {
	dir := t.TempDir()
	now := benchStart()
	open := func() *Notifier {
		n, err := New(Options{Dir: dir, Config: Config{Hosts: someHosts(2)}, Now: func() time.Time { return now }})
		must(t, err)
		return n
	}
	n := open()
	e := deadPID(1, 7)
	e.ID, e.Time = "e-1", now
	n.Tell(e)
	must(t, n.end())
	now = now.Add(-24 * time.Hour)
	if n = open(); n.Until().After(now) {
		t.Errorf("events are told again from %s, and it is %s", n.Until(), now)
	}
	must(t, n.end())
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err != nil {
		t.Error(err)
	}
}
