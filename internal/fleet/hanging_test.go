package fleet

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// Hosts that hang in the middle of a handshake, and hosts that compute for long,
// do not keep the others waiting: wherever they stand in the list.
func TestHangingHosts(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	never := func(ctx context.Context, _ func(*dtc.Report) error) error {
		<-ctx.Done()
		return ctx.Err()
	}
	d := wire.Dialer{TLS: func(netip.Addr) *tls.Config { return client }}
	const n, timeout = 60, 2 * time.Second
	for _, badFirst := range []bool{true, false} {
		f := New(func(h Host) *wire.Client {
			return wire.NewClient(func(ctx context.Context) (net.Conn, error) {
				return d.Dial(ctx, h.Address, wire.ProtoRPC)
			})
		})
		hosts := make([]Host, n)
		for i := range hosts {
			name := "good"
			if badFirst == (i < n/2) {
				name = []string{"silent", "half", "mute"}[i%3]
			}
			hosts[i].Name = name
			switch name {
			case "good":
				hosts[i].Address, _ = start(t, server, "127.0.0.1:0", &agent{get: one})
			case "mute":
				hosts[i].Address, _ = start(t, server, "127.0.0.1:0", &agent{get: never})
			case "silent":
				hosts[i].Address = hangAfter(t, server, 0)
			case "half":
				hosts[i].Address = hangAfter(t, server, 100)
			}
		}
		began := time.Now()
		var lastGood time.Duration
		f.Get(t.Context(), hosts, dtc.Query{Status: dtc.StatusMemory}, timeout, func(i int, part *dtc.Report) {
			switch {
			case hosts[i].Name == "good" && part.Err == nil:
				lastGood = max(lastGood, time.Since(began))
			case hosts[i].Name == "good" || dtc.KindOf(part.Err) != dtc.KindTimeout:
				t.Errorf("%s: %v", hosts[i].Name, part.Err)
			}
		})
		if took := time.Since(began); lastGood >= timeout || took > timeout+3*time.Second {
			t.Errorf("the last good one took %s, all %s", lastGood, took)
		}
		f.Close()
	}
}

// hangAfter returns the address of one that takes a connection and says nothing
// after the first bytes of a handshake.
func hangAfter(tb testing.TB, cfg *tls.Config, bytes int) netip.AddrPort {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Error(err)
		return netip.AddrPort{}
	}
	var hanging sync.WaitGroup
	hanging.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = tls.Server(&mutedConn{Conn: c, left: bytes}, cfg).HandshakeContext(context.Background())
		_, _ = io.Copy(io.Discard, c) // until the other side gives up
	})
	tb.Cleanup(func() {
		ln.Close()
		hanging.Wait()
	})
	return netip.MustParseAddrPort(ln.Addr().String())
}

// mutedConn sends only the first bytes, and believes that all were sent.
type mutedConn struct {
	net.Conn

	left int
}

func (c *mutedConn) Write(b []byte) (int, error) {
	if n := min(c.left, len(b)); n > 0 {
		c.left -= n
		if _, err := c.Conn.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// Rounds side by side end when they are canceled or the fleet is closed, in the
// middle of answers that never end; and each host ends once in each.
func TestEndInTheMiddle(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	endless := func(ctx context.Context, emit func(*dtc.Report) error) error {
		for ctx.Err() == nil {
			if err := emit(&dtc.Report{Partial: true}); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return ctx.Err()
	}
	hosts := make([]Host, 20)
	for i := range hosts {
		hosts[i].Address, _ = start(t, server, "127.0.0.1:0", &agent{get: endless})
		if i%4 == 0 {
			hosts[i].Address = hangAfter(t, server, 100)
		}
	}
	f := newFleet(t, client)
	var rounds, running sync.WaitGroup
	canceled, cancel := context.WithCancel(t.Context())
	for n := range 4 {
		ctx := t.Context()
		if n == 0 {
			ctx = canceled
		}
		running.Add(1)
		rounds.Go(func() {
			ends, parts := 0, 0
			f.Get(ctx, hosts, dtc.Query{Status: dtc.StatusMemory}, time.Minute, func(_ int, part *dtc.Report) {
				if parts++; parts == len(hosts) {
					running.Done()
				}
				if !part.Partial {
					ends++
				}
			})
			if ends != len(hosts) {
				t.Errorf("%d of %d hosts ended", ends, len(hosts))
			}
		})
	}
	running.Wait()
	began := time.Now()
	cancel()
	f.Close()
	rounds.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A host that is asked again and again is asked over one connection; one that
// went away is asked again when it is back.
func TestRoundsOverOneConnection(t *testing.T) {
	t.Parallel()
	server, client := keys(t)
	var opened [2]atomic.Int32
	ats, stops := [2]netip.AddrPort{}, [2]func(){}
	for i := range ats {
		ats[i], stops[i] = start(t, server, "127.0.0.1:0", &agent{get: one})
	}
	d := wire.Dialer{TLS: func(netip.Addr) *tls.Config { return client }}
	f := New(func(h Host) *wire.Client {
		return wire.NewClient(func(ctx context.Context) (net.Conn, error) {
			c, err := d.Dial(ctx, h.Address, wire.ProtoRPC)
			if err == nil {
				opened[h.Name[0]-'0'].Add(1)
			}
			return c, err
		})
	})
	defer f.Close()
	hosts := []Host{{Name: "0", Address: ats[0]}, {Name: "1", Address: ats[1]}}
	round := func() (errs [2]error) {
		f.Get(t.Context(), hosts, dtc.Query{Status: dtc.StatusMemory}, 10*time.Second, func(i int, part *dtc.Report) { errs[i] = part.Err })
		return errs
	}
	for range 10 {
		if errs := round(); errs != [2]error{} {
			t.Fatal(errs)
		}
	}
	if a, b := opened[0].Load(), opened[1].Load(); a != 1 || b != 1 {
		t.Errorf("%d and %d connections for 10 rounds", a, b)
	}
	stops[1]()
	for range 3 {
		if errs := round(); errs[0] != nil || dtc.KindOf(errs[1]) != dtc.KindRefused {
			t.Fatal(errs)
		}
	}
	start(t, server, ats[1].String(), &agent{get: one})
	for range 3 {
		if errs := round(); errs != [2]error{} {
			t.Fatal(errs)
		}
	}
	if a, b := opened[0].Load(), opened[1].Load(); a != 1 || b != 2 {
		t.Errorf("%d and %d connections in all", a, b)
	}
}
