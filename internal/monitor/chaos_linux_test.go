package monitor

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// mortal is a process that ends as it is told: with an exit code, or by a
// signal.
type mortal struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	pid  int
	exit dtc.Exit  // how it has ended
	died time.Time // and when it was gone
}

func newMortal(t *testing.T, mark string) *mortal {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read n; exit $n", mark)
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &mortal{cmd: cmd, in: in, pid: cmd.Process.Pid}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // of a kill
		}
	})
	return p
}

// die ends the process, and returns when it is gone.
func (p *mortal) die(t *testing.T) {
	t.Helper()
	var err error
	if rand.IntN(2) == 0 {
		p.exit = dtc.Exit{Kind: dtc.ExitCode, Number: rand.IntN(200)}
		_, err = fmt.Fprintln(p.in, p.exit.Number)
	} else {
		signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGUSR1}[rand.IntN(3)]
		p.exit = dtc.Exit{Kind: dtc.ExitSignal, Number: int(signal)}
		err = p.cmd.Process.Signal(signal)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it is to fail
	p.died = time.Now()
}

// Processes end at random, watched by pid or by a rule, while the agent and the
// service are killed and the link is cut, twenty times each: each end is one
// line, with the right exit or, where nobody was there to see it, bounds of its
// time, and in the order in which they happened.
func TestEndsOverKills(t *testing.T) {
	t.Parallel()
	const each, perStep = 20, 4
	f := newHome(t)
	a := f.newRealAgent("web1", loopback(14)).start()
	at := freePort(t, loopback(14))
	p := newProxy(t, at, a.at)
	f.listens(a.at)

	steps := []string{}
	for range each {
		steps = append(steps, "agent", "monitor", "link")
	}
	rand.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	mark := fmt.Sprintf("mortal-%d", os.Getpid())
	host := config.Host{Name: "web1", Address: at, DetectInterval: time.Hour}
	var mortals []*mortal
	for i := range (len(steps) + 1) * perStep {
		var m *mortal
		if i%2 == 0 {
			m = newMortal(t, "alone")
			host.PIDs = append(host.PIDs, m.pid)
		} else {
			m = newMortal(t, mark)
		}
		mortals = append(mortals, m)
	}
	host.Rules = []dtc.ProcessRule{{Name: "mortals", Match: mark + "$", Min: 1}}
	f.set(config.Monitor{Hosts: []config.Host{host}})
	kill := f.process()
	f.eventually("all to be alive", func() bool {
		alive := map[int]bool{}
		f.read(func(e dtc.Event) { alive[e.PID] = alive[e.PID] || e.State == dtc.StateAlive })
		return len(alive) >= len(mortals)
	})

	left := slices.Clone(mortals)
	dieSome := func() {
		for range min(perStep, len(left)) {
			left[0].die(t)
			left = left[1:]
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
	}
	for _, step := range steps {
		switch step {
		case "agent":
			a.signal(syscall.SIGKILL)
			a.ended()
			if rand.IntN(2) == 0 {
				dieSome()
			}
			a.start()
		case "monitor":
			kill()
			if rand.IntN(2) == 0 {
				dieSome()
			}
			kill = f.process()
		case "link":
			p.cut()
		}
		if rand.IntN(2) == 0 {
			dieSome()
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
	}
	for len(left) > 0 {
		dieSome()
	}
	f.checkEnds(mortals, a.starts)
}

// attaching is how long after its start an agent may be about to open what it
// watches: how ends what is gone by then, nobody can say.
const attaching = 2 * time.Second

// checkEnds waits until all ends are told, and checks how. starts are those of
// the agent.
func (f *fleetHome) checkEnds(mortals []*mortal, starts []time.Time) {
	f.t.Helper()
	byPID, order := map[int]*mortal{}, map[int]int{}
	for i, m := range mortals {
		byPID[m.pid], order[m.pid] = m, i
	}
	var ends []dtc.Event
	f.eventually("all ends", func() bool {
		ends = nil
		f.read(func(e dtc.Event) {
			if e.State == dtc.StateDead {
				ends = append(ends, e)
			}
		})
		return len(ends) >= len(mortals)
	})
	unknown, last := 0, map[bool]int{true: -1, false: -1}
	for _, e := range ends {
		m := byPID[e.PID]
		if m == nil {
			f.t.Errorf("an end that was none, or told twice: %+v", e)
			continue
		}
		delete(byPID, e.PID)
		switch {
		case e.Exit.Kind == dtc.ExitUnknown && (e.DiedBefore.IsZero() || e.DiedAfter.IsZero()):
			if !slices.ContainsFunc(starts, func(t time.Time) bool { return m.died.After(t) && m.died.Before(t.Add(attaching)) }) {
				f.t.Errorf("%d: an unknown end without bounds: %+v", e.PID, e)
			}
			unknown++
		case e.Exit.Kind == dtc.ExitUnknown:
			unknown++
		case *e.Exit != m.exit:
			f.t.Errorf("%d ended with %+v, told is %+v", e.PID, m.exit, *e.Exit)
		case order[e.PID] < last[e.Rule == ""]:
			f.t.Errorf("%d is told after one that ended later", e.PID)
		default:
			last[e.Rule == ""] = order[e.PID]
		}
	}
	if len(byPID) > 0 {
		f.t.Errorf("%d ends are not told", len(byPID))
	}
	f.t.Logf("%d ends, %d of them seen by nobody", len(ends), unknown)
}
