package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"dtc/internal/logs"
)

// read prints what a query asks for. The cursor, if there is one, goes with it.
func (a *app) read(ctx context.Context, dir string, q logs.Query, p *linePrinter, cursor *logs.Cursor) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	k := &keeper{cursor: cursor, flush: p.out.Flush, saved: time.Now(), failed: make(chan error, 1)}
	var looked time.Time
	q.Idle = func() error {
		if now := time.Now(); now.Sub(looked) >= lookForReader {
			if looked = now; readerGone(a.stdout) {
				stop(errReaderGone)
			}
		}
		return errors.Join(p.out.Flush(), k.keep())
	}
	if cursor != nil {
		q.Reached = k.reached
	}
	err := logs.Read(ctx, dir, q, p.print)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // Ctrl-C is its end
	}
	err = errors.Join(err, k.end(p.out.Flush()))
	if err == nil && errors.Is(context.Cause(ctx), errReaderGone) {
		return &statusError{exitPipe, nil}
	}
	return err
}

// errReaderGone says that nobody reads the output any more.
var errReaderGone = errors.New("nobody reads the output any more")

const (
	// exitPipe is the status that a shell gives a program that the system ended
	// because nobody reads its output (SIGPIPE).
	exitPipe = 141

	// lookForReader is how often a follower that has nothing to write looks
	// whether somebody would read it, keepEvery how often a cursor is written.
	lookForReader = time.Second
	keepEvery     = time.Second
)

// keeper writes a cursor down: never before what it stands behind was passed
// on, and beside the reading, which waits for no disk.
type keeper struct {
	cursor  *logs.Cursor // nil: there is nothing to keep
	flush   func() error
	saved   time.Time
	writing sync.WaitGroup
	busy    atomic.Bool
	failed  chan error // has room for one
}

// reached takes note of how far a copy has been given.
func (k *keeper) reached(p logs.Place) error {
	k.cursor.Set(p)
	if time.Since(k.saved) < keepEvery {
		return nil
	}
	return errors.Join(k.flush(), k.keep())
}

// keep has the cursor written if it is time. All that it stands behind has been
// passed on.
func (k *keeper) keep() error {
	select {
	case err := <-k.failed:
		return err
	default:
	}
	if k.cursor == nil || time.Since(k.saved) < keepEvery || k.busy.Load() {
		return nil
	}
	k.saved = time.Now()
	write := k.cursor.Save()
	if write == nil {
		return nil
	}
	k.busy.Store(true)
	k.writing.Go(func() {
		if err := write(); err != nil {
			k.failed <- err
		}
		k.busy.Store(false)
	})
	return nil
}

// end writes the cursor where the reading ends, unless what was given last
// could not be passed on.
func (k *keeper) end(err error) error {
	k.writing.Wait()
	select {
	case failed := <-k.failed:
		return errors.Join(err, failed)
	default:
	}
	if err != nil || k.cursor == nil {
		return err
	}
	if write := k.cursor.Save(); write != nil {
		return write()
	}
	return nil
}
