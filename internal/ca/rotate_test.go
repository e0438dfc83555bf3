package ca

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dtc"
)

// speak checks that a monitor and an agent prove themselves to each other, in
// both directions.
func (f *testFleet) speak(t *testing.T, agent *Credentials) {
	t.Helper()
	monitor := f.monitor(t)
	r := shake(t, agent.ServerTLS(nil, "", "h2"), dialing(monitor.ToAgents(nil)(agent.Peer().IPs[0]), "h2"))
	if r.serverErr != nil || r.clientErr != nil {
		t.Fatalf("the monitor asks an agent: %v, %v", r.serverErr, r.clientErr)
	}
	r = shake(t, monitor.ServerTLS(func(p dtc.Peer) bool { return !f.Valid(p) }, "", "h2"), dialing(agent.ToMonitor()(netip.Addr{}), "h2"))
	if r.serverErr != nil || r.clientErr != nil {
		t.Fatalf("an agent dials the monitor: %v, %v", r.serverErr, r.clientErr)
	}
}

// advance goes on with the change, and opens the authority anew as after a
// restart.
func (f *testFleet) advance(t *testing.T, want Phase) {
	t.Helper()
	_, err := f.Advance()
	must(t, err)
	f.Authority = f.reopen(t, f.dir)
	if p := f.Rotation().Phase; p != want {
		t.Fatalf("phase %s, want %s", p, want)
	}
}

// A fleet moves to another CA: it waits in each phase for everybody, who speaks
// with everybody all the time; what the old CA signed is worth nothing after it.
func TestRotate(t *testing.T) {
	f := newFleet(t)
	agents := []*Credentials{f.agent(t, "web1", "10.0.0.7"), f.agent(t, "web2", "10.0.0.8")}
	lost := f.agent(t, "web3", "10.0.0.9")
	operator := f.operator(t, "alice", dtc.RoleOperator)
	f.agent(t, "gone", "10.0.0.10")
	_, err := f.Revoke("gone")
	must(t, err)
	old := f.signing.Load().signer
	all := func() {
		t.Helper()
		for _, a := range agents {
			f.speak(t, a)
		}
	}
	f.advance(t, PhaseSteady)
	began, err := f.Rotate()
	must(t, err)
	if again, err := f.Rotate(); !began || again || err != nil {
		t.Errorf("began %v, again %v, %v", began, again, err)
	}
	f.advance(t, PhaseSpreading)
	all()
	if s := f.contact(t, agents[0]); s.Bundle != 1 || s.List == 0 {
		t.Errorf("the first agent has %+v", s)
	}
	all()
	f.advance(t, PhaseSpreading) // web2 and web3 lack it
	f.contact(t, agents[1])
	f.advance(t, PhaseSpreading)
	if err := f.Leave([]string{"web3", "web9"}); !errors.Is(err, ErrNotIssued) {
		t.Errorf("leave one behind that is not there: %v", err)
	}
	must(t, f.Leave([]string{"web3"}))
	f.advance(t, PhaseRenewing)
	all() // the monitor's certificate is by the new CA, theirs by the old one
	f.speak(t, f.again(t, agents[0]))
	f.contact(t, agents[0])
	all()
	f.advance(t, PhaseRenewing)
	f.contact(t, agents[1])
	joined := f.agent(t, "web4", "10.0.0.11") // in the middle of it
	f.advance(t, PhaseRenewing)
	f.contact(t, joined)
	f.advance(t, PhaseSteady)
	agents = append(agents, joined)
	all() // they have the old one too, as nobody has told them otherwise
	for i, a := range agents {
		if s := f.contact(t, a); s.Bundle != 3 {
			t.Errorf("agent %d trusts number %d", i, s.Bundle)
		}
		agents[i] = f.again(t, a)
		if _, err := os.Stat(filepath.Join(a.dir, "ca.crt")); err != nil || !slices.Equal(f.signing.Load().bundle.encode(), []byte(files(t, a.dir)["ca.crt"])) {
			t.Error("ca.crt is another one than the monitor's")
		}
	}
	all()

	stolen := &signing{signer: old, bundle: f.signing.Load().bundle}
	f.signing.Store(stolen)
	forged, _, err := f.sign(leaf{peer: dtc.Peer{ID: newID(), Role: dtc.RoleMonitor}, key: &old.key.PublicKey})
	must(t, err)
	must(t, f.Reload())
	for name, g := range map[string]dtc.TrustGrant{
		"list":   {List: signed(t, statement{kind: kindList, number: 1 << 62}, old)},
		"bundle": {Bundle: signed(t, statement{kind: kindBundle, number: 1 << 62, items: [][]byte{old.cert.Raw}}, old)},
		"leaf":   {Certificate: forged},
	} {
		if _, err := agents[0].Take(g); err == nil {
			t.Errorf("the old CA's %s counts", name)
		}
	}
	for name, c := range map[string]*Credentials{"who was left behind": lost, "who was not issued again": operator} {
		r := shake(t, agents[0].ServerTLS(nil, "", "h2"), dialing(c.ClientTLS(netip.Addr{}, dtc.RoleAgent, nil), "h2"))
		wantKind(t, r.clientErr, dtc.KindCertificate)
		if r.serverErr == nil || !strings.Contains(r.clientErr.Error(), "it must join again") {
			t.Errorf("%s: %v, %v", name, r.serverErr, r.clientErr)
		}
	}
	for _, m := range f.Rotation().Members {
		if wantLeft := m.Name == "web3"; m.Left != wantLeft || m.Done == wantLeft && m.Role == dtc.RoleAgent {
			t.Errorf("the register has %+v", m)
		}
	}
	f.rejoin(t, lost)
}

// rejoin has an agent that was left behind join again with its old key.
func (f *testFleet) rejoin(t *testing.T, lost *Credentials) {
	t.Helper()
	key, csr, err := AgentKey(lost.dir)
	must(t, err)
	g, err := f.Redeem(f.invite(t, Invitation{Name: "web3", IPs: ips("10.0.0.9")}), ips("10.0.0.9")[0], csr, netip.AddrPort{})
	must(t, err)
	must(t, StoreAgent(lost.dir, key, g.Certificate, g.CA))
	again := f.again(t, lost)
	if again.Peer().ID != lost.Peer().ID {
		t.Error("it has another id")
	}
	f.contact(t, again)
	f.speak(t, again)
	if i := slices.IndexFunc(f.Rotation().Members, func(m Member) bool { return m.Left }); i >= 0 {
		t.Errorf("%s is still left behind", f.Rotation().Members[i].Name)
	}
}

func signed(t *testing.T, s statement, by signer) []byte {
	t.Helper()
	b, err := s.sign(by)
	must(t, err)
	return b
}

// Whatever a crash leaves of a step, the next start goes on with it, and an
// agent that has seen the step's beginning goes with it.
func TestRotateCompletes(t *testing.T) {
	f := newFleet(t)
	agent := f.agent(t, "web1", "10.0.0.7")
	check := func(name string, want Phase, number uint64) {
		t.Helper()
		must(t, f.opts.Init(f.dir, nil)) // dtc init is safe at any time
		f.advance(t, want)
		if got := f.Rotation().Bundle; got != number {
			t.Errorf("%s: number %d, want %d", name, got, number)
		}
		f.speak(t, agent)
	}
	steady := files(t, f.dir)
	_, err := f.Rotate()
	must(t, err)
	// The key was made, ca.crt was not yet.
	f.restore(t, steady, "ca.crt")
	check("cut off at the beginning", PhaseSteady, 0)
	key := files(t, f.dir)["ca-next.key"]
	_, err = f.Rotate()
	must(t, err)
	check("begun again", PhaseSpreading, 1)
	if files(t, f.dir)["ca-next.key"] != key {
		t.Error("a key was overwritten")
	}

	f.contact(t, agent)
	spreading := files(t, f.dir)
	f.advance(t, PhaseRenewing)
	renewing := files(t, f.dir)
	// The new key signs, nothing else has happened.
	f.restore(t, spreading, "ca.crt", "monitor.crt", "issued", "revoked")
	check("cut off after the rename", PhaseRenewing, 2)
	// A power loss took the rename back, but not what came after it.
	f.restore(t, spreading, "ca.key", "ca-next.key")
	check("the rename is undone", PhaseRenewing, 2)
	if files(t, f.dir)["ca.key"] != renewing["ca.key"] {
		t.Error("another key signs")
	}
	// Then the certificate of the monitor is the old one.
	f.restore(t, spreading, "monitor.crt")
	check("the monitor's is not renewed", PhaseRenewing, 2)

	f.contact(t, agent)
	f.advance(t, PhaseSteady)
	f.contact(t, agent)
	check("over", PhaseSteady, 3)
	if now := slices.Sorted(maps.Keys(files(t, f.dir))); slices.Contains(now, "ca-next.key") {
		t.Errorf("left over: %q", now)
	}
	_, err = f.Rotate() // and the next one
	must(t, err)
	check("once more", PhaseSpreading, 4)
}

// restore puts files of before back, and removes those that there were not.
func (f *testFleet) restore(t *testing.T, before map[string]string, names ...string) {
	t.Helper()
	for _, name := range names {
		path, mode := f.path(name), os.FileMode(certMode)
		data, ok := before[name]
		if !ok {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			continue
		}
		if strings.HasSuffix(name, ".key") || name == registerFile {
			mode = 0o600
		}
		must(t, os.WriteFile(path, []byte(data), mode))
	}
}

// An agent that crashes between the files of one handing over starts again, and
// gets the rest.
func TestTakeCompletes(t *testing.T) {
	f := newFleet(t)
	f.agent(t, "gone", "10.0.0.10")
	agent := f.agent(t, "web1", "10.0.0.7")
	_, err := f.Rotate()
	must(t, err)
	_, err = f.Revoke("gone")
	must(t, err)
	for _, want := range []Phase{PhaseRenewing, PhaseSteady, PhaseSteady} {
		before := files(t, agent.dir)
		state, err := agent.State()
		must(t, err)
		offer := f.Offer(state)
		_, err = agent.Take(offer)
		must(t, err)
		if taken, err := agent.Take(offer); err != nil || len(taken) > 0 { // its answer was lost
			t.Errorf("the same once more: took %q, %v", taken, err)
		}
		after := files(t, agent.dir)
		for _, name := range []string{"ca.crt", "revoked"} { // each of them alone
			for other := range after {
				if other != name && after[other] != before[other] {
					if data, ok := before[other]; ok {
						must(t, os.WriteFile(filepath.Join(agent.dir, other), []byte(data), 0o600))
					} else {
						must(t, os.Remove(filepath.Join(agent.dir, other)))
					}
				}
			}
			if name == "ca.crt" && want == PhaseSteady || after[name] == "" {
				continue // this one comes last, or not at all
			}
			must(t, os.WriteFile(filepath.Join(agent.dir, name), []byte(after[name]), 0o600))
			agent = f.again(t, agent)
			f.speak(t, agent)
		}
		f.contact(t, agent)
		f.speak(t, agent)
		f.advance(t, want)
		f.speak(t, agent)
	}
}
