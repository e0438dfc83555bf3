package monitor

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	real "dtc/internal/agent"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/wire"
)

// inhabitant is a real agent in this process.
type inhabitant struct {
	f    *fleetHome
	name string
	home string
	cfg  config.Agent
	log  *syncBuffer
	stop func()
}

// member makes the home of an agent that was certified some time ago.
func (f *fleetHome) member(name string, ago time.Duration, cfg config.Agent, ips ...netip.Addr) *inhabitant {
	f.t.Helper()
	then := time.Now().Add(-ago)
	authority, err := ca.Options{Now: func() time.Time { return then }}.Open(filepath.Join(f.dir, "conf", "tls"))
	if err != nil {
		f.t.Fatal(err)
	}
	key, cert, root, _, err := authority.Issue(name, ips)
	if err != nil {
		f.t.Fatal(err)
	}
	m := &inhabitant{f: f, name: name, home: f.t.TempDir(), cfg: cfg, log: &syncBuffer{}}
	if err := ca.StoreAgent(m.tls(), key, cert, root); err != nil {
		f.t.Fatal(err)
	}
	if err := f.authority.Reload(); err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (m *inhabitant) tls() string { return filepath.Join(m.home, "conf", "tls") }

func (m *inhabitant) file(name string) string {
	m.f.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.tls(), name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.f.t.Fatal(err)
	}
	return string(data)
}

func (m *inhabitant) start() *inhabitant {
	m.f.t.Helper()
	a, err := real.New(real.Options{
		Home: m.home, Config: m.cfg, Load: func() (config.Agent, error) { return m.cfg, nil },
		Version: "1.0.0", Logger: slog.New(slog.NewTextHandler(m.log, nil)),
	})
	if err != nil {
		m.f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			m.f.t.Errorf("the agent %s: %v", m.name, err)
		}
	})
	m.stop = func() {
		cancel()
		running.Wait()
	}
	m.f.t.Cleanup(func() {
		m.stop()
		if m.f.t.Failed() {
			m.f.t.Logf("the agent %s:\n%s", m.name, m.log)
		}
	})
	return m
}

// record returns what the register has of the agent.
func (m *inhabitant) record() ca.Record {
	m.f.t.Helper()
	if err := m.f.authority.Reload(); err != nil {
		m.f.t.Fatal(err)
	}
	all := m.f.authority.Issued()
	return all[slices.IndexFunc(all, func(r ca.Record) bool { return r.Name == m.name })]
}

// host is the agent for the configuration.
func (m *inhabitant) host() config.Host {
	return config.Host{Name: m.name, Address: m.cfg.LocalHost, DetectInterval: time.Hour}
}

// reaches waits until the monitor watches an agent.
func (r *running) reaches(m *inhabitant) {
	m.f.t.Helper()
	m.f.eventually("the first contact with "+m.name, func() bool {
		l, known := r.fleet.State(fleet.Host{Address: m.cfg.LocalHost})
		return known && l.Up
	})
}

// oldHome is a home whose CA was made some time ago.
func oldHome(t *testing.T, ago time.Duration) *fleetHome {
	t.Helper()
	f := &fleetHome{t: t, dir: t.TempDir()}
	dir, then := filepath.Join(f.dir, "conf", "tls"), time.Now().Add(-ago)
	err := ca.Options{Now: func() time.Time { return then }}.Init(dir, []netip.Addr{loopback(1)})
	if err == nil {
		f.authority, err = ca.Open(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const months = 30 * 24 * time.Hour

// Certificates that have come to two thirds of their life are renewed, of an
// agent that only listens and of one that only dials; those that have not are
// not. The connections go on.
func TestRenewals(t *testing.T) {
	t.Parallel()
	f := oldHome(t, 10*months)
	at := freePort(t, loopback(1))
	listens := f.member("listens", 9*months, config.Agent{LocalHost: freePort(t, loopback(41))}, loopback(41))
	dials := f.member("dials", 9*months, config.Agent{MonitorHost: at, ScanFileTime: time.Second}, loopback(42))
	young := f.member("young", 3*months, config.Agent{LocalHost: freePort(t, loopback(43))}, loopback(43))
	f.set(config.Monitor{LocalHost: at, Hosts: []config.Host{listens.host(), young.host()}})
	ends := young.record().Expires
	before := map[*inhabitant]string{}
	for _, m := range []*inhabitant{listens, dials, young} {
		before[m] = m.file("agent.crt")
		m.start()
	}
	s := f.start()
	s.reaches(listens)
	for _, m := range []*inhabitant{listens, dials} {
		f.eventually("the renewal of who "+m.name, func() bool {
			return m.file("agent.crt") != before[m] && time.Until(m.record().Expires) > 11*months
		})
		creds, err := ca.Load(m.tls(), dtc.RoleAgent)
		if err != nil || creds.Peer().ID != m.record().ID {
			t.Errorf("what the agent that %s has now: %v", m.name, err)
		}
	}
	f.eventually("a listener's new certificate", func() bool {
		return time.Until(f.shownBy(listens.cfg.LocalHost)) > 11*months
	})
	if young.file("agent.crt") != before[young] || !young.record().Expires.Equal(ends) {
		t.Error("a certificate was renewed too soon")
	}
	if told := f.told("listens"); len(told) > 0 {
		t.Errorf("of a host that was there all the time was told %q", told)
	}
	if n := strings.Count(listens.log.String(), "handed over"); n != 1 {
		t.Errorf("it was handed something %d times", n)
	}
}

// shownBy returns when the certificate ends that a listener shows.
func (f *fleetHome) shownBy(at netip.AddrPort) time.Time {
	f.t.Helper()
	creds, err := ca.Load(filepath.Join(f.dir, "conf", "tls"), dtc.RoleMonitor)
	if err != nil {
		f.t.Fatal(err)
	}
	conn, err := wire.Dialer{TLS: creds.ToAgents(nil)}.Dial(f.t.Context(), at, wire.ProtoRPC)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	return conn.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState().PeerCertificates[0].NotAfter
}

// operator returns the credentials of a new operator or viewer.
func (f *fleetHome) operator(name string, role dtc.Role) *ca.Credentials {
	f.t.Helper()
	key, cert, root, err := f.authority.IssueOperator(name, role, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	dir := filepath.Join(f.t.TempDir(), "tls")
	if err := ca.StoreOperator(dir, key, cert, root); err != nil {
		f.t.Fatal(err)
	}
	creds, err := ca.Load(dir, dtc.RoleOperator)
	if err != nil {
		f.t.Fatal(err)
	}
	return creds
}

// asker returns a client of an agent or a monitor.
func (f *fleetHome) asker(config func(netip.Addr) *tls.Config, at netip.AddrPort) *wire.Client {
	d := wire.Dialer{TLS: config}
	c := wire.NewClient(func(ctx context.Context) (net.Conn, error) { return d.Dial(ctx, at, wire.ProtoRPC) })
	f.t.Cleanup(func() { c.Close() })
	return c
}

// A stolen operator's key is refused by an agent that has heard of it, on the
// connection that is open too, after its restart, and without its state; every
// attempt makes an event, but not one each. Another operator goes on.
func TestStolenOperator(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	m := f.member("web1", 0, config.Agent{LocalHost: freePort(t, loopback(44))}, loopback(44)).start()
	f.set(config.Monitor{LocalHost: freePort(t, loopback(1)), Hosts: []config.Host{m.host()}})
	stolen, good := f.operator("mallory", dtc.RoleOperator), f.operator("alice", dtc.RoleViewer)
	f.start().reaches(m)
	open, other := f.asker(stolen.ToAgents(nil), m.cfg.LocalHost), f.asker(good.ToAgents(nil), m.cfg.LocalHost)
	ask := func(c *wire.Client) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.Info(ctx)
		return err
	}
	if err := errors.Join(ask(open), ask(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.authority.Revoke("mallory"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := f.control(VerbTrust, nil); err != nil {
		t.Fatal(err)
	}
	f.eventually("the list at the agent", func() bool { return m.file("revoked") != "" })
	f.eventually("the end of the open connection", func() bool { return dtc.KindOf(ask(open)) == dtc.KindCertificate })
	t.Logf("refused %s after dtc revoke", time.Since(began).Round(time.Millisecond))
	refused := func() {
		t.Helper()
		for range 5 {
			if err := ask(f.asker(stolen.ToAgents(nil), m.cfg.LocalHost)); dtc.KindOf(err) != dtc.KindCertificate {
				t.Errorf("the stolen key gets %v", err)
			}
		}
		if err := ask(f.asker(good.ToAgents(nil), m.cfg.LocalHost)); err != nil {
			t.Errorf("another operator gets %v", err)
		}
	}
	refused()
	m.stop()
	if err := os.RemoveAll(filepath.Join(m.home, "state")); err != nil {
		t.Fatal(err)
	}
	m.start()
	f.eventually("the agent's return", func() bool { return ask(f.asker(good.ToAgents(nil), m.cfg.LocalHost)) == nil })
	refused()
	if err := ask(other); err != nil {
		t.Errorf("another operator's connection: %v", err)
	}
	if dtc.KindOf(ask(f.asker(stolen.ToMonitor(), f.cfg.LocalHost))) != dtc.KindCertificate {
		t.Error("the monitor lets the stolen key in")
	}
	f.wantTold("monitor", "refused")
	if err := f.control(VerbTrust, nil); err != nil { // so that the agent is asked now
		t.Fatal(err)
	}
	f.eventually("the event of the agent's refusals", func() bool { return slices.Contains(f.told("web1"), "refused") })
	f.read(func(e dtc.Event) {
		if e.State == dtc.StateRefused && !strings.Contains(e.Reason, "operator mallory") {
			t.Errorf("an event says %q", e.Reason)
		}
	})
}

// The key of a monitor that is none any more is refused by agents, also as the
// monitor that they dial.
func TestOldMonitor(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	m := f.member("web1", 0, config.Agent{LocalHost: freePort(t, loopback(45))}, loopback(45)).start()
	f.set(config.Monitor{LocalHost: freePort(t, loopback(1)), Hosts: []config.Host{m.host()}})
	dir := filepath.Join(f.dir, "conf", "tls")
	old, err := ca.Load(dir, dtc.RoleMonitor)
	if err != nil {
		t.Fatal(err)
	}
	s := f.start()
	s.reaches(m)
	s.stop()
	if err := os.Remove(filepath.Join(dir, "monitor.key")); err != nil {
		t.Fatal(err)
	}
	if err := ca.Init(dir, nil); err != nil {
		t.Fatal(err)
	}
	f.start()
	f.eventually("the list at the agent", func() bool { return m.file("revoked") != "" })
	if _, err := f.asker(old.ToAgents(nil), m.cfg.LocalHost).Info(t.Context()); dtc.KindOf(err) != dtc.KindCertificate {
		t.Errorf("the old monitor gets %v", err)
	}
}

// What the roles may not do is refused on the wire, by both sides.
func TestRoles(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	m := f.member("web1", 0, config.Agent{LocalHost: freePort(t, loopback(46))}, loopback(46)).start()
	f.set(config.Monitor{LocalHost: freePort(t, loopback(1)), Hosts: []config.Host{m.host()}})
	operator, viewer := f.operator("alice", dtc.RoleOperator), f.operator("vera", dtc.RoleViewer)
	f.start().reaches(m)
	agent, err := ca.Load(m.tls(), dtc.RoleAgent)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*ca.Credentials{operator, viewer} {
		client := f.asker(c.ToAgents(nil), m.cfg.LocalHost)
		wantDenied(t, client.Watch(t.Context(), dtc.Watching{}, nil))
		wantDenied(t, client.Acknowledge(t.Context(), "run", 1))
		_, err := client.Check(t.Context(), []int{1}, nil)
		wantDenied(t, err)
		_, err = client.Trust(t.Context(), dtc.TrustGrant{})
		wantDenied(t, err)
		if _, err := client.Preview(t.Context(), dtc.Watching{}); err != nil {
			t.Errorf("%s: %v", c.Peer().Role, err)
		}
		_, csr, err := ca.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		if g, err := f.asker(c.ToMonitor(), f.cfg.LocalHost).Renew(t.Context(), dtc.TrustState{Request: csr}); err != nil || !g.Empty() {
			t.Errorf("%s: the monitor gives it %d bytes of a certificate, %v", c.Peer().Role, len(g.Certificate), err)
		}
	}
	wantDenied(t, f.asker(agent.ToMonitor(), f.cfg.LocalHost).Control(t.Context(), VerbReload, nil, nil))
	f.eventually("the event of the agent", func() bool { return slices.Contains(f.told("web1"), "refused") })
}

func wantDenied(t *testing.T, err error) {
	t.Helper()
	if dtc.KindOf(err) != dtc.KindDenied {
		t.Errorf("error %v, want one of kind %q", err, dtc.KindDenied)
	}
}
