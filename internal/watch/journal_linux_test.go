package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// order is what a test tells a watcher in another process.
type order struct {
	Watch  []dtc.WatchTarget
	Run    string // with Number: acknowledge
	Number uint64
}

// remoteRun is a watcher that does what its input says and prints what it sees,
// until it is killed.
func remoteRun(dir string) {
	w := New(Options{Run: fmt.Sprintf("run%x", rand.Uint64()), Dir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	go func() { panic(w.Run(context.Background())) }()
	fmt.Println("ready")
	out := json.NewEncoder(os.Stdout)
	for in := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := in.Decode(&o); err != nil {
			return
		}
		if o.Number > 0 {
			_ = w.Acknowledge(context.Background(), "m", o.Run, o.Number)
			continue
		}
		go func() {
			_ = w.Watch(context.Background(), "m", dtc.Watching{Targets: o.Watch}, func(s dtc.Sighting) error { return out.Encode(s) })
		}()
	}
}

// observer does what a monitor does: it writes down what it is told, each event
// once, and acknowledges it some time later.
type observer struct {
	t   *testing.T
	dir string

	mu     sync.Mutex
	ids    map[string]bool
	known  map[int]dtc.WatchTarget
	deaths map[int][]dtc.Sighting
	at     map[int]time.Time // of a death, by the moment at which it was told
}

func (o *observer) wanted() (list []dtc.WatchTarget) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for pid, t := range o.known {
		if len(o.deaths[pid]) == 0 {
			list = append(list, t)
		}
	}
	return list
}

// saw writes down what was told, and says whether that is worth an answer.
func (o *observer) saw(s dtc.Sighting) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := fmt.Sprintf("%s-%d", s.Run, s.Number)
	switch {
	case s.State == dtc.StateAlive:
		o.known[s.Process.PID] = dtc.WatchTarget{PID: s.Process.PID, Known: s.Process, KnownBoot: s.Boot}
	case s.State == dtc.StateReplaced: // all of a herd have one command line
	case s.State != dtc.StateDead:
		o.t.Errorf("told %+v", s)
	case !o.ids[id]:
		o.deaths[s.Process.PID] = append(o.deaths[s.Process.PID], s)
		o.at[s.Process.PID] = time.Now()
	}
	o.ids[id] = true
	return s.State == dtc.StateDead
}

// follow watches by a new agent until that has been killed, which happens after
// a while.
func (o *observer) follow(d time.Duration) {
	o.t.Helper()
	c := start(o.t, "agent "+o.dir)
	orders := json.NewEncoder(c.stdin)
	if err := orders.Encode(order{Watch: o.wanted()}); err != nil {
		o.t.Fatal(err)
	}
	timer := time.AfterFunc(d, func() { _ = c.Process.Signal(unix.SIGKILL) })
	defer timer.Stop()
	for c.out.Scan() {
		var s dtc.Sighting
		if err := json.Unmarshal(c.out.Bytes(), &s); err != nil {
			continue // the last line may be cut
		}
		if o.saw(s) && rand.IntN(3) == 0 {
			_ = orders.Encode(order{Run: s.Run, Number: s.Number})
		}
	}
	_ = c.Wait()
}

// TestKilledAgain kills the agent again and again while processes end: each end
// is told, none as two events, with the right signal where it was seen and with
// true bounds where it was not.
func TestKilledAgain(t *testing.T) {
	const kills, each = 20, 15
	list := herd(t, kills*each+20)
	o := &observer{
		t: t, dir: t.TempDir(),
		ids: map[string]bool{}, known: map[int]dtc.WatchTarget{}, deaths: map[int][]dtc.Sighting{}, at: map[int]time.Time{},
	}
	for _, pid := range list {
		o.known[pid] = dtc.WatchTarget{PID: pid}
	}
	type interval struct{ after, before time.Time }
	killed := make(map[int]interval)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { // ends at any time: also while no agent runs
		for _, pid := range list[20:] {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(rand.IntN(int(20 * time.Millisecond)))):
			}
			if id := identify(t, pid); id.PID == pid {
				o.mu.Lock()
				seen := o.known[pid].Known == id
				o.mu.Unlock()
				if !seen {
					continue // nobody has looked at it yet: its end is none that could be told
				}
			}
			at := interval{after: time.Now()}
			_ = unix.Kill(pid, unix.SIGKILL)
			eventually(t, "it dies", func() bool {
				seen, err := proc.Look(pid)
				return err != nil || seen.Zombie
			})
			at.before = time.Now()
			killed[pid] = at
		}
	})
	for range kills {
		o.follow(time.Duration(rand.IntN(int(300 * time.Millisecond))))
	}
	cancel()
	wg.Wait()
	o.follow(3 * time.Second)
	o.follow(time.Second)

	found, unknown := 0, 0
	for _, pid := range list {
		at, dead := killed[pid]
		if n := len(o.deaths[pid]); n > 1 || dead != (n == 1) {
			t.Errorf("the end of %d, killed %v, is told %d times: %+v", pid, dead, n, o.deaths[pid])
			continue
		}
		if !dead {
			continue
		}
		s, told := o.deaths[pid][0], o.at[pid]
		if s.AgeMost == 0 {
			switch s.Exit {
			case dtc.Exit{Kind: dtc.ExitSignal, Number: 9}:
			case dtc.Exit{}: // it ended between the first look at it and the waiting for it
				unknown++
			default:
				t.Errorf("the exit of %d is %+v", pid, s.Exit)
			}
			continue
		}
		found++
		after, before := told.Add(-s.AgeMost), told.Add(-s.Age)
		wrong := s.Exit.Kind != dtc.ExitUnknown && s.Exit.Number != 9 // known of a zombie
		const late = 200 * time.Millisecond                           // between the agent's clock and the test's look at its own
		if wrong || at.before.Add(late).Before(after) || at.after.After(before.Add(late)) {
			t.Errorf("%d died at %v; it is told to have ended between %v and %v: %+v", pid, at, after, before, s)
		}
	}
	t.Logf("%d ended, %d of them unseen, %d while they were looked at first", len(killed), found, unknown)
	if len(killed) < kills || unknown > kills {
		t.Errorf("%d were killed, %d have an unknown exit", len(killed), unknown)
	}
}

// smallDisk mounts a file system of 256 KiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatalf("the test needs root to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "watch")
	a, b, c := start(t, "exit 1"), start(t, "exit 2"), start(t, "exit 3")
	w := startRun(t, dir, "run1", func(w *Watcher) { w.journal.retry = 20 * time.Millisecond })
	f := watchFor(t, w.Watcher, "m", pids(a.pid, b.pid, c.pid)...)
	for _, child := range []*child{a, b, c} {
		f.is(t, child.pid, dtc.StateAlive)
	}
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	a.end()
	f.is(t, a.pid, dtc.StateDead)
	eventually(t, "the journal rests", func() bool {
		w.mu.Lock()
		w.keepSighting(w.sessions["m"], dtc.Sighting{State: dtc.StateCount, Rule: strings.Repeat("r", 200)}, now())
		w.mu.Unlock()
		w.journal.mu.Lock()
		defer w.journal.mu.Unlock()
		return w.journal.idle
	})
	b.end()
	for f.next(t).Process.PID != b.pid {
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the journal works again", func() bool {
		w.journal.mu.Lock()
		defer w.journal.mu.Unlock()
		return !w.journal.idle
	})
	c.end()
	for f.next(t).Process.PID != c.pid {
	}
	f.stop()
	w.stop()
	if n := strings.Count(w.log.String(), "cannot remember"); n != 1 {
		t.Errorf("%d warnings: %s", n, w.log)
	}
	w = startRun(t, dir, "run2")
	f = watchFor(t, w.Watcher, "m")
	told := map[int]bool{}
	for len(told) < 3 {
		if s := f.next(t); s.State == dtc.StateDead {
			told[s.Process.PID] = true
		}
	}
}

// fill fills a file system with one file.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 4096); ; {
		if _, err := file.Write(block); err != nil {
			return
		}
	}
}

func TestReadOnlyState(t *testing.T) {
	dir := smallDisk(t)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	c := start(t, "exit 3")
	w := startRun(t, filepath.Join(dir, "watch"), "run1", func(w *Watcher) { w.journal.retry = 5 * time.Millisecond })
	f := watchFor(t, w.Watcher, "m", pids(c.pid)...)
	f.is(t, c.pid, dtc.StateAlive)
	c.end()
	f.is(t, c.pid, dtc.StateDead)
	time.Sleep(50 * time.Millisecond)
	f.stop()
	w.stop()
	if n := strings.Count(w.log.String(), "WARN"); n > 2 || n == 0 {
		t.Errorf("%d warnings: %s", n, w.log)
	}
}

// TestZombieOverRestart has a process end while no agent runs, whose parent does
// not reap it: it is dead, once, and its exit is known.
func TestZombieOverRestart(t *testing.T) {
	dir := t.TempDir()
	_, pid := startParent(t, "parent")
	w := startRun(t, dir, "run1")
	f := watchFor(t, w.Watcher, "m", pids(pid)...)
	f.is(t, pid, dtc.StateAlive)
	w.stop()
	_ = unix.Kill(pid, unix.SIGTERM)
	died := time.Now()
	eventually(t, "it is a zombie", func() bool {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return strings.Contains(string(data), ") Z ")
	})
	w = startRun(t, dir, "run2")
	f = watchFor(t, w.Watcher, "m", pids(pid)...)
	dead := f.is(t, pid, dtc.StateDead)
	if dead.Exit != (dtc.Exit{Kind: dtc.ExitSignal, Number: 15}) || dead.AgeMost < time.Since(died)-time.Second || dead.AgeMost <= dead.Age {
		t.Errorf("told %+v", dead)
	}
	f.quiet(t)
	w.ack(t, "m", dead)
	f.stop()
	w.stop()

	w = startRun(t, dir, "run3")
	f = watchFor(t, w.Watcher, "m", pids(pid)...)
	f.is(t, pid, dtc.StateMissing)
	f.quiet(t)
}

// TestPIDIsReusedOverRestart gives the pid to another process while no agent
// runs.
func TestPIDIsReusedOverRestart(t *testing.T) {
	dir := t.TempDir()
	old := start(t, "exit 0")
	id := identify(t, old.pid)
	time.Sleep(30 * time.Millisecond)
	w := startRun(t, dir, "run1")
	f := watchFor(t, w.Watcher, "m", pids(old.pid)...)
	f.is(t, old.pid, dtc.StateAlive)
	w.stop()
	old.kill()
	reuse(t, old.pid)
	w = startRun(t, dir, "run2")
	if len(w.held) != 0 {
		t.Error("the newcomer is watched")
	}
	f = watchFor(t, w.Watcher, "m", pids(old.pid)...)
	if dead := f.is(t, old.pid, dtc.StateDead); dead.Process != id || dead.AgeMost == 0 {
		t.Errorf("told %+v", dead)
	}
	f.quiet(t)
}
