package monitor

import (
	"context"
	"errors"
	"time"

	"dtc/internal/wire"
)

// VerbAlive has the service say that its parts answer.
const VerbAlive = "alive"

// Ready waits until the service listens on its local_host and its local socket.
// What cannot come any more is an error.
func (m *Monitor) Ready(ctx context.Context) error {
	m.mu.Lock()
	listening := m.attempt
	m.mu.Unlock()
	select {
	case <-listening.done:
		if listening.err != nil {
			return listening.err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	m.awaitSocket(ctx)
	return m.Alive(ctx)
}

// awaitSocket waits until the local socket is there, where it comes to be:
// watching and following work without it.
func (m *Monitor) awaitSocket(ctx context.Context) {
	const (
		most  = 3 * time.Second
		pause = 20 * time.Millisecond
	)
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for errors.Is(wire.Control(ctx, SocketPath(m.opts.Home), "", nil, nil), wire.ErrNoService) && wait(ctx, pause) {
	}
}

// Alive returns nil if the service's parts still answer: a question goes over
// the local socket to who knows the configuration and who may come in. A disk
// that hangs is no reason to start the service anew, and is not asked for.
func (m *Monitor) Alive(ctx context.Context) error {
	err := wire.Control(ctx, SocketPath(m.opts.Home), VerbAlive, nil, nil)
	if errors.Is(err, wire.ErrNoService) { // there is none: see control
		return m.alive()
	}
	return err
}

func (m *Monitor) alive() error {
	m.config()
	m.authority.Issued()
	return nil
}
