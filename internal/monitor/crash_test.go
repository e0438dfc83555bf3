package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// obstruct has nothing more written under logs/ for one ip, until clear.
func (f *fleetHome) obstruct(ip string) (clear func()) {
	f.t.Helper()
	folder := filepath.Join(f.dir, "logs", ip)
	if err := errors.Join(os.Rename(folder, folder+".away"), os.WriteFile(folder, nil, 0o600)); err != nil {
		f.t.Fatal(err)
	}
	return func() {
		f.t.Helper()
		if err := errors.Join(os.Remove(folder), os.Rename(folder+".away", folder)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// only returns the events of a host that are of one state.
func (f *fleetHome) only(name string, state dtc.State) []string {
	f.t.Helper()
	return slices.DeleteFunc(f.told(name), func(s string) bool { return s != string(state) })
}

// A monitor that is killed between the line of a reboot and its memory of the
// new boot finds the reboot again, and tells it once.
func TestRebootToldOnce(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host()}})
	m := f.start(PartProcess)
	a.watch()
	m.stop()
	path := filepath.Join(f.dir, "state", "watch.json")
	before, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(before), "boot1") {
		t.Fatalf("remembered %q, %v", before, err)
	}
	for i, boot := range []string{"boot2", "boot3"} {
		for range 2 {
			a.restart(dtc.Info{Boot: boot, Run: "run2"})
			m = f.start(PartProcess)
			a.watch()
			m.stop()
			if got := f.only("web1", dtc.StateRebooted); len(got) != i+1 {
				t.Errorf("after %s was told %q", boot, f.told("web1"))
			}
			if err := os.WriteFile(path, before, 0o600); err != nil { // as after a kill
				t.Fatal(err)
			}
		}
	}
}

// Two machines that take turns at one address are two boots, each time.
func TestTurnsOfTwoMachines(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host()}})
	f.start(PartProcess)
	a.watch()
	for i, boot := range []string{"boot2", "boot1", "boot2"} {
		a.restart(dtc.Info{Boot: boot, Run: "run1"})
		a.watch()
		if got := f.only("web1", dtc.StateRebooted); len(got) != i+1 {
			t.Errorf("after turn %d was told %q", i, f.told("web1"))
		}
	}
}

// A host that falls while nothing can be written is told when something can
// be; until then the program's own log says once what is in the way.
func TestOutageOnFullDisk(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	m := f.start(PartProcess)
	a.watch().emit(t, alive("run1", 1, 1))
	a.acknowledged(1)
	clear := f.obstruct("127.0.0.11")
	a.stop()
	f.eventually("the error", func() bool { return strings.Contains(m.log.String(), "cannot be recorded") })
	clear()
	f.wantTold("web1", "1 alive", "unreachable")
	a.start()
	f.wantTold("web1", "1 alive", "unreachable", "reachable")
	log := m.log.String()
	if n, again := strings.Count(log, "cannot be recorded"), strings.Count(log, "is recorded again"); n != 1 || again != 1 {
		t.Errorf("logged %d and %d times", n, again)
	}
}

// What could be told of a host that is back is not told again because the next
// event cannot be written yet.
func TestBackOnFullDisk(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	m := f.start(PartProcess)
	a.watch().emit(t, alive("run1", 1, 1))
	a.acknowledged(1)
	a.stop()
	f.wantTold("web1", "1 alive", "unreachable")
	var inTheWay []string
	for _, day := range []time.Time{time.Now(), time.Now().AddDate(0, 0, 1)} { // a reboot stands in the hidden file
		path := filepath.Join(f.dir, "logs", "127.0.0.11", ".127.0.0.11_events_"+day.Format(time.DateOnly)+".log")
		if err := os.Mkdir(path, 0o750); err != nil {
			t.Fatal(err)
		}
		inTheWay = append(inTheWay, path)
	}
	a.restart(dtc.Info{Boot: "boot2", Run: "run2"})
	f.eventually("the error", func() bool { return strings.Contains(m.log.String(), "cannot be recorded") })
	for _, path := range inTheWay {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	a.watch()
	if got := f.told("web1"); !slices.Equal(got, []string{"1 alive", "unreachable", "reachable", "rebooted"}) {
		t.Errorf("told %q", got)
	}
}

// Who came after a watched pid is told over a lost link, a restart of the
// monitor, and when the pid has been taken out since.
func TestReplacedLater(t *testing.T) {
	t.Parallel()
	replaced := func(number uint64, pid int) dtc.Sighting {
		s := dead("run1", number, pid, 0)
		s.State, s.NewPID, s.Gap = dtc.StateReplaced, 7, 3*time.Second
		return s
	}
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1, 2, 3)}})
	m := f.start(PartProcess)
	w := a.watch()
	for pid := 1; pid <= 3; pid++ {
		w.emit(t, dead("run1", uint64(pid), pid, 0))
	}
	a.restart(dtc.Info{Boot: "boot1", Run: "run1"})
	w = a.watch()
	w.emit(t, replaced(4, 1))
	a.acknowledged(4)
	m.stop()
	m = f.start(PartProcess)
	w = a.watch()
	w.emit(t, replaced(4, 1))
	w.emit(t, replaced(5, 2))
	a.acknowledged(5)
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}})
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.ended(t)
	w = a.watch()
	w.emit(t, replaced(6, 3))
	a.acknowledged(6)
	told := slices.DeleteFunc(f.told("web1"), func(s string) bool { return strings.HasSuffix(s, "reachable") })
	if want := []string{"1 dead", "2 dead", "3 dead", "1 replaced as 7", "2 replaced as 7", "3 replaced as 7"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if strings.Contains(m.log.String(), "left out") {
		t.Error("an honest agent is called strange")
	}
}

// What was wrong with a rule is told to be well when its condition is mended,
// also over a restart of the monitor.
func TestMendedRule(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		f := newHome(t)
		a := f.newAgent("web1", loopback(11)).start()
		rule := web()
		f.set(config.Monitor{Hosts: []config.Host{a.ruled(rule)}})
		m := f.start(PartProcess)
		w := a.watch()
		w.emit(t, whole("run1", 1, "web", dtc.StateCount, 1))
		a.acknowledged(1)
		rule.Match = "nginx"
		f.set(config.Monitor{Hosts: []config.Host{a.ruled(rule)}})
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.ended(t)
		if w = a.watch(); len(w.rules[0].Known) != 0 || w.rules[0].KnownBoot != "" {
			t.Errorf("known are %+v", w.rules[0])
		}
		if restart {
			m.stop()
			m = f.start(PartProcess)
			w = a.watch()
		}
		w.emit(t, whole("run1", 2, "web", dtc.StateNormal, 2))
		w.emit(t, whole("run1", 3, "web", dtc.StateNormal, 2))
		a.acknowledged(3)
		f.wantTold("web1", "web count 1 of 2", "web normal 2 of 2")
		m.stop()
	}
}

// A sighting that has to wait for its turn is as much older when it is written.
// What a routine check finds as it was known waits for nothing.
func TestSlowAgent(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11))
	h := a.ruled(web())
	h.PIDs = []int{1}
	f.set(config.Monitor{Hosts: []config.Host{h}})
	m := f.start(PartLog) // it watches nothing itself
	w := newHostWatch(m.Monitor, h, func() {})
	w.wanted(h)
	see := func(s dtc.Sighting, how check) {
		t.Helper()
		if err := w.saw(t.Context(), s, how); err != nil {
			t.Fatal(err)
		}
	}
	see(alive("run1", 1, 1), check{})
	see(of("web", alive("run1", 2, 2)), check{})
	left := w.pace.left
	routine := check{routine: true, answered: map[subject]bool{}}
	see(alive("", 0, 1), routine)
	see(of("web", alive("", 0, 2)), routine)
	see(whole("", 0, "web", dtc.StateCount, 1), routine)
	if w.pace.left != left {
		t.Errorf("a routine check took %.0f bytes of what the agent may tell", left-w.pace.left)
	}
	if see(of("web", alive("", 0, 3)), routine); w.pace.left >= left {
		t.Error("a new process took nothing")
	}
	const late = 1200 * time.Millisecond
	w.pace.left = -late.Seconds() * paceSecond
	see(dead("run1", 3, 1, 0), check{})
	f.read(func(e dtc.Event) {
		if e.State == dtc.StateDead && (e.DiedAt.IsZero() || e.Time.Sub(e.DiedAt) < late) {
			t.Errorf("told at %s, died at %s", e.Time, e.DiedAt)
		}
	})
}
