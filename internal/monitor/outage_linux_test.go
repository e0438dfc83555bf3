package monitor

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// smallDisk moves a folder onto a file system of 1 MiB.
func smallDisk(t *testing.T, dir string) {
	t.Helper()
	away := t.TempDir()
	put := func(from, to string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	put(dir, away)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("the test needs root to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	put(away, dir)
}

// fill takes all the room there is.
func fill(t *testing.T, dir string) (clear func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// again gives sightings until they are recorded.
func (a *agent) again(t *testing.T, sightings ...dtc.Sighting) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		if time.Now().After(end) {
			t.Fatal("they are not recorded")
		}
		w := a.watch()
		failed := false
		for _, s := range sightings {
			failed = failed || sendOr(t.Context(), w, s) != nil
		}
		if !failed {
			a.acknowledged(sightings[len(sightings)-1].Number)
			return
		}
	}
}

// While nothing can be recorded whoever is to know is told so, and when that is
// over. Nothing of it is told twice, and no end is lost.
func TestBlind(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{"logs": "logs", "all": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, h := newHome(t), newHook(t)
			dir := filepath.Join(f.dir, part)
			if err := os.MkdirAll(dir, 0o750); err != nil {
				t.Fatal(err)
			}
			smallDisk(t, dir)
			a := f.newAgent("web1", loopback(11)).start()
			host := a.ruled(web())
			host.PIDs = []int{1}
			f.set(config.Monitor{
				Hosts:     []config.Host{host},
				Receivers: []config.Receiver{h.receiver("ops"), h.receiver("db", "db*")},
			})
			m := f.start(PartProcess, PartNotify)
			w := a.watch()
			w.emit(t, alive("run1", 1, 1))
			a.acknowledged(1)
			clear := fill(t, dir)
			// The last block of a log has room for a few lines more.
			number := uint64(2)
			for ; ; number++ {
				s := of("web", alive("run1", number, int(number)))
				s.Name = strings.Repeat("n", 500)
				if sendOr(t.Context(), w, s) != nil {
					break
				}
			}
			down := h.wait(1)[0]
			if e := down.Events; down.Kind != "problem" || len(e) != 1 || e[0].State != "paused" || e[0].Host != "monitor" || e[0].Kind != "host" {
				t.Errorf("told %+v", down)
			}
			want := "events cannot be written to logs/127.0.0.11: no space left on device; ends wait on their hosts"
			if !strings.Contains(m.log.String(), want) || !strings.Contains(down.Title, "recording paused: events cannot be written") {
				t.Errorf("told %q, logged\n%s", down.Title, m.log.String())
			}
			clear()
			a.again(t, dead("run1", number+1, 1, time.Minute))
			f.checkResumed(h, down)
		})
	}
}

// checkResumed waits until the end of an outage is told, and then checks what is
// recorded of it and told.
func (f *fleetHome) checkResumed(h *hook, down told) {
	f.t.Helper()
	var events []string
	f.eventually("the recovery", func() bool {
		events = nil
		for _, n := range h.notices() {
			for _, e := range n.Events {
				events = append(events, n.Receiver+" "+n.Kind+" "+e.State)
			}
		}
		return len(events) >= 3
	})
	slices.Sort(events)
	if want := []string{"ops problem dead", "ops problem paused", "ops recovery resumed"}; !slices.Equal(events, want) {
		f.t.Errorf("told %q, want %q", events, want)
	}
	if got := f.told("monitor"); !slices.Equal(got, []string{"paused", "resumed"}) {
		f.t.Errorf("recorded %q", got)
	}
	f.read(func(e dtc.Event) {
		if e.State == dtc.StatePaused && e.ID != down.Events[0].Event {
			f.t.Errorf("recorded %+v, told %+v", e, down)
		}
	})
	if ends := f.only("web1", "1 dead"); len(ends) != 1 {
		f.t.Errorf("recorded %q", ends)
	}
}

// A service that is stopped while it is blind says when it starts again that
// this is over. A failure that nobody repeats, and one of another moment, is
// none.
func TestBlindOverRestart(t *testing.T) {
	t.Parallel()
	f, h := newHome(t), newHook(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}, Receivers: []config.Receiver{h.receiver("ops")}})
	m := f.start(PartProcess, PartNotify)
	a.watch().emit(t, alive("run1", 1, 1))
	a.acknowledged(1)
	m.outage.failed(a.at, errors.New("a failure of a moment")) // the folder is as it should be
	f.eventually("its end", func() bool { return len(m.outage.all()) == 0 })
	clear := f.obstruct("127.0.0.11")
	a.stop()
	down := h.wait(1)[0]
	if down.Events[0].State != "paused" || !strings.Contains(down.Title, "not a directory") {
		t.Errorf("told %+v", down)
	}
	f.eventually("its record", func() bool { return len(f.told("monitor")) == 1 })
	m.stop()
	clear()
	f.start(PartProcess, PartNotify)
	f.wantTold("monitor", "paused", "resumed")
	f.eventually("the recovery", func() bool {
		return slices.ContainsFunc(h.notices(), func(n told) bool { return n.Kind == "recovery" && n.Events[0].State == "resumed" })
	})
}
