package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// shut is a connection that only notes its end.
type shut struct {
	net.Conn
	closed bool
}

func (s *shut) Close() error {
	s.closed = true
	return nil
}

func TestDoor(t *testing.T) {
	d := newDoor(5, 2, nil)
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2:1")
	now := time.Now()
	var inside []*visitor
	for i, step := range []struct {
		ip   netip.Addr
		want bool
	}{
		{a, true},
		{a, true},
		{a, false},
		{b, true},
		{c, true},
		{c, false}, // in one network with b
		{netip.MustParseAddr("10.0.0.2"), true},
		{netip.MustParseAddr("10.0.0.2"), false},
		{netip.MustParseAddr("10.0.0.3"), true}, // in the place of the first
	} {
		v := d.enter(&shut{}, step.ip, now.Add(time.Duration(i)*time.Millisecond))
		if got := v != nil; got != step.want {
			t.Errorf("%d: %s enters: %v", i, step.ip, got)
		}
		if v != nil {
			inside = append(inside, v)
		}
	}
	if first := inside[0]; !first.pushed || !first.conn.(*shut).closed || d.leaving != 1 {
		t.Errorf("the oldest of the largest crowd: %+v", first)
	}
	for _, v := range inside {
		d.leave(v)
	}
	if d.inside != 0 || d.leaving != 0 || len(d.crowds) != 0 {
		t.Errorf("left behind: %d, %d, %v", d.inside, d.leaving, d.crowds)
	}
}

// However many strangers hold all places, who is known gets in at once, and no
// stranger pushes him out; a stranger gets in after a second at most.
func TestDoorUnderAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home := netip.MustParseAddr("10.0.0.7")
		for name, sources := range map[string]int{"16 sources": 16, "256 sources": 256} {
			d := newDoor(256, 16, func(ip netip.Addr) bool { return ip == home })
			strangers := make([]netip.Addr, sources)
			for i := range strangers {
				strangers[i] = netip.AddrFrom4([4]byte{192, 168, byte(i), 1})
			}
			var held []*visitor
			flood := func() {
				for i := range 1000 {
					if v := d.enter(&shut{}, strangers[i%sources], time.Now()); v != nil {
						held = append(held, v)
					}
				}
				held = slices.DeleteFunc(held, func(v *visitor) bool {
					if v.pushed {
						d.leave(v)
					}
					return v.pushed
				})
			}
			flood()
			known := d.enter(&shut{}, home, time.Now())
			if known == nil {
				t.Fatalf("%s: who is known does not get in", name)
			}
			time.Sleep(2 * doorTurn)
			flood()
			if known.pushed {
				t.Errorf("%s: who is known was pushed out", name)
			}
			d.leave(known)
			flood()
			time.Sleep(doorTurn)
			other := d.enter(&shut{}, netip.MustParseAddr("172.16.0.1"), time.Now())
			if other == nil {
				t.Fatalf("%s: a stranger never gets in", name)
			}
			flood()
			if other.pushed {
				t.Errorf("%s: a stranger has no time to prove himself", name)
			}
			d.leave(other)
			d.proved(other.ip)
			flood()
			if d.enter(&shut{}, other.ip, time.Now()) == nil {
				t.Errorf("%s: who has proven himself before does not get in", name)
			}
		}
	})
}

// When a monitor starts and all its agents come at once they do not push out one
// another: who waits comes again.
func TestDoorOfAFleet(t *testing.T) {
	d := newDoor(256, 16, func(netip.Addr) bool { return true })
	now := time.Now()
	var inside []*visitor
	for i := range 2000 {
		if v := d.enter(&shut{}, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now); v != nil {
			inside = append(inside, v)
		}
	}
	if len(inside) != 256 || d.leaving != 0 {
		t.Errorf("%d got in, %d of them were pushed out", len(inside), d.leaving)
	}
}

// The figures hold whatever comes and goes.
func TestDoorProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDoor(8, 3, func(ip netip.Addr) bool { return ip.As4()[3] < 3 })
		now := time.Unix(0, 0)
		var inside []*visitor
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
			if len(inside) > 0 && rapid.Bool().Draw(t, "leaves") {
				i := rapid.IntRange(0, len(inside)-1).Draw(t, "who")
				d.leave(inside[i])
				inside = append(inside[:i], inside[i+1:]...)
			} else if v := d.enter(&shut{}, netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 9).Draw(t, "ip"))}), now); v != nil {
				inside = append(inside, v)
			}
			counted, pushed := 0, 0
			for source, c := range d.crowds {
				counted += len(c.visitors)
				if len(c.visitors) == 0 || len(c.visitors) > d.each {
					t.Fatalf("%d of %s", len(c.visitors), source)
				}
			}
			for _, v := range inside {
				if v.pushed {
					pushed++
				}
			}
			if counted != d.inside || d.inside > d.max || d.leaving != pushed || d.leaving > d.max || d.inside+pushed != len(inside) {
				t.Fatalf("%d are inside, %d counted, %d leaving, %d pushed, %d hold", d.inside, counted, d.leaving, pushed, len(inside))
			}
		}
	})
}

func TestAddresses(t *testing.T) {
	var a addresses
	ip := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 10 * addressesKept {
		a.add(ip(i))
		if !a.have(ip(0)) {
			t.Fatalf("what is asked for is forgotten after %d", i)
		}
	}
	if n := len(a.now) + len(a.before); n > 2*addressesKept || a.have(ip(5)) {
		t.Errorf("%d are kept", n)
	}
}

// Who has not proven himself makes nobody keep more than a handshake takes.
func TestTalkativeStrangers(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	c := r.dialRaw(t)
	// A client hello of 64 KiB, which crypto/tls would wait for and keep.
	hello := fmt.Appendf(nil, "\x16\x03\x01\x40\x00\x01\x00\xff\xf0%s", make([]byte, 0x4000-4))
	for range 4 {
		c.Write(hello)
		copy(hello, "\x16\x03\x01\x40\x00\x00\x00\x00\x00")
	}
	began := time.Now()
	if _, err := c.Read(make([]byte, 64)); err == nil {
		_, err = c.Read(make([]byte, 64))
		if err == nil {
			t.Error("it is not closed")
		}
	}
	if took := time.Since(began); took >= handshakeTimeout {
		t.Errorf("it was kept for %s", took)
	}
	r.idle(t)
}

// An agent that calls says what its calls take and no more, over few connections
// and not for long; its logs are none of that.
func TestTalkativeAgents(t *testing.T) {
	limit := defaultLimits()
	limit.calling = 2 * time.Second
	logs := make(chan struct{})
	r := serve(t, &Server{
		Agent: &fakeAgent{}, limits: limit,
		Log: func(ctx context.Context, _ dtc.Peer, _ *Link) error {
			<-logs
			return nil
		},
	})
	defer close(logs)
	dial := func(proto string) net.Conn {
		c, err := r.dialer(r.agent).Dial(within(t, 20*time.Second), r.at, proto)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(30 * time.Second))
		return c
	}
	for range 8 {
		dial(ProtoLog)
	}
	c := dial(ProtoRPC)
	io.WriteString(c, http2Preface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	ping, said := []byte(strings.Repeat("\x00\x00\x08\x06\x01\x00\x00\x00\x00"+"12345678", 100)), 0
	var err error
	for ; err == nil && said < 100*limit.callBytes; said += len(ping) {
		_, err = c.Write(ping)
	}
	if err == nil {
		t.Errorf("%d bytes were taken", said)
	}
	soon(t, "the talkative one is cut off", func() bool { proven, _ := r.holds(); return proven == 8 })
	began := time.Now()
	for range limit.perCaller + 3 {
		dial(ProtoRPC)
	}
	soon(t, "all are there that may be", func() bool { _, unproven := r.holds(); return unproven == 0 })
	if proven, _ := r.holds(); proven > 8+limit.perCaller {
		t.Errorf("%d connections of one agent", proven)
	}
	soon(t, "they end", func() bool { proven, _ := r.holds(); return proven == 8 })
	if took := time.Since(began); took < limit.calling/2 {
		t.Errorf("they ended after %s", took)
	}
}
