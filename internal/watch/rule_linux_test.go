package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// mark is a command line that nobody else has: of a sleep of more than a day.
func mark(t *testing.T) (argument string, rule dtc.ProcessRule) {
	t.Helper()
	argument = fmt.Sprintf("%d.%d", 100_000+rand.IntN(100_000), rand.IntN(1_000_000_000))
	return argument, dtc.ProcessRule{Name: "s", Match: "^sleep " + argument + "$"}
}

// nap starts a process that sleeps.
func nap(t *testing.T, argument string) *exec.Cmd {
	t.Helper()
	c := exec.Command("sleep", argument)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(c) })
	return c
}

func finish(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}

// napAs starts one that has this pid.
func napAs(t *testing.T, pid int, argument string) *exec.Cmd {
	t.Helper()
	for range 2000 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Fatalf("the test needs root to choose a pid: %v", err)
		}
		// One that gets another pid must not match.
		c := exec.Command("sh", "-c", `if [ $$ = "$1" ]; then exec sleep "$2"; fi; exec sleep 1000`, "sh", strconv.Itoa(pid), argument)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { finish(c) })
		if c.Process.Pid == pid {
			return c
		}
		finish(c)
	}
	t.Fatalf("no process got pid %d", pid)
	return nil
}

func TestRuleOfRealProcesses(t *testing.T) {
	argument, r := mark(t)
	r.Min, r.RestartWithin = 2, 20*time.Second
	w := newWatcher(t)
	f := watchRules(t, w, r)
	f.all(t, "s", "missing 0")
	a := nap(t, argument)
	f.all(t, "s", line("alive", a.Process.Pid))
	b := nap(t, argument)
	if s := f.of(t, "s", b.Process.Pid, dtc.StateAlive); s.Process != identify(t, b.Process.Pid) || s.Name != "sleep" {
		t.Errorf("alive as %+v", s)
	}
	f.all(t, "s", "normal 2")

	t.Run("the pid is given to the successor", func(t *testing.T) {
		id := identify(t, a.Process.Pid)
		time.Sleep(2 * startSlack) // the other one is no successor
		finish(a)
		c := napAs(t, a.Process.Pid, argument)
		s := f.of(t, "s", id.PID, dtc.StateRestarted)
		if s.Process != id || s.NewPID != id.PID || s.Exit != (dtc.Exit{Kind: dtc.ExitSignal, Number: 9}) || s.Gap > 10*time.Second {
			t.Errorf("restarted as %+v", s)
		}
		if s := f.of(t, "s", id.PID, dtc.StateAlive); s.Process != identify(t, c.Process.Pid) || s.Process == id {
			t.Errorf("alive as %+v", s)
		}
		f.quiet(t)
	})
}

func TestRuleOfManyThatRestartAtOnce(t *testing.T) {
	const n = 8
	argument, r := mark(t)
	r.Min, r.Max, r.RestartWithin = n, n, 20*time.Second
	olds, news := map[int]bool{}, map[int]bool{}
	var cmds []*exec.Cmd
	for range n {
		c := nap(t, argument)
		cmds, olds[c.Process.Pid] = append(cmds, c), true
	}
	w := newWatcher(t)
	f := watchRules(t, w, r)
	for range n {
		if s := f.next(t); s.State != dtc.StateAlive || !olds[s.Process.PID] {
			t.Fatalf("told %+v", s)
		}
	}
	f.all(t, "s", line("normal", n))
	for _, c := range cmds {
		finish(c)
	}
	for range n {
		news[nap(t, argument).Process.Pid] = true
	}
	heirs := map[int]bool{}
	for range 2 * n {
		switch s := f.next(t); s.State {
		case dtc.StateRestarted:
			if !olds[s.Process.PID] || !news[s.NewPID] || s.Exit.Number != 9 {
				t.Fatalf("told %+v", s)
			}
			delete(olds, s.Process.PID)
			heirs[s.NewPID] = true
		case dtc.StateAlive:
			if !heirs[s.Process.PID] {
				t.Fatalf("told %+v before who it came for", s)
			}
			delete(heirs, s.Process.PID)
			delete(news, s.Process.PID)
		default:
			t.Fatalf("told %+v", s)
		}
	}
	if len(olds)+len(news)+len(heirs) != 0 {
		t.Errorf("not told: the ends of %v, that %v came", olds, news)
	}
	f.quiet(t)
}

// TestRuleOfACrashLoop has a real parent that starts a new process as soon as
// the last one has ended. On a busy machine some come and go unseen; no end is
// told twice for that, and in the end there is who stayed.
func TestRuleOfACrashLoop(t *testing.T) {
	stays, r := mark(t)
	_, digits, _ := strings.Cut(stays, ".")
	crashes := "0.150000" + digits
	r.Match, r.RestartWithin = "^sleep ("+stays+"|"+crashes+")$", 20*time.Second
	w := newWatcher(t)
	f := watchRules(t, w, r)
	f.all(t, "s", "missing 0")
	loop := exec.Command("sh", "-c", `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep "$1"; done; sleep "$2" & echo $!; wait`, "loop", crashes, stays)
	loop.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := loop.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Kill(-loop.Process.Pid, unix.SIGKILL)
		_ = loop.Wait()
	}()
	var stayed int
	if _, err := fmt.Fscan(out, &stayed); err != nil {
		t.Fatal(err)
	}
	alive, ended, heirs := map[dtc.ProcessID]bool{}, 0, map[int]bool{}
	for last := false; !last || len(alive) > 1; { // a successor may be noticed before the end
		s := f.next(t)
		switch s.State {
		case dtc.StateNormal:
		case dtc.StateAlive:
			if alive[s.Process] {
				t.Fatalf("told %+v", s)
			}
			alive[s.Process] = true
			last = s.Process.PID == stayed
		case dtc.StateRestarted:
			late := s.Exit == (dtc.Exit{}) && s.AgeMost > 0 // it was met when it had ended
			if !alive[s.Process] || s.NewPID == s.Process.PID || heirs[s.NewPID] || s.Gap > 10*time.Second || !late && s.Exit != (dtc.Exit{Kind: dtc.ExitCode}) {
				t.Fatalf("told %+v", s)
			}
			delete(alive, s.Process)
			heirs[s.NewPID] = true
			ended++
		default:
			t.Fatalf("told %+v", s)
		}
	}
	if ended == 0 || len(alive) != 1 {
		t.Errorf("%d ends are told, and %d that live", ended, len(alive))
	}
	t.Logf("%d ends of 12 are told", ended)
	f.quiet(t)
}

func TestReplacedByARealProcess(t *testing.T) {
	argument, _ := mark(t)
	a, other := nap(t, argument), nap(t, argument+"1")
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(a.Process.Pid, other.Process.Pid)...)
	f.is(t, a.Process.Pid, dtc.StateAlive)
	f.is(t, other.Process.Pid, dtc.StateAlive)
	w.finder.mu.Lock()
	if len(w.finder.wanted) != 0 {
		t.Errorf("%d rules are looked for", len(w.finder.wanted))
	}
	w.finder.mu.Unlock()
	finish(a)
	f.is(t, a.Process.Pid, dtc.StateDead)
	b := nap(t, argument) // perhaps before the finder has been told
	s := f.is(t, a.Process.Pid, dtc.StateReplaced)
	if s.NewPID != b.Process.Pid || s.Gap > 10*time.Second {
		t.Errorf("replaced as %+v", s)
	}
	f.quiet(t)
	eventually(t, "nobody is looked for", func() bool {
		w.finder.mu.Lock()
		defer w.finder.mu.Unlock()
		return len(w.finder.wanted) == 0
	})
}

func TestRuleOverARestart(t *testing.T) {
	argument, r := mark(t)
	r.Min, r.RestartWithin = 2, time.Minute
	dir := t.TempDir()
	waits, stays, dies := nap(t, argument), nap(t, argument), nap(t, argument)
	first := startRun(t, dir, "run1")
	f := watchRules(t, first.Watcher, r)
	for range 3 {
		f.next(t)
	}
	f.all(t, "s", "normal 3")
	finish(waits)
	eventually(t, "the end waits", func() bool {
		first.mu.Lock()
		defer first.mu.Unlock()
		return len(first.sessions["m"].rules["s"].machine.waiting) == 1
	})
	f.cancel()
	_ = f.wait()
	first.stop()
	stopped := time.Now()
	finish(dies)
	died := time.Now()
	b, c := nap(t, argument), nap(t, argument)
	time.Sleep(50 * time.Millisecond)

	second := startRun(t, dir, "run2")
	f = watchRules(t, second.Watcher, r)
	restarted := map[int]dtc.Sighting{}
	alive := map[int]bool{}
	for len(restarted) < 2 || len(alive) < 3 {
		switch s := f.next(t); s.State {
		case dtc.StateRestarted:
			restarted[s.Process.PID] = s
		case dtc.StateAlive:
			alive[s.Process.PID] = true
		case dtc.StateNormal, dtc.StateStopped:
		default:
			t.Fatalf("told %+v", s)
		}
	}
	if s := restarted[waits.Process.Pid]; s.NewPID != b.Process.Pid || s.Exit.Number != 9 || s.AgeMost != 0 || s.Gap > 10*time.Second {
		t.Errorf("the end that waited is told as %+v", s)
	}
	s := restarted[dies.Process.Pid]
	if s.NewPID != c.Process.Pid || s.Exit.Kind != dtc.ExitUnknown {
		t.Errorf("the end that nobody saw is told as %+v", s)
	}
	unseen(t, s, stopped, died)
	want := []int{stays.Process.Pid, b.Process.Pid, c.Process.Pid}
	if got := slices.Sorted(maps.Keys(alive)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("alive are %v, want %v", got, want)
	}
}

// ruleOrder is what a test tells a watcher of rules in another process.
type ruleOrder struct {
	Rule   *dtc.ProcessRule
	Run    string // with Number: acknowledge
	Number uint64
}

// remoteRules is [remoteRun] of one rule.
func remoteRules(dir string) {
	w := New(Options{Run: fmt.Sprintf("run%x", rand.Uint64()), Dir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	go func() { panic(w.Run(context.Background())) }()
	fmt.Println("ready")
	out := json.NewEncoder(os.Stdout)
	for in := json.NewDecoder(os.Stdin); ; {
		var o ruleOrder
		if err := in.Decode(&o); err != nil {
			return
		}
		if o.Rule == nil {
			_ = w.Acknowledge(context.Background(), "m", o.Run, o.Number)
			continue
		}
		go func() {
			_ = w.Watch(context.Background(), "m", dtc.Watching{Rules: []dtc.ProcessRule{*o.Rule}}, func(s dtc.Sighting) error {
				return out.Encode(s)
			})
		}()
	}
}

// ruleObserver does what a monitor does with a rule.
type ruleObserver struct {
	t    *testing.T
	rule dtc.ProcessRule
	dir  string

	mu    sync.Mutex
	ids   map[string]bool
	alive map[dtc.ProcessID]bool
	ends  map[dtc.ProcessID][]dtc.Sighting
	heirs map[int]bool // pids of those who live that are told to be a successor
}

func (o *ruleObserver) saw(s dtc.Sighting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := fmt.Sprintf("%s-%d", s.Run, s.Number)
	if o.ids[id] {
		return
	}
	o.ids[id] = true
	switch s.State {
	case dtc.StateAlive:
		if len(o.ends[s.Process]) > 0 {
			o.t.Errorf("told alive after its end: %+v", s)
		}
		o.alive[s.Process] = true
		o.rule.KnownBoot = s.Boot
	case dtc.StateDead, dtc.StateRestarted:
		delete(o.alive, s.Process) // if it was told alive: the call that did so may have been cut
		o.ends[s.Process] = append(o.ends[s.Process], s)
		delete(o.heirs, s.Process.PID) // who has the pid after this is another one
		if o.heirs[s.NewPID] {
			o.t.Errorf("%d is the successor of two: %+v", s.NewPID, s)
		}
		if s.NewPID != 0 {
			o.heirs[s.NewPID] = true
		}
	default:
	}
}

// follow is that of [observer].
func (o *ruleObserver) follow(d time.Duration) {
	o.t.Helper()
	c := start(o.t, "ruled "+o.dir)
	orders := json.NewEncoder(c.stdin)
	o.mu.Lock()
	rule := o.rule
	rule.Known = slices.Collect(maps.Keys(o.alive))
	o.mu.Unlock()
	if err := orders.Encode(ruleOrder{Rule: &rule}); err != nil {
		o.t.Fatal(err)
	}
	timer := time.AfterFunc(d, func() { _ = c.Process.Signal(unix.SIGKILL) })
	defer timer.Stop()
	for c.out.Scan() {
		var s dtc.Sighting
		if err := json.Unmarshal(c.out.Bytes(), &s); err != nil {
			continue // the last line may be cut
		}
		if o.saw(s); rand.IntN(3) == 0 {
			_ = orders.Encode(ruleOrder{Run: s.Run, Number: s.Number})
		}
	}
	_ = c.Wait()
}

// TestRuleKilledAgain kills the agent again and again while processes of a rule
// end and come: each end of one that was told alive is told, once, and nobody is
// the successor of two.
func TestRuleKilledAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	const kills = 20
	argument, rule := mark(t)
	rule.Min, rule.RestartWithin = 4, time.Second
	o := &ruleObserver{
		t: t, rule: rule, dir: t.TempDir(),
		ids: map[string]bool{}, alive: map[dtc.ProcessID]bool{}, ends: map[dtc.ProcessID][]dtc.Sighting{}, heirs: map[int]bool{},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	living := map[dtc.ProcessID]*exec.Cmd{}
	ended := map[dtc.ProcessID]bool{}
	begin := func() {
		c := nap(t, argument)
		eventually(t, "it has begun", func() bool {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.Process.Pid))
			return err == nil && string(line) == "sleep\x00"+argument+"\x00"
		})
		living[identify(t, c.Process.Pid)] = c
	}
	for range 6 {
		begin()
	}
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(rand.IntN(int(40 * time.Millisecond)))):
			}
			for id, c := range living { // any
				finish(c)
				delete(living, id)
				ended[id] = true
				break
			}
			if i%5 != 4 || len(living) < 3 {
				begin()
			}
		}
	})
	for range kills {
		o.follow(time.Duration(rand.IntN(int(400 * time.Millisecond))))
	}
	cancel()
	wg.Wait()
	o.follow(4 * time.Second)
	o.follow(time.Second)

	restarted, blind := 0, 0
	for id, list := range o.ends {
		if len(list) != 1 || !ended[id] {
			t.Errorf("the end of %v, which ended %v, is told %d times: %+v", id, ended[id], len(list), list)
		}
		if list[0].State == dtc.StateRestarted {
			restarted++
		}
		if list[0].AgeMost > 0 {
			blind++
		}
	}
	for id := range o.alive {
		if living[id] == nil {
			t.Errorf("the end of %v is not told", id)
		}
	}
	for id := range living {
		if !o.alive[id] {
			t.Errorf("%v lives, which is not told", id)
		}
	}
	t.Logf("%d ended, %d are told, %d as restarts, %d unseen", len(ended), len(o.ends), restarted, blind)
}
