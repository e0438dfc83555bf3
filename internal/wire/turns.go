package wire

import (
	"context"
	"fmt"
	"sync"

	"dtc"
)

// How many questions of one peer are answered at a time, and how many wait for
// that. Each may hold as much memory as an answer takes, and nobody who is in
// order asks one host so much.
const (
	maxAnswering = 16
	maxInLine    = 256
)

// lines has the questions of each peer wait for their turn. Those of another one
// do not wait for them.
type lines struct {
	mu sync.Mutex
	of map[string]*line // guarded by mu; of those who ask
}

type line struct {
	inside  int           // answered or waiting; guarded by lines.mu
	answers chan struct{} // holds one for each that is answered
}

// enter waits for the turn of a peer's question. done is to be called at its end.
func (l *lines) enter(ctx context.Context, peer string) (done func(), err error) {
	l.mu.Lock()
	own := l.of[peer]
	if own == nil {
		own = &line{answers: make(chan struct{}, maxAnswering)}
		if l.of == nil {
			l.of = map[string]*line{}
		}
		l.of[peer] = own
	}
	if own.inside >= maxInLine {
		l.mu.Unlock()
		return nil, &dtc.Error{Kind: dtc.KindUnavailable, Err: fmt.Errorf("%d questions wait for an answer already: ask again later", maxInLine)}
	}
	own.inside++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if own.inside--; own.inside == 0 {
			delete(l.of, peer)
		}
	}
	select {
	case own.answers <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	return func() {
		<-own.answers
		leave()
	}, nil
}
