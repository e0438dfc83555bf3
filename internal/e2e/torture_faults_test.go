//go:build linux

package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// side is one of the things that faults happen to: the agent, the monitor, the
// link, the disk. Its faults come one after the other.
type side struct {
	*world
	rnd  *rand.Rand
	name string
	stop chan struct{} // closed when the writers are done
}

// over waits up to so many milliseconds, and reports whether the writers are done
// with.
func (s *side) over(ms int) bool {
	select {
	case <-s.stop:
		return true
	case <-time.After(time.Duration(s.rnd.IntN(ms*1000)) * time.Microsecond):
		return false
	}
}

// run has faults happen until the writers are done, and heals what is broken.
func (s *side) run(g grammar[*side], pace int) {
	for !s.over(pace) {
		p := g.pick(s.rnd)
		s.log.add("%s: %s", s.name, p.name)
		p.do(s)
	}
}

// onAgent is what happens to the agent.
func onAgent() grammar[*side] {
	return grammar[*side]{
		{"kill -9", 20, func(s *side) { s.killed(0) }},
		{"kill -9, away", 5, func(s *side) { s.killed(1200) }},
		{"kill -9 in a row", 3, func(s *side) {
			for range 3 + s.rnd.IntN(8) {
				s.killed(0)
				if s.over(125) {
					return
				}
			}
		}},
		{"SIGTERM", 3, func(s *side) { s.terminated() }},
		{"SIGSTOP", 4, func(s *side) { s.frozen(2500) }},
		{"state removed", 2, func(s *side) {
			s.killAgent()
			must(os.RemoveAll(filepath.Join(s.agentHome, "state")))
			s.startAgent()
		}},
		{"left out of the configuration", 2, (*side).reload},
		{"nothing", 4, func(s *side) { s.over(2000) }},
	}
}

func (s *side) killed(away int) {
	s.killAgent()
	s.count.add(func(t *tally) { t.agentKills++ })
	if away > 0 {
		s.over(away)
	}
	s.startAgent()
}

func (s *side) terminated() {
	s.agent.end(syscall.SIGTERM)
	s.eachLives((*lives).end)
	s.count.add(func(t *tally) { t.restarts++ })
	s.over(100)
	s.startAgent()
}

func (s *side) frozen(ms int) {
	s.eachLives((*lives).stop)
	s.agent.signal(syscall.SIGSTOP)
	s.over(ms)
	s.agent.signal(syscall.SIGCONT)
	s.eachLives((*lives).cont)
	s.count.add(func(t *tally) { t.pauses++ })
}

// onMonitor is what happens to the monitor.
func onMonitor() grammar[*side] {
	return grammar[*side]{
		{"kill -9", 20, func(s *side) { s.monitorKilled(0) }},
		{"kill -9, away", 5, func(s *side) { s.monitorKilled(2500) }},
		{"kill -9 in a row", 3, func(s *side) {
			for range 3 + s.rnd.IntN(8) {
				s.monitorKilled(0)
				if s.over(125) {
					return
				}
			}
		}},
		{"SIGTERM", 3, func(s *side) {
			s.serve.end(syscall.SIGTERM)
			s.count.add(func(t *tally) { t.restarts++ })
			s.over(100)
			s.startServe()
		}},
		{"SIGSTOP", 4, func(s *side) {
			s.serve.signal(syscall.SIGSTOP)
			s.over(2500)
			s.serve.signal(syscall.SIGCONT)
			s.count.add(func(t *tally) { t.pauses++ })
		}},
		{"state removed", 2, func(s *side) {
			s.serve.kill()
			must(os.RemoveAll(filepath.Join(s.home, "state")))
			s.startServe()
		}},
		{"nothing", 4, func(s *side) { s.over(2000) }},
	}
}

func (s *side) monitorKilled(away int) {
	s.serve.kill()
	s.count.add(func(t *tally) { t.monitorKills++ })
	if away > 0 {
		s.over(away)
	}
	s.startServe()
}

// onLink is what happens to the link.
func onLink() grammar[*side] {
	return grammar[*side]{
		{"cut", 10, func(s *side) { s.link.cut() }},
		{"cut after some bytes", 10, func(s *side) {
			n := s.rnd.Int64N(1 << uint(6+s.rnd.IntN(16)))
			s.link.set(func() { s.link.left = n })
		}},
		{"down", 6, func(s *side) {
			s.link.set(func() { s.link.refuse = true })
			s.link.cut()
			s.over(2500)
			s.link.heal()
		}},
		{"down for long", 0, func(s *side) {
			s.link.set(func() { s.link.refuse = true })
			s.link.cut()
			time.Sleep(sight + 2*time.Second)
			s.link.heal()
		}},
		{"blackhole", 4, func(s *side) { s.hold(true, true, false) }},
		{"blackhole, then cut", 4, func(s *side) { s.hold(true, true, true) }},
		{"answers lost", 6, func(s *side) { s.hold(false, true, true) }},
		{"answers late", 4, func(s *side) { s.hold(false, true, false) }},
		{"half open", 1, func(s *side) { s.link.halfOpen() }},
		{"slow", 3, func(s *side) {
			s.link.set(func() { s.link.rate = 20_000 + s.rnd.Int64N(2_000_000) })
			s.over(3000)
			s.link.heal()
		}},
		{"nothing", 10, func(s *side) { s.over(2000) }},
	}
}

// hold keeps bytes back for a while; cut drops them with the connection.
func (s *side) hold(there, back, cut bool) { //nolint:revive // flags of the link
	s.link.set(func() { s.link.held = [2]bool{there, back} })
	s.over(2500)
	if cut {
		s.link.cut()
	}
	s.link.heal()
}
