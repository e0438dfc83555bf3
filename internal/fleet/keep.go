package fleet

import (
	"context"
	"hash/maphash"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// Liveness is whether a host's agent can be asked, as [Fleet.Keep] sees it.
type Liveness struct {
	Up    bool
	Since time.Time // of the last change
	Info  dtc.Info  // of the last contact
	Err   error     // why it is not up
}

// State returns the liveness of a host that is kept; false if it has not been
// reached or missed yet.
func (f *Fleet) State(h Host) (Liveness, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.states[h.Address]
	return l, ok
}

// Keeper is told about one host by [Fleet.Keep], never concurrently.
type Keeper struct {
	// Up is called with each contact. It watches the host until ctx is done,
	// and returns why it cannot go on: mostly the error of [wire.Client.Watch].
	// It is also called again, without a Down between, when the connection was
	// lost and the host answers again at once: then its agent was restarted, or
	// the host (see info), or nothing but the connection.
	Up func(ctx context.Context, c *wire.Client, info dtc.Info) error

	// Down is called once when the host cannot be asked: when the first try
	// fails, and when the first try after a lost connection does. After an error
	// of its own it is called again when the next try fails.
	Down func(err error) error
}

// Times of Keep.
const (
	infoTimeout = 10 * time.Second // for a host to tell what it is

	// lostTimeout is that for the first try after a lost connection: a link that
	// is cut has been silent for eight seconds by then, and is to be told within
	// ten.
	lostTimeout = time.Second

	minBackoff = 200 * time.Millisecond
	maxBackoff = 5 * time.Second
	stable     = 5 * time.Second // of Up, after which a failure is a new one
)

// Keep stays in contact with a host until ctx is done: it asks what runs there,
// has k watch it, and when that ends asks again, at first at once and then after
// pauses of 0.2 s to 5 s.
func (f *Fleet) Keep(ctx context.Context, h Host, k Keeper) {
	pause := backoff{spread: time.Duration(maphash.Comparable(f.seed, h.Address) % 1024)}
	owed := false // Down, for the host is not up
	for limit := infoTimeout; ctx.Err() == nil; {
		c := f.Client(h)
		info, err := f.contact(ctx, c, limit)
		limit = infoTimeout
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if f.changed(h, Liveness{Err: err}) || owed {
				owed = k.Down(err) != nil
			}
		default:
			owed = false
			f.changed(h, Liveness{Up: true, Info: info})
			began := time.Now()
			_ = k.Up(ctx, c, info)
			limit = lostTimeout
			if time.Since(began) >= stable {
				pause.reset()
				continue
			}
		}
		pause.wait(ctx)
	}
}

func (f *Fleet) contact(ctx context.Context, c *wire.Client, limit time.Duration) (dtc.Info, error) {
	ctx, _, end := f.begin(ctx, limit)
	defer end()
	return c.Info(ctx)
}

// changed records what is known of a host and reports whether it came up or
// went down with that.
func (f *Fleet) changed(h Host, now Liveness) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, known := f.states[h.Address]
	now.Since = time.Now()
	if known && before.Up == now.Up {
		now.Since = before.Since
	}
	if !now.Up {
		now.Info = before.Info
	}
	f.states[h.Address] = now
	return !known || before.Up != now.Up
}

// backoff is a pause that doubles, for each host a different bit longer so that a
// fleet does not come back all at once.
type backoff struct {
	spread time.Duration // 0 to 1023, the host's own
	next   time.Duration
}

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) wait(ctx context.Context) {
	b.next = min(max(2*b.next, minBackoff), maxBackoff*4/5)
	timer := time.NewTimer(b.pause())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (b *backoff) pause() time.Duration { return b.next + b.next/4*b.spread/1024 }
