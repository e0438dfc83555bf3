package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// scripted is a sender that does as it is told.
type scripted struct {
	mu     sync.Mutex
	answer func(n *Notice) error // nil: it takes everything
	got    []*Notice             // that it took
	tries  []time.Time
}

func (s *scripted) Send(_ context.Context, n *Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, time.Now())
	if s.answer != nil {
		if err := s.answer(n); err != nil {
			return err
		}
	}
	s.got = append(s.got, n)
	return nil
}

func (s *scripted) says(answer func(*Notice) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// titles returns what it took since the last call, and forgets it.
func (s *scripted) titles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for _, n := range s.got {
		list = append(list, fmt.Sprintf("%s/%d: %s", n.Kind, len(n.Events), n.Title))
	}
	s.got = nil
	return list
}

// rig is a notifier whose senders are scripts.
type rig struct {
	t       *testing.T
	dir     string
	cfg     Config
	scripts map[string]*scripted // by receiver

	*Notifier
	stop func()

	mu       sync.Mutex // guards what follows
	reported []dtc.Event
	refuse   error // of Report
	number   int
}

func newRig(t *testing.T, dir string, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, cfg: cfg, scripts: map[string]*scripted{}}
	for i := range r.cfg.Receivers {
		r.prepare(&r.cfg.Receivers[i])
	}
	return r
}

func (r *rig) prepare(to *Receiver) {
	r.scripts[to.Name] = &scripted{}
	to.Values = map[string]string{"name": to.Name}
}

// start begins a run. It ends with kill, or with end.
func (r *rig) start() {
	r.t.Helper()
	n, err := New(Options{
		Dir: r.dir, Config: r.cfg,
		NewSender: func(kind string, s Settings) (Sender, error) {
			if kind == "unheard" {
				return nil, errKind
			}
			return r.scripts[s.Values["name"]], nil
		},
		Report: func(e dtc.Event) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.refuse != nil {
				return r.refuse
			}
			r.reported = append(r.reported, e)
			r.Tell(e)
			return nil
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Notifier = n
	r.stop = r.running()
}

func (r *rig) end() { r.stop() }

// refusing has Report fail, unless err is nil.
func (r *rig) refusing(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = err
}

// reports returns what was reported.
func (r *rig) reports() []dtc.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reported)
}

// happen has events happen now.
func (r *rig) happen(events ...dtc.Event) {
	for _, e := range events {
		r.number++
		e.ID, e.Time = fmt.Sprintf("e-%d", r.number), time.Now()
		r.Tell(e)
	}
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) want(receiver string, lines ...string) {
	r.t.Helper()
	if got := r.scripts[receiver].titles(); !slices.Equal(got, append([]string{}, lines...)) {
		r.t.Fatalf("%s was told\n\t%s\nwant\n\t%s", receiver, strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

func TestReceiverThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		defer func() { r.end() }()
		down := time.Now().Add(20 * time.Second)
		r.scripts["ops"].says(func(*Notice) error {
			if time.Now().Before(down) {
				return errors.New("connection refused")
			}
			return nil
		})
		for i := range 200 {
			r.happen(deadPID(i%5+1, 1000+i))
			r.pass(5 * time.Millisecond)
		}
		r.pass(10 * time.Second)
		s := r.Status()[0]
		if s.Waiting != 1 || s.Error != "connection refused" || s.Next.IsZero() || s.Oldest.IsZero() || s.Sent != 0 {
			t.Errorf("status %+v", s)
		}
		r.pass(30 * time.Second)
		r.want("ops", "problem/200: 200 processes ended on h1, h2, h3 and 2 more")
		if s := r.Status()[0]; s.Waiting != 0 || s.Error != "" || s.Sent != 1 || s.Delivered.IsZero() {
			t.Errorf("status %+v", s)
		}
		tries := r.scripts["ops"].tries
		for i := 1; i < len(tries); i++ {
			most := min(backoffLeast<<(i-1), backoffMost)
			if d := tries[i].Sub(tries[i-1]); d < most/2 || d > most {
				t.Errorf("try %d came %s after the one before", i, d)
			}
		}
	})
}

func TestRestartRepeatsNothingAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, dir, opsAlone(5))
		r.start()
		if !r.Until().IsZero() {
			t.Errorf("the first run would have %s told again", r.Until())
		}
		r.happen(hostEvent(1, dtc.StateUnreachable), deadPID(2, 7))
		r.pass(time.Minute)
		r.want("ops", "problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s", "problem/1: h1 unreachable")
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		r.happen(deadPID(3, 7))
		r.pass(time.Minute)
		r.happen(deadPID(4, 7)) // waits in its window when the run ends
		r.pass(time.Second)
		r.end()

		r.pass(time.Hour)
		r.scripts["ops"].says(nil)
		r.start()
		if until := r.Until(); until.IsZero() || time.Since(until) > 2*time.Hour {
			t.Errorf("until %s", until)
		}
		for n := 1; n <= r.number; n++ { // what stands in the logs
			e := deadPID(2, 7)
			e.ID, e.Time = fmt.Sprintf("e-%d", n), time.Now().Add(-time.Hour)
			e.Address = addressOf([]int{1, 2, 3, 4}[n-1])
			r.Tell(e)
		}
		r.pass(time.Minute)
		r.want("ops", "problem/1: h3: nginx[7] dead: signal 9, lived 1h0m0s", "problem/1: h4: nginx[7] dead: signal 9, lived 1h0m0s")
		r.happen(hostEvent(1, dtc.StateReachable))
		r.pass(time.Minute)
		r.want("ops", "recovery/1: h1 reachable again after 1h3m1s")
		r.end()
	})
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := opsAlone(5)
		cfg.Receivers[0].GiveUp = time.Hour
		cfg.Receivers = append(cfg.Receivers, Receiver{Name: "other", For: []string{"undelivered"}})
		r := newRig(t, t.TempDir(), cfg)
		r.start()
		defer func() { r.end() }()
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no way there") })
		r.happen(deadPID(1, 7))
		r.pass(10 * time.Minute)
		r.happen(deadPID(2, 7))
		r.pass(49 * time.Minute)
		if s := r.Status()[0]; s.Next.After(s.Oldest.Add(time.Hour)) {
			t.Errorf("it is tried again after it was given up: %+v", s)
		}
		if len(r.reports()) != 0 {
			t.Fatalf("reported %+v", r.reports())
		}
		r.refusing(errors.New("the disk is full"))
		r.pass(2 * time.Minute)
		r.refusing(nil)
		r.pass(time.Minute)
		want := `ops was not told "h1: nginx[7] dead: signal 9, lived 1h0m0s": it was not delivered within 1h0m0s: no way there`
		if len(r.reports()) != 1 || r.reports()[0].Reason != want || r.reports()[0].ID == "" || r.reports()[0].State != dtc.StateUndelivered {
			t.Fatalf("reported %+v", r.reports())
		}
		r.want("other", "problem/1: notice undelivered: "+want)
		r.pass(48 * time.Hour)
		r.want("other", "problem/1: notice undelivered: "+r.reports()[1].Reason)
		if len(r.reports()) != 2 || r.Status()[0].GivenUp != 2 || r.Status()[0].Waiting != 0 { // ops is not told of its own
			t.Errorf("reported %d, %+v", len(r.reports()), r.Status()[0])
		}
		r.scripts["ops"].says(func(*Notice) error { return &Refused{Err: errors.New("400 Bad Request")} })
		r.happen(deadPID(3, 7))
		r.pass(time.Minute)
		if len(r.reports()) != 3 || !strings.HasSuffix(r.reports()[2].Reason, ": 400 Bad Request") {
			t.Errorf("reported %+v", r.reports())
		}
		r.pass(48 * time.Hour)
		if len(r.reports()) != 3 {
			t.Errorf("reported %+v", r.reports())
		}
	})
}

func TestGivenUpIsReportedOnceOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		r.refusing(errors.New("the disk is full"))
		r.scripts["ops"].says(func(*Notice) error { return &Refused{Err: errors.New("no")} })
		r.happen(deadPID(1, 7))
		r.pass(time.Minute)
		r.end()
		r.refusing(nil)
		r.start()
		r.pass(time.Minute)
		r.end()
		r.start()
		r.pass(time.Minute)
		r.end()
		if len(r.reports()) != 1 {
			t.Errorf("reported %+v", r.reports())
		}
	})
}

func TestLaterIsRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		defer func() { r.end() }()
		r.scripts["ops"].says(func(*Notice) error { return &Later{Err: errors.New("429"), After: 10 * time.Minute} })
		r.happen(deadPID(1, 7))
		r.pass(9 * time.Minute)
		if n := len(r.scripts["ops"].tries); n != 1 {
			t.Errorf("%d tries", n)
		}
		r.scripts["ops"].says(nil)
		r.pass(2 * time.Minute)
		r.want("ops", "problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s")
	})
}

func TestConfigureWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cfg := opsAlone(5)
		r := newRig(t, dir, cfg)
		r.start()
		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		r.happen(deadPID(1, 7))
		r.pass(time.Minute)

		bad := r.cfg
		bad.Receivers = []Receiver{{Name: "x", Kind: "unheard"}, {Name: ""}, {Name: "y"}, {Name: "y"}}
		if err := r.Configure(bad); err == nil || strings.Count(err.Error(), "\n") != 2 {
			t.Errorf("error %v", err)
		}

		boss := Receiver{Name: "boss"}
		r.prepare(&boss)
		gone := r.cfg
		gone.Receivers = []Receiver{boss}
		must(t, r.Configure(gone))
		r.scripts["ops"].says(nil)
		r.happen(deadPID(2, 7))
		r.pass(10 * time.Minute)
		r.want("ops")
		r.want("boss", "problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s")
		if s := r.Status(); len(s) != 1 || s[0].Name != "boss" {
			t.Errorf("status %+v", s)
		}
		both := r.cfg
		both.Receivers = append(slices.Clone(r.cfg.Receivers), boss)
		must(t, r.Configure(both)) // what waited goes to it as it is now
		r.pass(time.Minute)
		r.want("ops", "problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s")

		r.scripts["ops"].says(func(*Notice) error { return errors.New("no") })
		r.happen(deadPID(3, 7))
		r.pass(time.Minute)
		r.want("boss", "problem/1: h3: nginx[7] dead: signal 9, lived 1h0m0s")
		r.end()

		r.cfg = gone // the next run drops what ops was to be told
		r.start()
		r.pass(time.Minute)
		r.end()
		if _, err := os.Stat(filepath.Join(dir, queueFolder("ops"))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its queue is still there: %v", err)
		}
		r.want("boss")
	})
}

func TestAlertmanagerIsGivenItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := opsAlone(5)
		cfg.Receivers[0].Kind = "alertmanager"
		r := newRig(t, t.TempDir(), cfg)
		r.start()
		defer func() { r.end() }()
		r.happen(hostEvent(1, dtc.StateUnreachable))
		r.pass(10 * time.Second)
		r.want("ops", "problem/1: h1 unreachable")
		r.pass(3*time.Minute + 30*time.Second)
		got := r.scripts["ops"].titles()
		if len(got) != 3 || !strings.HasPrefix(got[0], "reminder/1: still wrong for ") {
			t.Errorf("given again: %q", got)
		}
		r.scripts["ops"].says(func(*Notice) error { return errors.New("down") })
		r.pass(10 * time.Minute)
		if s := r.Status()[0]; s.Waiting != 0 || s.Error != "down" {
			t.Errorf("status %+v", s)
		}
		r.scripts["ops"].says(nil)
		r.happen(hostEvent(1, dtc.StateReachable))
		r.pass(10 * time.Minute)
		if got := r.scripts["ops"].titles(); len(got) != 1 || !strings.HasPrefix(got[0], "recovery/1:") {
			t.Errorf("told %q", got)
		}
	})
}

func TestSilences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, dir, opsAlone(5))
		r.start()
		for _, bad := range []Silence{
			{},
			{End: time.Now()},
			{End: time.Now().Add(time.Hour), States: []string{"deceased"}},
			{End: time.Now().Add(time.Hour), Start: time.Now().Add(2 * time.Hour)},
			{End: time.Now().Add(time.Hour), Reason: strings.Repeat("x", 5000)},
			{End: time.Now().Add(time.Hour), Hosts: make([]string, 2000)},
		} {
			if s, err := r.Silence(bad); err == nil {
				t.Errorf("taken: %+v", s)
			}
		}
		one, err := r.Silence(Silence{Hosts: []string{"h1"}, End: time.Now().Add(time.Hour), Reason: "moving"})
		must(t, err)
		two, err := r.Silence(Silence{Hosts: []string{"h2"}, End: time.Now().Add(2 * time.Hour)})
		must(t, err)
		r.happen(hostEvent(1, dtc.StateUnreachable), hostEvent(2, dtc.StateUnreachable), deadPID(1, 7))
		r.pass(time.Minute)
		r.end()
		r.start() // they are on the disk
		if got := r.Silences(); len(got) != 2 || got[0].ID != one.ID || got[0].Reason != "moving" || got[0].Start.IsZero() {
			t.Errorf("silences %+v", got)
		}
		r.pass(time.Minute)
		r.want("ops")
		if _, err := r.Unsilence(two.ID, "other"); err == nil {
			t.Error("one was ended that is not")
		}
		ended, err := r.Unsilence(two.ID)
		if err != nil || len(ended) != 1 || ended[0].ID != two.ID {
			t.Errorf("ended %+v, %v", ended, err)
		}
		r.pass(time.Minute)
		r.want("ops", "problem/1: h2 unreachable")
		r.pass(time.Hour)
		r.want("ops", "problem/1: h1 unreachable")
		if got := r.Silences(); len(got) != 0 {
			t.Errorf("silences %+v", got)
		}
		if ended, err := r.Unsilence(); err != nil || len(ended) != 0 {
			t.Errorf("ended %+v, %v", ended, err)
		}
		r.end()
		must(t, os.WriteFile(filepath.Join(dir, silencesFile), []byte("garbage"), 0o600))
		r.start()
		r.pass(time.Second)
		r.end()
	})
}

func TestBrokenMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := newRig(t, dir, opsAlone(5))
		r.start()
		r.happen(deadPID(1, 7))
		r.pass(time.Minute)
		r.end()
		r.want("ops", "problem/1: h1: nginx[7] dead: signal 9, lived 1h0m0s")
		must(t, os.WriteFile(filepath.Join(dir, stateFile), []byte(`{"core":{"machines":{"ops":{"seq":"`), 0o600))
		r.start()
		if r.Until().IsZero() {
			t.Error("nothing is told again")
		}
		e := deadPID(1, 7)
		e.ID, e.Time = "e-1", time.Now()
		r.Tell(e)
		r.happen(deadPID(2, 7))
		r.pass(time.Minute)
		r.want("ops", "problem/1: h2: nginx[7] dead: signal 9, lived 1h0m0s")
		r.end()
	})
}

func TestManyEventsAreTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), opsAlone(5))
		r.start()
		defer func() { r.end() }()
		const n = 30_000
		for i := range n {
			r.happen(deadPID(i%5+1, 1000+i))
		}
		r.pass(time.Minute)
		told := 0
		for _, notice := range r.scripts["ops"].got {
			told += len(notice.Events)
		}
		if told != n {
			t.Errorf("told of %d", told)
		}
	})
}
