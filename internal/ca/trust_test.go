package ca

import (
	"bytes"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

const days = 24 * time.Hour

// contact has an agent get what it lacks, as the monitor hands it over, and
// returns how it stands then.
func (f *testFleet) contact(t *testing.T, c *Credentials) dtc.TrustState {
	t.Helper()
	for range 4 {
		state, err := c.State()
		must(t, err)
		g := f.Offer(state)
		if len(state.Request) > 0 {
			g.Certificate, err = f.Renew(c.Peer(), state.Request)
			must(t, err)
		}
		if g.Empty() {
			must(t, f.Confirm(map[string]uint64{c.Peer().ID: state.Bundle}))
			return state
		}
		_, err = c.Take(g)
		must(t, err)
	}
	t.Fatal("there is always more to hand over")
	return dtc.TrustState{}
}

// again loads what an agent has on its disk.
func (f *testFleet) again(t *testing.T, c *Credentials) *Credentials {
	t.Helper()
	c, err := f.opts.Load(c.dir, c.role)
	must(t, err)
	return c
}

// A certificate is renewed when two thirds of its life are over and no sooner;
// the register knows the new end, and so does whoever connects from then on.
func TestRenewal(t *testing.T) {
	f := newFleet(t)
	c := f.agent(t, "web1", "10.0.0.7")
	monitor := f.monitor(t)
	server, first := c.ServerTLS(nil, "", "h2"), c.current.Load().leaf
	f.clock.advance(243 * days)
	if s := f.contact(t, c); len(s.Request) > 0 || !s.Expires.Equal(first.NotAfter) || c.current.Load().leaf != first {
		t.Error("it was renewed too soon")
	}
	f.clock.advance(days)
	s, err := c.State()
	must(t, err)
	if len(s.Request) == 0 {
		t.Fatal("it asks for nothing after two thirds of its life")
	}
	f.contact(t, c)
	now := c.current.Load().leaf
	if life := now.NotAfter.Sub(f.clock.now()); life < 364*days || now.Equal(first) {
		t.Errorf("the new one lives for %s", life)
	}
	if p := c.Peer(); p.ID != f.Issued()[1].ID || !slices.Equal(p.IPs, ips("10.0.0.7")) || !f.Valid(p) {
		t.Errorf("the new one is for %+v", p)
	}
	if r := f.Issued()[1]; !r.Expires.Equal(now.NotAfter) || r.Serial != now.SerialNumber.Text(16) || r.Name != "web1" {
		t.Errorf("the register has %+v", r)
	}
	r := shake(t, server, dialing(monitor.ClientTLS(netip.Addr{}, dtc.RoleAgent, nil), "h2"))
	must(t, r.clientErr)
	if !r.client.PeerCertificates[0].Equal(now) {
		t.Error("a connection after it shows the old one")
	}
	if !f.again(t, c).current.Load().leaf.Equal(now) {
		t.Error("the old one is in the folder")
	}
}

// Who is not valid any more, asks for something else or is no agent is not
// renewed.
func TestRenewRefuses(t *testing.T) {
	f := newFleet(t)
	c, other := f.agent(t, "web1", "10.0.0.7"), f.agent(t, "web2", "10.0.0.8")
	own, err := request(c.current.Load().key)
	must(t, err)
	_, strange, err := NewKey()
	must(t, err)
	before := f.Issued()
	for name, try := range map[string]struct {
		peer dtc.Peer
		csr  []byte
		kind dtc.ErrorKind
	}{
		"another key":   {c.Peer(), strange, dtc.KindDenied},
		"another agent": {other.Peer(), own, dtc.KindDenied},
		"the monitor":   {f.monitor(t).Peer(), own, dtc.KindDenied},
		"nobody":        {dtc.Peer{ID: "x", Role: dtc.RoleAgent}, own, dtc.KindDenied},
		"another role":  {dtc.Peer{ID: c.Peer().ID, Role: dtc.RoleOperator}, own, dtc.KindDenied},
		"garbage":       {c.Peer(), []byte("x"), dtc.KindInvalid},
		"not signed":    {c.Peer(), append(own[:len(own)-1:len(own)-1], own[len(own)-1]^1), dtc.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Renew(try.peer, try.csr)
			wantKind(t, err, try.kind)
		})
	}
	_, err = f.Revoke("web1")
	must(t, err)
	_, err = f.Renew(c.Peer(), own)
	wantKind(t, err, dtc.KindDenied)
	if after := f.Issued(); !after[2].Expires.Equal(before[2].Expires) || after[1].Serial != before[1].Serial {
		t.Error("the register changed")
	}
}

// What is handed over is proven before anything of it counts, or stands in the
// folder.
func TestTakeRefuses(t *testing.T) {
	f, foreign := newFleet(t), newFleet(t)
	c, other := f.agent(t, "web1", "10.0.0.7"), f.agent(t, "web2", "10.0.0.8")
	f.agent(t, "gone", "10.0.0.9")
	foreign.agent(t, "gone", "10.0.0.9")
	for _, one := range []*testFleet{f, foreign} {
		_, err := one.Revoke("gone")
		must(t, err)
	}
	list := f.list.Load().raw
	f.contact(t, c)
	certificate := func(change func(l *leaf)) []byte {
		l := leaf{peer: c.Peer(), key: &c.current.Load().key.PublicKey}
		change(&l)
		pem, _, err := f.sign(l)
		must(t, err)
		return pem
	}
	flip := func(b []byte) []byte { b = slices.Clone(b); b[len(b)-1] ^= 1; return b }
	sign := func(s statement, by *testFleet) []byte {
		b, err := s.sign(by.signing.Load().signer)
		must(t, err)
		return b
	}
	root := f.signing.Load().cert.Raw
	newer := f.list.Load().number + 1
	before := files(t, c.dir)
	for name, g := range map[string]dtc.TrustGrant{
		"another key":         {Certificate: certificate(func(l *leaf) { l.key = &other.current.Load().key.PublicKey })},
		"another id":          {Certificate: certificate(func(l *leaf) { l.peer.ID = newID() })},
		"another role":        {Certificate: certificate(func(l *leaf) { l.peer.Role = dtc.RoleMonitor })},
		"no address":          {Certificate: certificate(func(l *leaf) { l.peer.IPs = nil })},
		"an older one":        {Certificate: certificate(func(l *leaf) { l.life = time.Hour })},
		"another fleet":       {Certificate: encodeCertificate(foreign.agent(t, "web1", "10.0.0.7").current.Load().leaf.Raw)},
		"no certificate":      {Certificate: []byte("x")},
		"the CA":              {Certificate: encodeCertificate(root)},
		"a list of another":   {List: foreign.list.Load().raw},
		"the same number":     {List: sign(statement{kind: kindList, number: newer - 1, made: time.Now()}, f)},
		"an older list":       {List: sign(statement{kind: kindList, number: newer - 2, made: time.Now()}, f)},
		"a list unsigned":     {List: flip(sign(statement{kind: kindList, number: newer, made: time.Now()}, f))},
		"a list out of order": {List: sign(statement{kind: kindList, number: newer, items: [][]byte{[]byte("b"), []byte("a")}}, f)},
		"an id twice":         {List: sign(statement{kind: kindList, number: newer, items: [][]byte{[]byte("a"), []byte("a")}}, f)},
		"a list of no ids":    {List: sign(statement{kind: kindList, number: newer, items: [][]byte{{0}}}, f)},
		"half a list":         {List: list[:len(list)/2]},
		"a bundle as list":    {List: sign(statement{kind: kindBundle, number: newer, items: [][]byte{root}}, f)},
		"CAs of another":      {Bundle: sign(statement{kind: kindBundle, number: 1, items: [][]byte{root}}, foreign)},
		"no CAs":              {Bundle: sign(statement{kind: kindBundle, number: 1}, f)},
		"number 0":            {Bundle: sign(statement{kind: kindBundle, items: [][]byte{root}}, f)},
		"a leaf as CA":        {Bundle: sign(statement{kind: kindBundle, number: 1, items: [][]byte{c.current.Load().leaf.Raw}}, f)},
		"three CAs":           {Bundle: sign(statement{kind: kindBundle, number: 1, items: [][]byte{root, root, root}}, f)},
		"none of its own":     {Bundle: sign(statement{kind: kindBundle, number: 1, items: [][]byte{foreign.signing.Load().cert.Raw}}, f)},
		"good, but not all":   {Certificate: certificate(func(*leaf) {}), List: foreign.list.Load().raw},
	} {
		t.Run(name, func(t *testing.T) {
			if taken, err := c.Take(g); err == nil {
				t.Errorf("it was taken: %q", taken)
			}
			if s, _ := c.State(); s.List != newer-1 || s.Bundle != 0 || c.Peer().ID == "" {
				t.Errorf("it counts: %+v", s)
			}
		})
	}
	if after := files(t, c.dir); after["agent.crt"] != before["agent.crt"] || after["revoked"] != before["revoked"] || after["ca.crt"] != before["ca.crt"] {
		t.Error("the folder changed")
	}
	taken, err := c.Take(dtc.TrustGrant{List: sign(statement{kind: kindList, number: newer, made: time.Now()}, f)})
	if err != nil || len(taken) != 1 {
		t.Errorf("the next list: %q, %v", taken, err)
	}
}

// A revoked key is refused by all who have the list, also after a new start,
// whatever the name that it had; who lost the list gets it again.
func TestListReachesAll(t *testing.T) {
	f := newFleet(t)
	agent := f.agent(t, "web1", "10.0.0.7")
	operator, viewer := f.operator(t, "alice", dtc.RoleOperator), f.operator(t, "vera", dtc.RoleViewer)
	ask := func(c, by *Credentials) error {
		r := shake(t, c.ServerTLS(nil, "", "h2"), dialing(by.ClientTLS(ips("10.0.0.7")[0], dtc.RoleAgent, nil), "h2"))
		return r.serverErr
	}
	must(t, ask(agent, operator))
	must(t, ask(agent, viewer))
	if agent.Revoked(operator.Peer()) || f.contact(t, agent).List != 0 {
		t.Error("there is a list, but nobody was revoked")
	}
	r := shake(t, agent.ServerTLS(nil, "", "h2"), dialing(operator.ClientTLS(ips("10.0.0.7")[0], dtc.RoleAgent, nil), "h2"))
	must(t, agent.Recheck(r.server))

	if _, err := f.Revoke("alice"); err != nil {
		t.Fatal(err)
	}
	first := f.contact(t, agent).List
	wantKind(t, ask(agent, operator), dtc.KindCertificate)
	wantKind(t, agent.Recheck(r.server), dtc.KindCertificate) // the one that is open
	must(t, ask(agent, viewer))
	agent = f.again(t, agent)
	wantKind(t, ask(agent, operator), dtc.KindCertificate)

	f.clock.advance(-100 * days) // the number grows whatever the clock says
	_, err := f.Revoke("vera")
	must(t, err)
	f.clock.advance(100 * days)
	if second := f.contact(t, agent).List; second <= first {
		t.Errorf("number %d after %d", second, first)
	}
	wantKind(t, ask(agent, viewer), dtc.KindCertificate)

	must(t, os.Remove(filepath.Join(agent.dir, revokedFile)))
	agent = f.again(t, agent)
	must(t, ask(agent, operator)) // nobody can know
	f.contact(t, agent)
	wantKind(t, ask(agent, operator), dtc.KindCertificate)

	must(t, os.WriteFile(filepath.Join(agent.dir, revokedFile), []byte("x"), 0o644))
	if _, err := f.opts.Load(agent.dir, dtc.RoleAgent); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("with a damaged list: %v", err)
	}
}

func (f *testFleet) operator(t *testing.T, name string, role dtc.Role) *Credentials {
	t.Helper()
	key, cert, root, err := f.IssueOperator(name, role, OperatorTTL)
	must(t, err)
	dir := filepath.Join(t.TempDir(), "tls")
	must(t, StoreOperator(dir, key, cert, root))
	c, err := f.opts.Load(dir, dtc.RoleOperator)
	must(t, err)
	return c
}

// Beyond what fits the list holds those who could ask something, and the newest.
func TestListIsBounded(t *testing.T) {
	now := time.Now()
	r := &register{}
	for i := range maxItems + 10 {
		r.records = append(r.records, Record{ID: newID(), Role: dtc.RoleAgent, Expires: now, Revoked: now.Add(time.Duration(i) * time.Second)})
	}
	r.records = append(r.records,
		Record{ID: "over", Role: dtc.RoleOperator, Expires: now.Add(-31 * days), Revoked: now.Add(-40 * days)},
		Record{ID: "operator", Role: dtc.RoleOperator, Expires: now, Revoked: now.Add(-days)},
		Record{ID: "valid", Role: dtc.RoleOperator, Expires: now})
	ids := r.listed(now)
	if len(ids) != maxItems || !slices.IsSorted(ids) || slices.Contains(ids, "over") || slices.Contains(ids, "valid") ||
		!slices.Contains(ids, "operator") || slices.Contains(ids, r.records[0].ID) || !slices.Contains(ids, r.records[maxItems].ID) {
		t.Errorf("%d ids, of %d at most", len(ids), maxItems)
	}
}

// An operator's certificate lives for days, has no address and a name of its
// own; it is no agent's and no monitor's.
func TestOperator(t *testing.T) {
	f := newFleet(t)
	c := f.operator(t, "alice", dtc.RoleOperator)
	if p := c.Peer(); p.Role != dtc.RoleOperator || len(p.IPs) != 0 || !f.Valid(p) {
		t.Errorf("it is for %+v", p)
	}
	if life := c.current.Load().leaf.NotAfter.Sub(f.clock.now()); life < 6*days || life > 7*days {
		t.Errorf("it lives for %s", life)
	}
	if w := c.Warnings(f.clock.now()); len(w) > 0 {
		t.Errorf("warnings of one that was made for days: %q", w)
	}
	for name, err := range map[string]error{
		"the name of another":  second(f.IssueOperator("alice", dtc.RoleViewer, time.Hour)),
		"another role":         second(f.IssueOperator("bob", dtc.RoleMonitor, time.Hour)),
		"no time":              second(f.IssueOperator("bob", dtc.RoleViewer, 0)),
		"too long":             second(f.IssueOperator("bob", dtc.RoleViewer, 400*days)),
		"a name that is none":  second(f.IssueOperator("-b", dtc.RoleViewer, time.Hour)),
		"an agent of the name": third(f.Issue("alice", ips("10.0.0.9"))),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := f.opts.Load(c.dir, dtc.RoleAgent); err == nil {
		t.Error("it serves as an agent's")
	}
	server := shake(t, f.agent(t, "web1", "10.0.0.7").ServerTLS(nil, "", "h2"), dialing(c.ClientTLS(ips("10.0.0.7")[0], dtc.RoleAgent, nil), "h2"))
	must(t, server.serverErr)
	r := shake(t, c.ServerTLS(nil, "", "h2"), dialing(f.monitor(t).ClientTLS(netip.Addr{}, dtc.RoleMonitor, nil), "h2"))
	wantKind(t, r.clientErr, dtc.KindIdentity)
}

func second(_, _, _ []byte, err error) error          { return err }
func third(_, _, _ []byte, _ string, err error) error { return err }

// A monitor that gets a new key is another one: the key that it had is revoked.
func TestNewMonitorKey(t *testing.T) {
	f := newFleet(t)
	agent, old := f.agent(t, "web1", "10.0.0.7"), f.monitor(t)
	must(t, os.Remove(f.path("monitor.key")))
	must(t, f.opts.Init(f.dir, nil))
	must(t, f.Reload())
	if f.Valid(old.Peer()) || !f.Valid(f.monitor(t).Peer()) {
		t.Error("the wrong monitor is valid")
	}
	f.contact(t, agent)
	if !agent.Revoked(old.Peer()) || agent.Revoked(f.monitor(t).Peer()) {
		t.Error("the agent's list has the wrong monitor")
	}
}

// Clocks that are a day apart make one line that says what is known: from when
// to when, and what this clock says.
func TestClocksApart(t *testing.T) {
	f := newFleet(t)
	agent, monitor := f.agent(t, "web1", "10.0.0.7"), f.monitor(t)
	wrong := func(c *Credentials, ahead time.Duration) *Credentials {
		w := &Credentials{dir: c.dir, role: c.role, now: func() time.Time { return f.clock.now().Add(ahead) }}
		w.current.Store(c.current.Load())
		return w
	}
	for name, try := range map[string]struct {
		client, server *Credentials
		role           dtc.Role
		want           string
	}{
		"an agent's clock is behind":   {wrong(agent, -2*days), monitor, dtc.RoleMonitor, "is not valid before"},
		"the monitor's is behind":      {wrong(monitor, -2*days), agent, dtc.RoleAgent, "is not valid before"},
		"the monitor's is far ahead":   {wrong(monitor, 400*days), agent, dtc.RoleAgent, "ended on"},
		"of a listener that is behind": {monitor, wrong(agent, -2*days), dtc.RoleAgent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := shake(t, try.server.ServerTLS(nil, "", "h2"), dialing(try.client.ClientTLS(netip.Addr{}, try.role, nil), "h2"))
			if try.want != "" {
				wantClock(t, r.clientErr, try.want)
			} else if r.clientErr == nil || !strings.Contains(r.clientErr.Error(), "expired certificate") { // the alert of both
				t.Errorf("the client is told %v", r.clientErr)
			}
		})
	}
}

func wantClock(t *testing.T, err error, want string) {
	t.Helper()
	wantKind(t, err, dtc.KindCertificate)
	for _, part := range []string{want, "this host's clock says", "is a clock wrong"} {
		if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
}

// FuzzStatement: what is no statement is refused, and what is parsed has one
// encoding.
func FuzzStatement(f *testing.F) {
	data, _, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	key, err := decodeKey(data)
	if err != nil {
		f.Fatal(err)
	}
	der, err := newCA(key, time.Unix(1800000000, 0))
	if err != nil {
		f.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		f.Fatal(err)
	}
	by := newBundle(0, cert)
	for _, s := range []statement{
		{kind: kindList, number: 1},
		{kind: kindList, number: 7, items: [][]byte{[]byte("a"), []byte("b")}},
		{kind: kindBundle, number: 1, items: [][]byte{der, der}},
	} {
		b, err := s.sign(signer{cert, key})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		_, _ = (*revocations)(nil).follow(data, by)
		_, _ = by.follow(data)
		for _, kind := range []string{kindList, kindBundle} {
			s, err := parseStatement(kind, data)
			if err != nil {
				continue
			}
			again, err := s.sign(signer{cert, key})
			if signed := data[:len(data)-len(s.signature)]; err == nil && s.signer == sha256Key(cert) && !strings.HasPrefix(string(again), string(signed)) {
				t.Errorf("%q is also %q", again, signed)
			}
		}
	})
}

// FuzzBundle: what is no bundle is refused, and what is reads back from its own
// encoding.
func FuzzBundle(f *testing.F) {
	ders := make([][]byte, 2)
	for i := range ders {
		data, _, err := NewKey()
		if err != nil {
			f.Fatal(err)
		}
		key, err := decodeKey(data)
		if err != nil {
			f.Fatal(err)
		}
		if ders[i], err = newCA(key, time.Unix(1800000000, 0)); err != nil {
			f.Fatal(err)
		}
	}
	one, other := encodeCertificate(ders[0]), encodeCertificate(ders[1])
	f.Add(one)
	f.Add(slices.Concat([]byte(bundleMark+"7\n"), one, other))
	f.Add(slices.Concat([]byte(bundleMark+"18446744073709551616\n"), one))
	f.Add(slices.Concat(one, other, one))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		b, err := parseBundle(data)
		if err != nil {
			return
		}
		if len(b.certs) == 0 || len(b.certs) > maxCAs {
			t.Fatalf("%d CAs", len(b.certs))
		}
		again, err := parseBundle(b.encode())
		if err != nil || again.number != b.number || len(again.certs) != len(b.certs) || !bytes.Equal(again.certs[0].Raw, b.certs[0].Raw) {
			t.Errorf("%q became %+v, %v", b.encode(), again, err)
		}
	})
}

// FuzzCertificate reads whatever a peer may show of itself.
func FuzzCertificate(f *testing.F) {
	data, csr, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	key, err := decodeKey(data)
	if err != nil {
		f.Fatal(err)
	}
	der, err := newCA(key, time.Unix(1800000000, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(csr)
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		_, _ = requestKey(data)
		cert, err := x509.ParseCertificate(data)
		if err != nil {
			return
		}
		peer, err := identity(cert)
		if err == nil && (!plainID(peer.ID) || peer.Role == "") {
			t.Errorf("%+v", peer)
		}
	})
}
