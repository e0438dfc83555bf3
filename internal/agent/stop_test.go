package agent

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// told is a watch by the monitor's client, as it comes in.
type told struct {
	seen chan dtc.Sighting
	err  error // once seen is closed
}

// follow watches one process by a connection of its own.
func (f *fixture) follow(cfg config.Agent, pid int) *told {
	f.t.Helper()
	f.eventually("an answer", func() bool {
		_, err := f.info(cfg.LocalHost)
		return err == nil
	})
	w := &told{seen: make(chan dtc.Sighting, 100)}
	c := f.client(cfg.LocalHost)
	go func() {
		defer close(w.seen)
		w.err = c.Watch(f.t.Context(), dtc.Watching{Targets: []dtc.WatchTarget{{PID: pid}}}, func(s dtc.Sighting) error {
			w.seen <- s
			return nil
		})
	}()
	return w
}

func (w *told) next(t *testing.T) dtc.Sighting {
	t.Helper()
	select {
	case s, ok := <-w.seen:
		if !ok {
			t.Fatalf("the watch ended: %v", w.err)
		}
		return s
	case <-time.After(patience):
		t.Fatal("nothing was told")
	}
	return dtc.Sighting{}
}

// Who watches is told that the agent was stopped on purpose, over the network,
// every time; and an agent that starts again tells what ended meanwhile.
func TestLastWord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cfg := config.Agent{LocalHost: f.freePort()}
	f.set(cfg)
	p := exec.Command("sleep", "1000")
	f.check(p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	var run string
	for range 10 {
		a := f.start(PartStatus)
		w := f.follow(cfg, p.Process.Pid)
		if s := w.next(t); s.State != dtc.StateAlive {
			t.Fatalf("told %+v", s)
		}
		a.stop()
		s := w.next(t)
		if s.State != dtc.StateStopped || s.Number != 0 || s.Run != a.info.Run || s.Boot != a.info.Boot || s.Run == run {
			t.Fatalf("the last word is %+v", s)
		}
		if s, ok := <-w.seen; ok {
			t.Fatalf("after the last word came %+v", s)
		}
		if dtc.KindOf(w.err) != dtc.KindUnavailable {
			t.Fatalf("the watch ended with %v", w.err)
		}
		run = s.Run
	}
	f.check(p.Process.Kill())
	_ = p.Wait()
	f.start(PartStatus)
	w := f.follow(cfg, p.Process.Pid)
	if s := w.next(t); s.State != dtc.StateDead || s.AgeMost <= s.Age || s.Exit.Kind != dtc.ExitUnknown {
		t.Errorf("told %+v", s)
	}
	if _, err := os.Stat(f.home + "/state/watch"); err != nil {
		t.Error(err)
	}
}
