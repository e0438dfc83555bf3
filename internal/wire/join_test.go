package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"dtc"
)

func TestJoin(t *testing.T) {
	var got JoinRequest
	want := JoinRequest{Token: []byte("t\x00k"), CSR: []byte{1, 2}, Listen: netip.MustParseAddrPort("[2001:db8::1]:7701")}
	reply := JoinReply{Certificate: []byte("cert"), CA: []byte("ca"), Name: "web1"}
	r := serve(t, &Server{Join: func(_ context.Context, remote netip.Addr, req JoinRequest) (JoinReply, error) {
		if remote != loopback {
			t.Errorf("from %s", remote)
		}
		got = req
		return reply, nil
	}})
	answer, err := Join(t.Context(), r.at, r.clientTLS(), want)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Token) != string(want.Token) || string(got.CSR) != string(want.CSR) || got.Listen != want.Listen {
		t.Errorf("the monitor got %+v", got)
	}
	if string(answer.Certificate) != "cert" || string(answer.CA) != "ca" || answer.Name != "web1" {
		t.Errorf("the agent got %+v", answer)
	}
	want.Listen = netip.AddrPort{}
	if _, err := Join(t.Context(), r.at, r.clientTLS(), want); err != nil || got.Listen.IsValid() {
		t.Errorf("without listen: %v, %s", err, got.Listen)
	}
	r.idle(t)
}

func TestJoinRefused(t *testing.T) {
	var refusal error
	r := serve(t, &Server{Join: func(context.Context, netip.Addr, JoinRequest) (JoinReply, error) { return JoinReply{}, refusal }})
	refusal = &dtc.Error{Kind: dtc.KindDenied, Err: errors.New("the token is over: ask for another")}
	if _, err := Join(t.Context(), r.at, r.clientTLS(), JoinRequest{}); dtc.KindOf(err) != dtc.KindDenied || err.Error() != "the token is over: ask for another" {
		t.Errorf("Join = %v (%s)", err, dtc.KindOf(err))
	}
	refusal = errors.New("open /secret/place: permission denied")
	if _, err := Join(t.Context(), r.at, r.clientTLS(), JoinRequest{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Join = %v", err)
	}
	if text := r.logged.String(); !strings.Contains(text, "/secret/place") {
		t.Errorf("logged: %s", text)
	}
	// A peer that is not proven is told nothing.
	if _, err := Join(t.Context(), r.at, newAuthority(t).clientTLS(), JoinRequest{Token: []byte("secret")}); dtc.KindOf(err) != dtc.KindCertificate {
		t.Errorf("Join = %v (%s)", err, dtc.KindOf(err))
	}
}

func TestJoinIsBounded(t *testing.T) {
	limit := defaultLimits()
	limit.join = 300 * time.Millisecond
	asked := 0
	r := serve(t, &Server{limits: limit, Join: func(context.Context, netip.Addr, JoinRequest) (JoinReply, error) {
		asked++
		return JoinReply{}, nil
	}})
	good, err := proto.Marshal(&JoinMessage{Token: []byte("t")})
	if err != nil {
		t.Fatal(err)
	}
	head := func(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	for _, said := range []string{"", "\x00", head(maxJoin + 1), head(1 << 31), head(100) + "x", head(4) + "\xff\xff\xff\xff", head(len(good)) + string(good) + "more"} {
		c, err := r.dialer().Dial(t.Context(), r.at, ProtoJoin)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		io.WriteString(c, said)
		io.ReadAll(c)
		if took := time.Since(began); took > limit.join+time.Second {
			t.Errorf("%q: open for %s", said, took)
		}
		c.Close()
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	r.idle(t)
}

func TestJoinAnswersOfAnyKind(t *testing.T) {
	a := newAuthority(t)
	own := a.issue(t, dtc.RoleMonitor, "m1", time.Hour)
	for _, said := range []string{"", "\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x02\xff\xff"} {
		at := listen(t, func(c net.Conn) {
			cfg := a.serverTLS(own)
			c = tls.Server(c, cfg)
			readJoin(c, new(JoinMessage))
			io.WriteString(c, said)
			c.Close()
		})
		if _, err := Join(t.Context(), at, a.clientTLS(), JoinRequest{}); err == nil {
			t.Errorf("%q was taken", said)
		}
	}
}

func TestJoinRates(t *testing.T) {
	l, now := newJoinLimiter(), time.Now()
	a := netip.MustParseAddr("10.0.0.1")
	for i := range sourceBurst + 3 {
		if got := l.allow(a, now); got != (i < sourceBurst) {
			t.Errorf("try %d of one source: %v", i, got)
		}
	}
	if now = now.Add(time.Second); !l.allow(a, now) {
		t.Error("it does not recover")
	}
	allowed := 0
	for i := range 3 * joinSources {
		if l.allow(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), now) {
			allowed++
		}
	}
	if allowed > joinBurst || len(l.sources) > joinSources {
		t.Errorf("%d allowed, %d remembered", allowed, len(l.sources))
	}
	if now = now.Add(time.Minute); !l.allow(netip.MustParseAddr("12.0.0.1"), now) || len(l.sources) > 1 {
		t.Errorf("%d remembered", len(l.sources))
	}
}
