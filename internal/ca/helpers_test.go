package ca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

const (
	protoLog  = "dtc-log/1"
	protoJoin = "dtc-join/1"
)

// clock is a clock that a test sets.
type clock struct{ ns atomic.Int64 }

func newClock(at time.Time) *clock {
	c := &clock{}
	c.ns.Store(at.UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// testFleet is a fleet in a folder of its own, by a clock of its own that begins at
// the real time.
type testFleet struct {
	*Authority
	clock *clock
	opts  Options
}

func newFleet(t *testing.T) *testFleet {
	t.Helper()
	c := newClock(time.Now())
	f := &testFleet{clock: c, opts: Options{Now: c.now}}
	dir := filepath.Join(t.TempDir(), "conf", "tls")
	must(t, f.opts.Init(dir, ips("10.0.0.5")))
	f.Authority = f.reopen(t, dir)
	return f
}

func (f *testFleet) reopen(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := f.opts.Open(dir)
	must(t, err)
	return a
}

// monitor returns the monitor's credentials.
func (f *testFleet) monitor(t *testing.T) *Credentials {
	t.Helper()
	c, err := f.opts.Load(f.dir, dtc.RoleMonitor)
	must(t, err)
	return c
}

// agent returns the credentials of a new agent.
func (f *testFleet) agent(t *testing.T, name string, addrs ...string) *Credentials {
	t.Helper()
	key, cert, root, _, err := f.Issue(name, ips(addrs...))
	must(t, err)
	dir := filepath.Join(t.TempDir(), "tls")
	must(t, StoreAgent(dir, key, cert, root))
	c, err := f.opts.Load(dir, dtc.RoleAgent)
	must(t, err)
	return c
}

// invite returns the secret of a new token.
func (f *testFleet) invite(t *testing.T, inv Invitation) []byte {
	t.Helper()
	text, err := f.Invite(inv)
	must(t, err)
	token, err := ParseToken(text)
	must(t, err)
	return token.Secret
}

// forged returns a certificate with a new key, signed by the fleet's CA after
// change has changed it: what the authority itself would never sign.
func (f *testFleet) forged(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	return forge(t, f.signing.Load().cert, f.signing.Load().key, change)
}

// forge is forged with any parent; nil is a self-signed certificate.
func forge(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	data, _, err := NewKey()
	must(t, err)
	key, err := decodeKey(data)
	must(t, err)
	l := leaf{peer: dtc.Peer{ID: newID(), Role: dtc.RoleAgent, IPs: ips("10.0.0.7")}, key: &key.PublicKey}
	template := l.template(time.Now(), time.Now().Add(time.Hour))
	change(template)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// result is what both sides of a handshake saw.
type result struct {
	server, client       tls.ConnectionState
	serverErr, clientErr error // after one byte from the server
}

// shake connects client to server over TCP.
func shake(t *testing.T, server, client *tls.Config) (r result) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			r.serverErr = err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		tc := tls.Server(conn, server)
		if r.serverErr = tc.Handshake(); r.serverErr == nil {
			_, r.serverErr = tc.Write([]byte{1})
		}
		r.server = tc.ConnectionState()
		tc.CloseWrite()
		io.Copy(io.Discard, conn) // or a reset could overtake the alert
	})
	conn, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	tc := tls.Client(conn, client)
	if r.clientErr = tc.Handshake(); r.clientErr == nil {
		_, r.clientErr = io.ReadFull(tc, make([]byte, 1))
	}
	r.client = tc.ConnectionState()
	conn.Close()
	wg.Wait()
	return r
}

// dialing returns cfg with the protocols that a caller sets.
func dialing(cfg *tls.Config, protos ...string) *tls.Config {
	cfg.NextProtos = protos
	return cfg
}

func ips(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, one := range s {
		out = append(out, netip.MustParseAddr(one))
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind dtc.ErrorKind) {
	t.Helper()
	if err == nil || dtc.KindOf(err) != kind {
		t.Errorf("error %v (kind %q), want kind %q", err, dtc.KindOf(err), kind)
	}
}
