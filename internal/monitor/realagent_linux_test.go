package monitor

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// An agent that stands still cannot be asked; that is told, and its processes
// are not called dead.
func TestStandingAgent(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newRealAgent("web1", loopback(12)).start()
	f.listens(a.at)
	f.set(config.Monitor{Hosts: []config.Host{{Name: "web1", Address: a.at, PIDs: []int{os.Getpid()}, DetectInterval: time.Hour}}})
	f.start(PartProcess)
	alive := fmt.Sprintf("%d alive", os.Getpid())
	f.wantTold("web1", alive)
	a.signal(syscall.SIGSTOP)
	f.wantUnreachable("web1", time.Now(), alive)
	a.signal(syscall.SIGCONT)
	f.wantTold("web1", alive, "unreachable", "reachable")
}

// An agent that is stopped on purpose says so; one that is killed cannot.
func TestStoppedAgent(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newRealAgent("web1", loopback(12)).start()
	f.listens(a.at)
	f.set(config.Monitor{Hosts: []config.Host{{Name: "web1", Address: a.at, PIDs: []int{os.Getpid()}, DetectInterval: time.Hour}}})
	m := f.start(PartProcess)
	alive := fmt.Sprintf("%d alive", os.Getpid())
	f.wantTold("web1", alive)
	a.signal(syscall.SIGTERM)
	a.ended()
	f.wantTold("web1", alive, "stopped", "unreachable")
	m.stop() // which is remembered over restarts of the monitor
	f.start(PartProcess)
	a.start()
	f.wantTold("web1", alive, "stopped", "unreachable", "reachable", alive)
	a.signal(syscall.SIGKILL)
	a.ended()
	f.wantTold("web1", alive, "stopped", "unreachable", "reachable", alive, "unreachable")
}

// listens waits until somebody listens at an address.
func (f *fleetHome) listens(at netip.AddrPort) {
	f.t.Helper()
	f.eventually("the agent", func() bool {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// sleeper starts a process that does nothing, and returns its pid and what
// kills it.
func sleeper(t *testing.T, mark string) (pid int, kill func()) {
	t.Helper()
	cmd := exec.Command("sleep", mark)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // of a kill
	})
	t.Cleanup(kill)
	return cmd.Process.Pid, kill
}

// A rule over restarts of its process, kills of the agent and of the monitor:
// each change is told, once.
func TestRuleOfRealAgent(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newRealAgent("web1", loopback(13)).start()
	f.listens(a.at)
	mark := fmt.Sprintf("98765.%d", os.Getpid())
	rule := dtc.ProcessRule{Name: "web", Match: "^sleep " + mark + "$", Min: 1, RestartWithin: 3 * time.Second}
	f.set(config.Monitor{Hosts: []config.Host{{Name: "web1", Address: a.at, Rules: []dtc.ProcessRule{rule}, DetectInterval: time.Hour}}})
	m := f.start(PartProcess)
	var want []string
	tell := func(more ...string) {
		t.Helper()
		want = append(want, more...)
		var got []string
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			got = slices.DeleteFunc(f.told("web1"), func(s string) bool { return strings.HasSuffix(s, "reachable") })
			if len(got) >= len(want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("told %q, want %q", got, want)
		}
	}
	tell("web missing 0 of 1")
	first, killFirst := sleeper(t, mark)
	tell(fmt.Sprintf("web %d alive", first), "web normal 1 of 1")
	killFirst()
	second, killSecond := sleeper(t, mark)
	tell(fmt.Sprintf("web %d restarted as %d", first, second), fmt.Sprintf("web %d alive", second))

	// The agent is killed, and the process ends before it comes again.
	a.signal(syscall.SIGKILL)
	a.ended()
	killSecond()
	a.start()
	tell(fmt.Sprintf("web %d dead", second), "web missing 0 of 1")
	f.read(func(e dtc.Event) {
		if e.PID == second && e.State == dtc.StateDead && (e.Exit.Kind != dtc.ExitUnknown || e.DiedBefore.Before(e.DiedAfter) || e.DiedAfter.IsZero()) {
			t.Errorf("an end that nobody saw: %+v", e)
		}
	})
	third, killThird := sleeper(t, mark)
	tell(fmt.Sprintf("web %d alive", third), "web normal 1 of 1")

	// The monitor is away while the process ends, and another comes too late.
	m.stop()
	killThird()
	time.Sleep(rule.RestartWithin + time.Second)
	fourth, _ := sleeper(t, mark)
	f.start(PartProcess)
	tell(fmt.Sprintf("web %d dead", third), "web missing 0 of 1", fmt.Sprintf("web %d alive", fourth), "web normal 1 of 1")
	f.read(func(e dtc.Event) {
		if e.PID == third && e.State == dtc.StateDead && (e.Exit.Kind != dtc.ExitSignal || e.Exit.Number != 9 || e.Time.Sub(e.DiedAt) < rule.RestartWithin) {
			t.Errorf("an end that the agent saw: %+v %+v", e, e.Exit)
		}
	})
}
