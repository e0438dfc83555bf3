package monitor

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// BenchmarkEnd measures from the signal that kills a watched process to its
// line in the log, over a real agent and a real connection. DTC has 5,000
// watched in mind: set the number as fits the machine.
func TestLatencyTmp(t *testing.T) {
	const watched, ends = 2000, 400
	f := newHome(t)
	a := f.newRealAgent("web1", loopback(15)).start()
	f.listens(a.at)
	host := config.Host{Name: "web1", Address: a.at, DetectInterval: time.Hour}
	var mortals []*mortal
	for range watched {
		m := newMortal(t, "x")
		mortals = append(mortals, m)
		host.PIDs = append(host.PIDs, m.pid)
	}
	f.set(config.Monitor{Hosts: []config.Host{host}})
	f.process()
	f.eventually("all to be alive", func() bool {
		n := 0
		f.read(func(e dtc.Event) { n++ })
		return n >= watched
	})
	time.Sleep(2 * time.Second)
	at := map[int]time.Time{}
	for _, m := range mortals[:ends] {
		at[m.pid] = time.Now()
		if err := m.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = m.cmd.Wait()
		time.Sleep(5 * time.Millisecond)
	}
	var took []time.Duration
	f.eventually("all ends", func() bool {
		took = nil
		f.read(func(e dtc.Event) {
			if e.State == dtc.StateDead {
				took = append(took, e.Time.Sub(at[e.PID]))
			}
		})
		return len(took) >= ends
	})
	slices.Sort(took)
	fmt.Println("p50", took[ends/2], "p90", took[ends*9/10], "p99", took[ends*99/100], "max", took[ends-1])
}
