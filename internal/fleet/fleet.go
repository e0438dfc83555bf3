// Package fleet asks many agents at once: one kept connection each, side by
// side, so that a slow host delays no other; and it keeps watch over who is up.
package fleet

import (
	"context"
	"errors"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// Host is one monitored host.
type Host struct {
	Name    string
	Address netip.AddrPort
	Groups  []string
}

// Connect returns a client of a host's agent. It need not connect yet.
type Connect func(h Host) *wire.Client

// Fleet holds a client for each host that it was asked about.
type Fleet struct {
	connect Connect
	starts  *starts
	seed    maphash.Seed // of what differs between hosts by chance

	mu      sync.Mutex
	clients map[netip.AddrPort]*wire.Client
	states  map[netip.AddrPort]Liveness
	closed  bool
}

// New returns a fleet whose clients come from connect.
func New(connect Connect) *Fleet {
	return &Fleet{
		connect: connect, starts: newStarts(maxStarting), seed: maphash.MakeSeed(),
		clients: map[netip.AddrPort]*wire.Client{}, states: map[netip.AddrPort]Liveness{},
	}
}

// Client returns the client of h's address, the same with every call. After
// [Fleet.Close] it is one that is closed.
func (f *Fleet) Client(h Host) *wire.Client {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.clients[h.Address]
	if c == nil {
		c = f.connect(h)
		f.clients[h.Address] = c
		if f.closed {
			c.Close()
		}
	}
	return c
}

// Forget closes the client of an address that the fleet is not going to ask
// any more.
func (f *Fleet) Forget(address netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[address]; c != nil {
		c.Close()
		delete(f.clients, address)
	}
	delete(f.states, address)
}

// Close closes all connections. Calls in progress fail.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, c := range f.clients {
		c.Close()
	}
}

// Get asks all hosts q side by side and gives the parts of their answers to
// deliver, with the host's index in hosts: each host's own in order, those of
// different hosts mixed. deliver is not called concurrently, and a part is valid
// during the call only. Each host ends with exactly one part that has Partial
// unset, with Err set if it did not answer within timeout; what deliver itself
// takes does not count as the host's time. Get returns when all hosts have ended.
func (f *Fleet) Get(ctx context.Context, hosts []Host, q dtc.Query, timeout time.Duration, deliver func(i int, part *dtc.Report)) {
	var turn sync.Mutex
	var asking sync.WaitGroup
	q.Timeout = timeout
	for i, h := range hosts {
		ctx, clock, end := f.begin(ctx, timeout)
		asking.Go(func() {
			defer end()
			f.ask(ctx, h, q, func(part *dtc.Report) {
				clock.enter(delivering)
				defer clock.enter(waiting)
				turn.Lock()
				defer turn.Unlock()
				deliver(i, part)
			})
		})
	}
	asking.Wait()
}

// Each has ask ask all hosts side by side, each with its client and its index in
// hosts, and returns when all have ended. The context of one ends when that host
// has taken as long as timeout.
func (f *Fleet) Each(ctx context.Context, hosts []Host, timeout time.Duration, ask func(ctx context.Context, i int, c *wire.Client)) {
	var asking sync.WaitGroup
	for i, h := range hosts {
		ctx, _, end := f.begin(ctx, timeout)
		asking.Go(func() {
			defer end()
			ask(ctx, i, f.Client(h))
		})
	}
	asking.Wait()
}

// begin waits until another host may be asked. The context that it returns is
// for that, and ends when the host has taken as long as limit: what a handshake
// computes on this side is no host's fault, so that at least half of it must have
// been spent in waiting for the host.
func (f *Fleet) begin(ctx context.Context, limit time.Duration) (_ context.Context, clock *stopwatch, end func()) {
	free := f.starts.begin(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	late := func() { cancel(&dtc.Error{Kind: dtc.KindTimeout, Err: errors.New("no answer in time")}) }
	clock = newStopwatch(alarm{startTime, startTime, free}, alarm{limit, limit / 2, late})
	ctx = wire.WithTurn(ctx, &turn{ctx: ctx, turns: f.starts.turns, clock: clock})
	return ctx, clock, func() {
		clock.enter(ended)
		free()
		cancel(nil)
	}
}

// ask asks one host and sees to it that its last part has Partial unset.
func (f *Fleet) ask(ctx context.Context, h Host, q dtc.Query, deliver func(*dtc.Report)) {
	ended := false
	address := h.Address.String()
	err := f.Client(h).Get(ctx, q, func(part *dtc.Report) error {
		part.Host, part.Address = h.Name, address
		ended = !part.Partial
		deliver(part)
		return nil
	})
	if ended {
		return
	}
	if err == nil {
		err = errors.New("no answer")
	}
	deliver(&dtc.Report{Host: h.Name, Address: address, Status: q.Status, Err: err})
}
