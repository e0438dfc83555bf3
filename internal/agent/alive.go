package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dtc/internal/wire"
)

// VerbAlive has the agent say that its parts answer.
const VerbAlive = "alive"

// Ready waits until the agent listens on its local_host and its local socket and
// watches processes. What cannot come any more is an error.
func (a *Agent) Ready(ctx context.Context) error {
	if a.has(PartStatus) {
		a.mu.Lock()
		listening := a.attempt
		a.mu.Unlock()
		select {
		case <-listening.done:
			if listening.err != nil {
				return listening.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	a.awaitSocket(ctx)
	return a.Alive(ctx)
}

// awaitSocket waits until the local socket is there, where it comes to be: the
// agent works without it too.
func (a *Agent) awaitSocket(ctx context.Context) {
	const (
		most  = 3 * time.Second
		pause = 20 * time.Millisecond
	)
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for errors.Is(wire.Control(ctx, SocketPath(a.opts.Home), "", nil, nil), wire.ErrNoService) && sleep(ctx, pause) {
	}
}

// Alive returns nil if the agent's parts still answer: a question goes over the
// local socket to who changes the configuration and to who watches processes. A
// file server that hangs, and with it the reading of files on it, is no reason
// to start an agent anew, and is not asked for.
func (a *Agent) Alive(ctx context.Context) error {
	err := wire.Control(ctx, SocketPath(a.opts.Home), VerbAlive, nil, nil)
	if errors.Is(err, wire.ErrNoService) { // there is none: see control
		return a.alive(ctx)
	}
	return err
}

func (a *Agent) alive(ctx context.Context) error {
	a.config()
	if !a.has(PartStatus) {
		return nil
	}
	if err := a.watcher.Alive(ctx); err != nil {
		return fmt.Errorf("watch processes: %w", err)
	}
	return nil
}
