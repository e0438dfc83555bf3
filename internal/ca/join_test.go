package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
)

// host is one that wants to join: its key stays.
type host struct {
	key, csr []byte
	at       netip.Addr
	listen   netip.AddrPort
}

func newHost(t *testing.T, at string) host {
	t.Helper()
	key, csr, err := NewKey()
	must(t, err)
	return host{key: key, csr: csr, at: netip.MustParseAddr(at)}
}

func (h host) listening(addr string) host {
	h.listen = netip.MustParseAddrPort(addr)
	return h
}

func (h host) join(f *testFleet, secret []byte) (Grant, error) {
	return f.Redeem(secret, h.at, h.csr, h.listen)
}

// joined is join, and that what it brings is good to run with.
func (h host) joined(t *testing.T, f *testFleet, inv Invitation) Grant {
	t.Helper()
	g, err := h.join(f, f.invite(t, inv))
	must(t, err)
	dir := filepath.Join(t.TempDir(), "tls")
	must(t, StoreAgent(dir, h.key, g.Certificate, g.CA))
	c, err := f.opts.Load(dir, dtc.RoleAgent)
	must(t, err)
	if p := c.Peer(); p.ID != g.ID || !sameIPs(p.IPs, g.IPs) || !f.Valid(p) {
		t.Fatalf("certificate of %+v for grant %+v, valid %v", p, g, f.Valid(p))
	}
	return g
}

func denied(t *testing.T, err error, text string) {
	t.Helper()
	wantKind(t, err, dtc.KindDenied)
	if err != nil && (!strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("error %q does not say %q in one line", err, text)
	}
}

func TestRedeemGrants(t *testing.T) {
	tests := map[string]struct {
		inv        Invitation
		at, listen string
		name       string
		ips        []netip.Addr
	}{
		"nothing said":      {Invitation{}, "10.0.0.7", "", "10.0.0.7", ips("10.0.0.7")},
		"IPv4 in IPv6":      {Invitation{}, "::ffff:10.0.0.7", "", "10.0.0.7", ips("10.0.0.7")},
		"name":              {Invitation{Name: "web1"}, "fd00::7", "", "web1", ips("fd00::7")},
		"ips":               {Invitation{IPs: ips("10.0.0.8", "fd00::8", "10.0.0.8")}, "192.168.1.1", "", "10.0.0.8", ips("10.0.0.8", "fd00::8")},
		"listen as granted": {Invitation{Name: "a", IPs: ips("10.0.0.8")}, "10.0.0.9", "10.0.0.8:7701", "a", ips("10.0.0.8")},
		"listen mapped":     {Invitation{}, "10.0.0.9", "[::ffff:10.0.0.9]:7701", "10.0.0.9", ips("10.0.0.9")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			h := newHost(t, tt.at)
			if tt.listen != "" {
				h = h.listening(tt.listen)
			}
			g := h.joined(t, f, tt.inv)
			if g.Name != tt.name || !sameIPs(g.IPs, tt.ips) || g.IPs[0] != tt.ips[0] || g.Rejoined {
				t.Errorf("granted %q %v rejoined %v", g.Name, g.IPs, g.Rejoined)
			}
		})
	}
}

func TestRedeemRefuses(t *testing.T) {
	f := newFleet(t)
	f.agent(t, "web1", "10.0.0.1")
	here := newHost(t, "10.0.0.7")
	tests := map[string]struct {
		inv  Invitation
		host host
		text string
	}{
		"listen elsewhere":        {Invitation{}, here.listening("10.0.0.1:7701"), "--listen"},
		"listen not among the ip": {Invitation{IPs: ips("10.0.0.8")}, here.listening("10.0.0.7:7701"), "--ip 10.0.0.7"},
		"listen on all":           {Invitation{}, here.listening("0.0.0.0:7701"), "--listen"},
		"name of another":         {Invitation{Name: "web1"}, here, "the name web1 is that of another"},
		"ip of another":           {Invitation{Name: "x", IPs: ips("10.0.0.9", "10.0.0.1")}, here, "the address 10.0.0.1 is in another"},
		"comes from another's ip": {Invitation{}, newHost(t, "10.0.0.1"), "the address 10.0.0.1 is in another"},
		"named as another ip":     {Invitation{Name: "10.0.0.99"}, here, "not granted"},
		"link-local":              {Invitation{}, newHost(t, "fe80::1%eth0"), "--ip"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			secret := f.invite(t, tt.inv)
			before := len(f.Issued())
			_, err := tt.host.join(f, secret)
			denied(t, err, tt.text)
			if got := len(f.Issued()); got != before {
				t.Errorf("%d certificates in the register, before %d", got, before)
			}
		})
	}
	t.Run("a joiner is not told whose an address is", func(t *testing.T) {
		_, err := newHost(t, "10.0.0.1").join(f, f.invite(t, Invitation{}))
		told, ok := errors.AsType[*dtc.Error](err)
		if !ok || strings.Contains(told.Error(), "web1") || !strings.Contains(err.Error(), "web1") {
			t.Errorf("the joiner is told %v, the monitor %v", told, err)
		}
	})
	t.Run("a refusal does not use the token up", func(t *testing.T) {
		secret := f.invite(t, Invitation{Name: "web7"})
		_, err := here.listening("10.9.9.9:1").join(f, secret)
		denied(t, err, "--listen")
		_, err = here.join(f, secret)
		must(t, err)
	})
}

func TestTokenIsUsedOnce(t *testing.T) {
	f := newFleet(t)
	secret := f.invite(t, Invitation{TTL: time.Hour})
	first := newHost(t, "10.0.0.7")
	g, err := first.join(f, secret)
	must(t, err)

	_, err = newHost(t, "10.0.0.8").join(f, secret)
	denied(t, err, "has been used")
	_, err = newHost(t, "10.0.0.7").join(f, secret)
	denied(t, err, "has been used")

	// Its own key again, as if the answer had been lost: also after a restart.
	f.Authority = f.reopen(t, f.dir)
	again, err := first.join(f, secret)
	must(t, err)
	if again.ID != g.ID || again.Name != g.Name || again.Rejoined != g.Rejoined || !sameIPs(again.IPs, g.IPs) {
		t.Errorf("first %+v, again %+v", g, again)
	}
	moved := first
	moved.at = netip.MustParseAddr("10.0.0.9")
	_, err = moved.join(f, secret)
	denied(t, err, "has been used")

	// But not once its certificate has become another.
	moved.joined(t, f, Invitation{})
	_, err = first.join(f, secret)
	denied(t, err, "has been used")

	f.clock.advance(time.Hour + time.Second)
	_, err = first.join(f, secret)
	denied(t, err, "ended on")
	f.clock.advance(keepToken)
	f.invite(t, Invitation{}) // drops what ended long ago
	_, err = first.join(f, secret)
	denied(t, err, "does not know")
}

// A used token is of no use to another key, or for another address, also where
// name and address would fit.
func TestUsedTokenFitsNobodyElse(t *testing.T) {
	f := newFleet(t)
	first, second := newHost(t, "10.0.0.7"), newHost(t, "10.0.0.7")
	secret := f.invite(t, Invitation{Name: "web1"})
	_, err := first.join(f, secret)
	must(t, err)
	moved := first
	moved.at = netip.MustParseAddr("10.0.0.9")
	_, err = moved.join(f, secret)
	denied(t, err, "has been used")

	moved.joined(t, f, Invitation{Name: "web9"})
	second.joined(t, f, Invitation{Name: "web1"})
	_, err = second.join(f, secret)
	denied(t, err, "has been used")
}

func TestTokenEnds(t *testing.T) {
	f := newFleet(t)
	here := newHost(t, "10.0.0.7")
	unsaid := f.invite(t, Invitation{}) // an hour
	f.clock.advance(time.Hour - time.Second)
	_, err := newHost(t, "10.0.0.8").join(f, unsaid)
	must(t, err)
	unsaid = f.invite(t, Invitation{})
	f.clock.advance(time.Hour + time.Second)
	_, err = here.join(f, unsaid)
	denied(t, err, "the token ended on")
	secret := f.invite(t, Invitation{TTL: time.Minute})
	f.clock.advance(time.Minute + time.Second)
	_, err = here.join(f, secret)
	denied(t, err, "the token ended on")
	_, err = here.join(f, make([]byte, secretSize))
	denied(t, err, "does not know")
	_, err = here.join(f, nil)
	denied(t, err, "does not know")
	for _, inv := range []Invitation{{TTL: -1}, {TTL: maxTTL + 1}, {Name: "a/b"}, {IPs: ips("0.0.0.0")}, {Name: "10.0.0.1", IPs: ips("10.0.0.2")}} {
		if token, err := f.Invite(inv); err == nil || token != "" {
			t.Errorf("invited %+v: %q", inv, token)
		}
	}
}

func TestRevokedTokenUse(t *testing.T) {
	f := newFleet(t)
	here := newHost(t, "10.0.0.7")
	secret := f.invite(t, Invitation{Name: "web1"})
	g, err := here.join(f, secret)
	must(t, err)
	id, err := f.Revoke("web1")
	must(t, err)
	if id != g.ID {
		t.Errorf("revoked %s, want %s", id, g.ID)
	}
	_, err = here.join(f, secret)
	denied(t, err, "has been used")
	_, err = here.join(f, f.invite(t, Invitation{Name: "web1"}))
	denied(t, err, "revoked for good")
	g = newHost(t, "10.0.0.7").joined(t, f, Invitation{Name: "web1"}) // name and ip are free
	if g.ID == id || g.Rejoined {
		t.Errorf("a new key has the id of a revoked one: %+v", g)
	}
}

func TestRejoin(t *testing.T) {
	f := newFleet(t)
	here := newHost(t, "10.0.0.7")
	first := here.joined(t, f, Invitation{Name: "web1"})
	old := dtc.Peer{ID: first.ID, Role: dtc.RoleAgent, IPs: first.IPs}

	here.at = netip.MustParseAddr("10.0.0.9")
	second := here.joined(t, f, Invitation{Name: "web1"})
	if second.ID != first.ID || !second.Rejoined || !sameIPs(second.IPs, ips("10.0.0.9")) || !sameIPs(second.Previous.IPs, ips("10.0.0.7")) {
		t.Errorf("first %+v, then %+v", first, second)
	}
	if f.Valid(old) {
		t.Error("the certificate for the old ip is still valid")
	}
	newHost(t, "10.0.0.7").joined(t, f, Invitation{}) // the old ip is free

	_, err := here.join(f, f.invite(t, Invitation{Name: "web1", IPs: ips("10.0.0.7")}))
	denied(t, err, "in another valid certificate")

	third := here.joined(t, f, Invitation{}) // without a name: the first ip
	if third.Name != "10.0.0.9" || third.ID != first.ID {
		t.Errorf("then %+v", third)
	}
	newHost(t, "10.0.0.1").joined(t, f, Invitation{Name: "web1"}) // the old name is free
	if n := len(f.Issued()); n != 4 {                             // the monitor's is one
		t.Errorf("%d certificates in the register, want 4", n)
	}
}

func TestExpiredFreesAndRejoins(t *testing.T) {
	f := newFleet(t)
	here := newHost(t, "10.0.0.7")
	first := here.joined(t, f, Invitation{Name: "web1"})
	f.clock.advance(366 * 24 * time.Hour)
	if f.Valid(dtc.Peer{ID: first.ID, Role: dtc.RoleAgent, IPs: first.IPs}) {
		t.Error("valid after its end")
	}
	newHost(t, "10.0.0.7").joined(t, f, Invitation{Name: "web1"})
	_, err := here.join(f, f.invite(t, Invitation{Name: "web1"}))
	denied(t, err, "another valid certificate")
	here.at = netip.MustParseAddr("10.0.0.8")
	if again := here.joined(t, f, Invitation{}); again.ID != first.ID || !again.Rejoined {
		t.Errorf("first %+v, again %+v", first, again)
	}
}

func TestRedeemRace(t *testing.T) {
	f := newFleet(t)
	other := f.reopen(t, f.dir) // as another process has it
	secret := f.invite(t, Invitation{IPs: ips("10.0.0.7")})
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[string]bool{}
	for i := range 16 {
		h := newHost(t, "10.1.0.1")
		h.at = netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})
		a := []*Authority{f.Authority, other}[i%2]
		wg.Go(func() {
			g, err := a.Redeem(secret, h.at, h.csr, netip.AddrPort{})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won[g.ID] = true
			} else if dtc.KindOf(err) != dtc.KindDenied {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d keys were certified by one token", len(won))
	}
}

// Nothing but the key is taken from a request.
func TestRequestsContent(t *testing.T) {
	f := newFleet(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "monitor"},
		DNSNames:    []string{"evil.example"},
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 5)},
		URIs:        []*url.URL{{Scheme: "dtc", Host: "monitor", Path: "/0"}},
	}, key)
	must(t, err)
	g, err := f.Redeem(f.invite(t, Invitation{}), netip.MustParseAddr("10.0.0.7"), csr, netip.AddrPort{})
	must(t, err)
	cert, err := decodeCertificate(g.Certificate)
	must(t, err)
	p, err := identity(cert)
	must(t, err)
	if p.Role != dtc.RoleAgent || !sameIPs(p.IPs, ips("10.0.0.7")) || len(cert.DNSNames) != 0 || cert.Subject.String() != "" {
		t.Errorf("certified %+v %v %s", p, cert.DNSNames, cert.Subject)
	}
}

func TestRequestRefused(t *testing.T) {
	f := newFleet(t)
	_, good, err := NewKey()
	must(t, err)
	unsigned := append([]byte(nil), good...)
	unsigned[len(unsigned)-1] ^= 1
	big, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	p384, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, big)
	must(t, err)
	for name, csr := range map[string][]byte{
		"none": nil, "garbage": []byte("hello"), "unsigned": unsigned, "P-384": p384,
		"too big": append(slices.Clip(good), make([]byte, maxCSR)...), "trailing": append(slices.Clip(good), 0),
	} {
		_, err := f.Redeem(f.invite(t, Invitation{}), netip.MustParseAddr("10.0.0.7"), csr, netip.AddrPort{})
		if err == nil || dtc.KindOf(err) != dtc.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	monitorKey, err := readKey(f.path("monitor.key"))
	must(t, err)
	csr, err := request(monitorKey)
	must(t, err)
	_, err = f.Redeem(f.invite(t, Invitation{}), netip.MustParseAddr("10.0.0.7"), csr, netip.AddrPort{})
	denied(t, err, "not an agent's")
}

// A monitor that cannot write its register certifies nobody, and tells the
// joiner's side nothing of its folders: the error has no kind.
func TestRedeemWithoutRegister(t *testing.T) {
	f := newFleet(t)
	secret := f.invite(t, Invitation{})
	must(t, replacePrivate(f.path(registerFile), []byte("{}\n")))
	_, err := newHost(t, "10.0.0.7").join(f, secret)
	wantKind(t, err, dtc.KindOther)
}

func FuzzRequest(f *testing.F) {
	_, good, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, csr []byte) {
		defer bounds.Alloc(t, len(csr))()
		if key, err := requestKey(csr); err == nil && keyHash(key) == "" {
			t.Error("a key without a hash was accepted")
		}
	})
}
