package ca

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
)

// anyone returns a client that trusts everybody and shows certs.
func anyone(certs []tls.Certificate, protos ...string) *tls.Config {
	cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: protos}
	if len(certs) > 0 {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[0], nil }
	}
	return cfg
}

func TestBothSidesProven(t *testing.T) {
	f := newFleet(t)
	monitor, agent := f.monitor(t), f.agent(t, "web1", "10.0.0.7", "fd00::7")
	revoked := func(p dtc.Peer) bool { return !f.Valid(p) }

	t.Run("monitor dials agent", func(t *testing.T) {
		for _, ip := range ips("10.0.0.7", "fd00::7", "::ffff:10.0.0.7") {
			r := shake(t, agent.ServerTLS(nil, "", "h2"), dialing(monitor.ClientTLS(ip, dtc.RoleAgent, revoked), "h2"))
			must(t, r.clientErr)
			must(t, r.serverErr)
			atAgent, err := Identify(r.server)
			must(t, err)
			atMonitor, err := Identify(r.client)
			must(t, err)
			if atAgent.Role != dtc.RoleMonitor || atMonitor.Role != dtc.RoleAgent || !sameIPs(atMonitor.IPs, ips("10.0.0.7", "fd00::7")) {
				t.Errorf("agent sees %+v, monitor sees %+v", atAgent, atMonitor)
			}
			if r.client.Version != tls.VersionTLS13 || r.client.NegotiatedProtocol != "h2" {
				t.Errorf("version %x, protocol %q", r.client.Version, r.client.NegotiatedProtocol)
			}
		}
	})
	t.Run("agent dials monitor at an address it does not have", func(t *testing.T) {
		r := shake(t, monitor.ServerTLS(revoked, protoJoin, "h2", protoLog),
			dialing(agent.ClientTLS(netip.Addr{}, dtc.RoleMonitor, nil), protoLog))
		must(t, r.clientErr)
		must(t, r.serverErr)
		peer, err := Identify(r.server)
		must(t, err)
		if peer.Role != dtc.RoleAgent || !f.Valid(peer) || r.server.NegotiatedProtocol != protoLog {
			t.Errorf("%+v, valid %v, protocol %q", peer, f.Valid(peer), r.server.NegotiatedProtocol)
		}
	})
	t.Run("nothing is resumed", func(t *testing.T) {
		server := agent.ServerTLS(nil, "", "h2")
		client := dialing(monitor.ClientTLS(ips("10.0.0.7")[0], dtc.RoleAgent, nil), "h2")
		client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		client.ServerName = "x" // the key of the cache
		for range 3 {
			if r := shake(t, server, client); r.clientErr != nil || r.client.DidResume {
				t.Fatalf("resumed %v, %v", r.client.DidResume, r.clientErr)
			}
		}
	})
}

// What a server of the fleet refuses, whatever protocol is asked for.
func TestServerRefuses(t *testing.T) {
	f, other := newFleet(t), newFleet(t)
	monitor := f.monitor(t)
	none := func(*x509.Certificate) {}
	revokedAgent := f.agent(t, "gone", "10.0.0.66")
	_, err := f.Revoke("gone")
	must(t, err)
	caKey := tls.Certificate{Certificate: [][]byte{f.signing.Load().cert.Raw}, PrivateKey: f.signing.Load().key}
	signer := f.forged(t, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage = x509.KeyUsageCertSign
	})
	signerCert, err := x509.ParseCertificate(signer.Certificate[0])
	must(t, err)
	child := forge(t, signerCert, signer.PrivateKey.(*ecdsa.PrivateKey), none)
	child.Certificate = append(child.Certificate, signer.Certificate[0])
	copied := f.agent(t, "victim", "10.0.0.7").current.Load().own
	thief := forge(t, nil, nil, none)
	thief.Certificate = copied.Certificate // without its key
	caSubject := func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "DTC fleet CA"}; c.Issuer = c.Subject }

	hostile := map[string][]tls.Certificate{
		"no certificate":                nil,
		"another fleet's agent":         {other.agent(t, "web1", "10.0.0.7").current.Load().own},
		"another fleet's monitor":       {other.monitor(t).current.Load().own},
		"self-signed, the CA's subject": {forge(t, nil, nil, caSubject)},
		"self-signed CA as leaf":        {forge(t, nil, nil, func(c *x509.Certificate) { caSubject(c); c.IsCA, c.BasicConstraintsValid = true, true })},
		"the CA itself":                 {caKey},
		"expired": {f.forged(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})},
		"not yet valid": {f.forged(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour / 2) })},
		"server usage only": {f.forged(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})},
		"revoked":                 {revokedAgent.current.Load().own},
		"unknown to the register": {f.forged(t, none)},
		"signed by a member":      {child},
		"a CA made by the CA":     {signer},
		"stolen without the key":  {thief},
		"unknown role":            {f.forged(t, func(c *x509.Certificate) { c.URIs[0].Host = "superuser" })},
		"no role":                 {f.forged(t, func(c *x509.Certificate) { c.URIs = nil })},
		"two roles": {f.forged(t, func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "dtc", Host: "monitor", Path: "/a"})
		})},
		"another scheme":           {f.forged(t, func(c *x509.Certificate) { c.URIs[0].Scheme = "spiffe" })},
		"an id with more behind":   {f.forged(t, func(c *x509.Certificate) { c.URIs[0].Path += "/../x" })},
		"a role with a query":      {f.forged(t, func(c *x509.Certificate) { c.URIs[0].RawQuery = "role=monitor" })},
		"an agent without address": {f.forged(t, func(c *x509.Certificate) { c.IPAddresses = nil })},
	}
	// What is refused for itself is refused without a register too.
	byItself := monitor.ServerTLS(nil, protoJoin, "h2", protoLog)
	server := monitor.ServerTLS(func(p dtc.Peer) bool { return !f.Valid(p) }, protoJoin, "h2", protoLog)
	must(t, shake(t, byItself, anyone([]tls.Certificate{f.forged(t, none)}, "h2")).clientErr)
	for name, certs := range hostile {
		t.Run(name, func(t *testing.T) {
			server := server
			if name != "revoked" && name != "unknown to the register" {
				server = byItself
			}
			for _, protos := range [][]string{nil, {"h2"}, {protoLog}, {protoJoin, "h2"}, {"h2", protoJoin}, {protoJoin, protoJoin}, {protoJoin, "x"}, {"x"}} {
				r := shake(t, server, anyone(certs, protos...))
				if r.serverErr == nil || r.clientErr == nil || r.server.HandshakeComplete {
					t.Errorf("%q: accepted: server %v, client %v", protos, r.serverErr, r.clientErr)
				}
			}
		})
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		good := f.agent(t, "old", "10.0.1.1").current.Load().own
		for _, proto := range []string{"h2", protoJoin} {
			cfg := anyone([]tls.Certificate{good}, proto)
			must(t, shake(t, server, cfg).clientErr)
			cfg.MaxVersion = tls.VersionTLS12
			if r := shake(t, server, cfg); r.serverErr == nil || r.clientErr == nil {
				t.Errorf("%q over TLS 1.2 was accepted", proto)
			}
		}
	})
	t.Run("the kinds of its errors", func(t *testing.T) {
		wantKind(t, shake(t, server, anyone(hostile["revoked"], "h2")).serverErr, dtc.KindCertificate)
		wantKind(t, shake(t, server, anyone(hostile["unknown role"], "h2")).serverErr, dtc.KindCertificate)
	})
}

// What a client of the fleet refuses, and how it says why.
func TestClientRefuses(t *testing.T) {
	f, other := newFleet(t), newFleet(t)
	monitor, agent := f.monitor(t), f.agent(t, "web1", "10.0.0.7")
	dead := f.agent(t, "dead", "10.0.0.9")
	_, err := f.Revoke("dead")
	must(t, err)
	at := ips("10.0.0.7")[0]
	revoked := func(p dtc.Peer) bool { return !f.Valid(p) }
	toAgent := monitor.ClientTLS(at, dtc.RoleAgent, nil)
	toMonitor := agent.ClientTLS(netip.Addr{}, dtc.RoleMonitor, nil)
	none := func(*x509.Certificate) {}
	tests := map[string]struct {
		server tls.Certificate
		client *tls.Config
		kind   dtc.ErrorKind
		text   string
	}{
		"another fleet":            {other.agent(t, "web1", "10.0.0.7").current.Load().own, toAgent, dtc.KindCertificate, "not of this fleet's CA"},
		"another fleet and ip":     {other.agent(t, "web2", "10.0.0.8").current.Load().own, toAgent, dtc.KindCertificate, "not of this fleet's CA"},
		"self-signed":              {forge(t, nil, nil, none), toAgent, dtc.KindCertificate, "not of this fleet's CA"},
		"another ip":               {f.agent(t, "web2", "10.0.0.8").current.Load().own, toAgent, dtc.KindIdentity, "for 10.0.0.8, not for 10.0.0.7"},
		"monitor, agent wanted":    {monitor.current.Load().own, toAgent, dtc.KindIdentity, "role monitor, not agent"},
		"agent, monitor wanted":    {agent.current.Load().own, toMonitor, dtc.KindIdentity, "role agent, not monitor"},
		"monitor at wrong ip":      {monitor.current.Load().own, agent.ClientTLS(at, dtc.RoleMonitor, nil), dtc.KindIdentity, "not for 10.0.0.7"},
		"revoked":                  {dead.current.Load().own, monitor.ClientTLS(ips("10.0.0.9")[0], dtc.RoleAgent, revoked), dtc.KindCertificate, "revoked"},
		"the CA as leaf":           {tls.Certificate{Certificate: [][]byte{f.signing.Load().cert.Raw}, PrivateKey: f.signing.Load().key}, toAgent, dtc.KindCertificate, "refused"},
		"expired":                  {f.forged(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), toAgent, dtc.KindCertificate, "ended on"},
		"not yet valid":            {f.forged(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), toAgent, dtc.KindCertificate, "set the clock"},
		"unknown role":             {f.forged(t, func(c *x509.Certificate) { c.URIs[0].Host = "superuser" }), toAgent, dtc.KindCertificate, "superuser"},
		"client usage only":        {f.forged(t, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), toAgent, dtc.KindCertificate, "refused"},
		"expired and another CA's": {forge(t, nil, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), toAgent, dtc.KindCertificate, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			shown := false
			server := &tls.Config{
				Certificates: []tls.Certificate{tt.server}, ClientAuth: tls.RequestClientCert,
				VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error { shown = len(raw) > 0; return nil },
			}
			r := shake(t, server, tt.client)
			wantKind(t, r.clientErr, tt.kind)
			if r.clientErr != nil && !strings.Contains(r.clientErr.Error(), tt.text) {
				t.Errorf("error %q does not say %q", r.clientErr, tt.text)
			}
			if r.serverErr == nil || shown {
				t.Errorf("an unproven server was shown the own certificate: %v, %v", shown, r.serverErr)
			}
		})
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		r := shake(t, &tls.Config{Certificates: []tls.Certificate{agent.current.Load().own}, MaxVersion: tls.VersionTLS12}, toAgent)
		if r.clientErr == nil {
			t.Error("accepted")
		}
	})
	t.Run("as the dialers have them", func(t *testing.T) {
		moved := ips("192.0.2.1")[0]
		must(t, shake(t, &tls.Config{Certificates: []tls.Certificate{monitor.current.Load().own}}, agent.ToMonitor()(moved)).clientErr)
		server := &tls.Config{Certificates: []tls.Certificate{agent.current.Load().own}}
		must(t, shake(t, server, monitor.ToAgents(nil)(at)).clientErr)
		wantKind(t, shake(t, server, monitor.ToAgents(nil)(moved)).clientErr, dtc.KindIdentity)
		wantKind(t, shake(t, server, agent.ToMonitor()(at)).clientErr, dtc.KindIdentity)
	})
}

// A peer without a certificate sees the ips, the role and the id, and no more.
func TestUnprovenLearnsNothing(t *testing.T) {
	f := newFleet(t)
	host, err := os.Hostname()
	must(t, err)
	for proto, certs := range map[string]int{"h2": 1, protoLog: 1, protoJoin: 2} {
		var request *tls.CertificateRequestInfo
		cfg := anyone(nil, proto)
		cfg.GetClientCertificate = func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			request = i
			return &tls.Certificate{}, nil
		}
		r := shake(t, f.monitor(t).ServerTLS(nil, protoJoin, "h2", protoLog), cfg)
		shown := r.client.PeerCertificates
		if len(shown) != certs {
			t.Fatalf("%s: %d certificates were shown, want %d", proto, len(shown), certs)
		}
		leaf := shown[0]
		if s := leaf.Subject.String(); s != "" || len(leaf.DNSNames)+len(leaf.EmailAddresses) > 0 || len(leaf.URIs) != 1 || len(leaf.IPAddresses) != 1 {
			t.Errorf("%s: the leaf holds more than ips, role and id: %q %v", proto, s, leaf.DNSNames)
		}
		for _, c := range shown {
			if strings.Contains(string(c.Raw), host) || c.Issuer.String() != "CN=DTC fleet CA" {
				t.Errorf("%s: the certificate names the host, or its issuer is %s", proto, c.Issuer)
			}
		}
		if proto == protoJoin {
			must(t, r.clientErr)
			if request != nil {
				t.Error("joining was asked for a certificate")
			}
			_, err := Identify(r.server)
			wantKind(t, err, dtc.KindCertificate)
			continue
		}
		if r.clientErr == nil || request == nil || len(request.AcceptableCAs) != 1 || !slices.Equal(request.AcceptableCAs[0], f.signing.Load().cert.RawSubject) {
			t.Errorf("%s: %v; asked for %+v", proto, r.clientErr, request)
		}
	}
}

// One that offers join alone is asked for no certificate even if it has one,
// and without a join protocol there is no way in.
func TestJoinApart(t *testing.T) {
	f := newFleet(t)
	agent := f.agent(t, "web1", "10.0.0.7")
	open := f.monitor(t).ServerTLS(nil, protoJoin, "h2")
	r := shake(t, open, dialing(agent.ClientTLS(netip.Addr{}, dtc.RoleMonitor, nil), protoJoin))
	must(t, r.clientErr)
	if len(r.server.PeerCertificates) != 0 || r.server.NegotiatedProtocol != protoJoin {
		t.Errorf("%d certificates, protocol %q", len(r.server.PeerCertificates), r.server.NegotiatedProtocol)
	}
	// Proven, and offering both: never join.
	r = shake(t, open, dialing(agent.ClientTLS(netip.Addr{}, dtc.RoleMonitor, nil), protoJoin, "h2"))
	must(t, r.clientErr)
	if len(r.server.PeerCertificates) != 1 || r.server.NegotiatedProtocol != "h2" {
		t.Errorf("%d certificates, protocol %q", len(r.server.PeerCertificates), r.server.NegotiatedProtocol)
	}
	r = shake(t, agent.ServerTLS(nil, "", "h2"), anyone(nil, protoJoin))
	if r.clientErr == nil || r.serverErr == nil {
		t.Error("an agent lets join in")
	}
}

func TestTokenTLS(t *testing.T) {
	f, other := newFleet(t), newFleet(t)
	text, err := f.Invite(Invitation{})
	must(t, err)
	token, err := ParseToken(text)
	must(t, err)
	agent := f.agent(t, "web1", "10.0.0.7")
	copied := *f.signing.Load().cert
	copied.PublicKey = other.signing.Load().key.Public()
	fake := forge(t, &copied, other.signing.Load().key, func(c *x509.Certificate) { c.URIs[0].Host = "monitor" })
	fake.Certificate = append(fake.Certificate, f.signing.Load().cert.Raw)
	old := f.forged(t, func(c *x509.Certificate) { c.URIs[0].Host = "monitor"; c.NotAfter = time.Now().Add(-time.Hour) })
	old.Certificate = append(old.Certificate, f.signing.Load().cert.Raw)
	tests := map[string]struct {
		server tls.Certificate
		kind   dtc.ErrorKind
	}{
		"another fleet's monitor":    {other.monitor(t).current.Load().withCA(), dtc.KindCertificate},
		"an agent of the fleet":      {agent.current.Load().withCA(), dtc.KindIdentity},
		"the CA's copied":            {fake, dtc.KindCertificate},
		"the leaf alone":             {f.monitor(t).current.Load().own, dtc.KindCertificate},
		"the CA's alone":             {tls.Certificate{Certificate: [][]byte{f.signing.Load().cert.Raw, f.signing.Load().cert.Raw}, PrivateKey: f.signing.Load().key}, dtc.KindCertificate},
		"expired":                    {old, dtc.KindCertificate},
		"another's leaf with our CA": {tls.Certificate{Certificate: [][]byte{other.monitor(t).current.Load().leaf.Raw, f.signing.Load().cert.Raw}, PrivateKey: other.monitor(t).current.Load().own.PrivateKey}, dtc.KindCertificate},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := shake(t, &tls.Config{Certificates: []tls.Certificate{tt.server}, NextProtos: []string{protoJoin}}, dialing(token.TLS(), protoJoin))
			wantKind(t, r.clientErr, tt.kind)
		})
	}
	t.Run("the monitor", func(t *testing.T) {
		r := shake(t, f.monitor(t).ServerTLS(nil, protoJoin, "h2"), dialing(token.TLS(), protoJoin))
		must(t, r.clientErr)
		must(t, r.serverErr)
	})
}

func TestIdentifyNeedsAHandshake(t *testing.T) {
	f := newFleet(t)
	_, err := Identify(tls.ConnectionState{PeerCertificates: []*x509.Certificate{f.monitor(t).current.Load().leaf}})
	wantKind(t, err, dtc.KindCertificate)
	_, err = Identify(tls.ConnectionState{HandshakeComplete: true})
	wantKind(t, err, dtc.KindCertificate)
	_, err = Identify(tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{f.signing.Load().cert}})
	wantKind(t, err, dtc.KindCertificate)
}
