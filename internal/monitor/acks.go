package monitor

import (
	"context"
	"strconv"
	"sync"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// sightingID is the event id of a sighting: the agent's run and its number.
func sightingID(s dtc.Sighting) string { return s.Run + "-" + strconv.FormatUint(s.Number, 10) }

// acks tells an agent which of its sightings are on the monitor's disk, many
// at a time and never in the way of the next one.
type acks struct {
	m      *Monitor
	client *wire.Client
	folder string // of the host's logs
	wake   chan struct{}

	mu   sync.Mutex
	last dtc.Sighting // guarded by mu; the newest written, not yet acknowledged
}

func newAcks(m *Monitor, client *wire.Client, folder string) *acks {
	return &acks{m: m, client: client, folder: folder, wake: make(chan struct{}, 1)}
}

// add notes that a sighting has been written.
func (a *acks) add(s dtc.Sighting) {
	if s.Number == 0 {
		return
	}
	a.mu.Lock()
	a.last = s
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run acknowledges until ctx is done.
func (a *acks) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		}
		a.mu.Lock()
		s := a.last
		a.mu.Unlock()
		if err := a.m.events.Sync(ctx, a.folder); err != nil {
			return err
		}
		callCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := a.client.Acknowledge(callCtx, s.Run, s.Number)
		cancel()
		if err != nil {
			return err
		}
	}
}
