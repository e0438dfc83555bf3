package monitor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
)

// rotation is a fleet of processes that is moved to another CA.
type rotation struct {
	*fleetHome
	agents  []*realAgent
	monitor func() // kills it
	kills   map[ca.Phase]int
}

func (r *rotation) tls() string { return filepath.Join(r.dir, "conf", "tls") }

// ask asks an agent with credentials as they are on the disk now.
func (r *rotation) ask(dir string, role dtc.Role, a *realAgent) error {
	r.t.Helper()
	creds, err := ca.Load(dir, role)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c := r.asker(creds.ToAgents(nil), a.at)
	defer c.Close() // or the monitor would soon have more connections than it may
	_, err = c.Info(ctx)
	return err
}

// protected fails the test if the monitor and an agent do not prove themselves
// to each other, whatever of the two was killed.
func (r *rotation) protected(when string) {
	r.t.Helper()
	for i, a := range r.agents {
		switch err := r.ask(r.tls(), dtc.RoleMonitor, a); dtc.KindOf(err) {
		case dtc.KindCertificate, dtc.KindIdentity, dtc.KindDenied:
			r.t.Fatalf("%s: agent %d: %v", when, i, err)
		default: // it answers, or is not up again
		}
	}
}

func (r *rotation) phase() ca.Phase {
	r.t.Helper()
	if err := r.authority.Reload(); err != nil {
		r.t.Fatal(err)
	}
	return r.authority.Rotation().Phase
}

// killOne kills somebody with SIGKILL and starts it again.
func (r *rotation) killOne() {
	r.t.Helper()
	r.kills[r.phase()]++
	who := rand.IntN(len(r.agents) + 1)
	if who == len(r.agents) {
		r.monitor()
		r.monitor = r.process()
		return
	}
	a := r.agents[who]
	a.signal(syscall.SIGKILL)
	a.ended()
	a.start()
}

// copied returns a copy of the monitor's certificates and keys.
func (r *rotation) copied() string {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), "tls")
	if err := os.CopyFS(dir, os.DirFS(r.tls())); err != nil {
		r.t.Fatal(err)
	}
	for _, key := range []string{"ca.key", "monitor.key", "issued"} {
		if err := os.Chmod(filepath.Join(dir, key), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	return dir
}

// A fleet of processes moves to another CA while they are killed in every phase
// of it. At no time does anybody refuse who belongs to the fleet; at the end
// everything of the old CA is worth nothing, and who was away joins again.
func TestRotationUnderKills(t *testing.T) {
	t.Parallel()
	r := &rotation{fleetHome: newHome(t), kills: map[ca.Phase]int{}}
	var hosts []config.Host
	add := func(name string, ip netip.Addr) *realAgent {
		a := r.newRealAgent(name, ip)
		hosts = append(hosts, config.Host{Name: name, Address: a.at, DetectInterval: time.Hour})
		return a
	}
	for i := range byte(3) {
		r.agents = append(r.agents, add(fmt.Sprintf("web%d", i), loopback(51+i)))
	}
	lost := add("lost", loopback(59))
	r.set(config.Monitor{LocalHost: freePort(t, loopback(1)), Hosts: hosts})
	for _, a := range r.agents {
		a.start()
	}
	r.monitor = r.process()
	old := r.copied()
	r.eventually("the first agent", func() bool { return r.ask(old, dtc.RoleMonitor, r.agents[0]) == nil })

	if _, err := r.authority.Rotate(); err != nil {
		t.Fatal(err)
	}
	r.until(ca.PhaseSpreading, func() {
		if err := r.authority.Leave([]string{"lost"}); err != nil {
			t.Fatal(err)
		}
	})
	r.until(ca.PhaseRenewing, func() {})
	r.eventually("all agents to know the new CA alone", func() bool {
		r.protected("after it")
		for _, a := range r.agents {
			data, err := os.ReadFile(filepath.Join(a.home, "conf", "tls", "ca.crt"))
			if err != nil || !strings.HasPrefix(string(data), "# dtc trust 3\n") || strings.Count(string(data), "BEGIN") != 1 {
				return false
			}
		}
		return true
	})
	t.Logf("killed %v", r.kills)

	stolen, err := ca.Open(old)
	if err != nil {
		t.Fatal(err)
	}
	key, cert, root, err := stolen.IssueOperator("mallory", dtc.RoleOperator, time.Hour)
	dir := filepath.Join(t.TempDir(), "tls")
	if err == nil {
		err = ca.StoreOperator(dir, key, cert, root)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range r.agents {
		r.eventually("an agent's answer", func() bool { return r.ask(r.tls(), dtc.RoleMonitor, a) == nil })
		for what, err := range map[string]error{
			"its old certificate": r.ask(old, dtc.RoleMonitor, a), "a new one by the old CA": r.ask(dir, dtc.RoleOperator, a),
		} {
			if dtc.KindOf(err) != dtc.KindCertificate {
				t.Errorf("the monitor's %s: %v", what, err)
			}
		}
	}
	r.rejoin(lost)
}

// until kills now and then while the fleet is in a phase, at the beginning of
// which it has to wait, until hold ends that.
func (r *rotation) until(phase ca.Phase, release func()) {
	r.t.Helper()
	for range 6 {
		r.killOne()
		r.protected(string(phase))
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	}
	release()
	_ = r.control(VerbTrust, nil) // the service may be on its way up
	r.eventually("the end of "+string(phase), func() bool {
		r.protected(string(phase))
		return r.phase() != phase
	})
}

// rejoin has an agent that was away the whole time join again.
func (r *rotation) rejoin(lost *realAgent) {
	r.t.Helper()
	lost.start()
	r.eventually("the refusal of who was away", func() bool {
		err := r.ask(r.tls(), dtc.RoleMonitor, lost)
		return dtc.KindOf(err) == dtc.KindCertificate && strings.Contains(err.Error(), "join again")
	})
	ip := lost.at.Addr()
	text, err := r.authority.Invite(ca.Invitation{Name: "lost", IPs: []netip.Addr{ip}})
	if err != nil {
		r.t.Fatal(err)
	}
	token, err := ca.ParseToken(text)
	if err != nil {
		r.t.Fatal(err)
	}
	tls := filepath.Join(lost.home, "conf", "tls")
	key, csr, err := ca.AgentKey(tls)
	if err != nil {
		r.t.Fatal(err)
	}
	g, err := r.authority.Redeem(token.Secret, ip, csr, netip.AddrPort{})
	if err == nil {
		err = ca.StoreAgent(tls, key, g.Certificate, g.CA)
	}
	if err != nil || !g.Rejoined {
		r.t.Fatalf("join again: %+v, %v", g, err)
	}
	lost.signal(syscall.SIGKILL)
	lost.ended()
	lost.start()
	r.eventually("the answer of who joined again", func() bool { return r.ask(r.tls(), dtc.RoleMonitor, lost) == nil })
}
