package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"dtc"
	"dtc/internal/render"
)

// watcher asks each host again and again at its own pace, so that one that hangs
// delays no other, and has what they answer shown.
type watcher struct {
	get   *getter
	every time.Duration // between the beginnings of two questions to a host
	view  view
	early bool          // pictures are shown too when not all is there
	news  chan struct{} // a question has ended

	mu      sync.Mutex // guards what follows, and the view's answers
	hosts   []watched
	shown   time.Time     // when the last whole picture was, or the beginning
	told    bool          // there was one
	newsAt  time.Time     // of the first news since the last picture, zero: there are none
	pause   time.Duration // from there to an early picture
	outcome outcome       // of the last whole picture, or that nobody answered yet
	failed  error         // of the view
}

// view shows what the hosts answer. It is not called concurrently.
type view interface {
	// add takes a part of the next answer of a host.
	add(i int, part *dtc.Report) error
	// show shows the newest answers.
	show(p picture) error
	// late says how a host is called whose last answer was good, and whose next
	// one has been waited for so long.
	late(waited time.Duration) error
	// guard does work that may panic, in a goroutine of its own.
	guard(work func())
}

// picture is how the hosts are at one moment.
type picture struct {
	outcome

	whole bool // it has what was to be waited for
	at    time.Time
}

// watched is what is known of one host.
type watched struct {
	began  time.Time // of the question under way, zero: none is
	ended  bool      // one has ended
	err    error     // how the last one did
	notes  []string  // of the last answer
	coming []string  // of the next one
	fresh  bool      // one has ended since the last whole picture
	slow   bool      // the last one took longer than there is between two
}

// Times of --watch.
const (
	earlyPause = 100 * time.Millisecond // for answers that come together
	lateLeast  = time.Second            // no host is late before
)

const errNoAnswerYet plainError = "no answer yet"

// watch asks again and again until ctx is done, or until a key ends it: on a
// terminal in place, else one answer below the other. How the last whole picture
// was is the status.
func (g *getter) watch(ctx context.Context, every time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &watcher{get: g, every: every, news: make(chan struct{}, 1), hosts: make([]watched, len(g.hosts)), pause: earlyPause}
	w.outcome = outcome{errs: slices.Repeat([]error{errNoAnswerYet}, len(g.hosts))}
	switch {
	case g.render.Format == render.FormatJSONL:
		v := g.newLines()
		defer v.doc.Close()
		w.view = v
	case g.render.Color:
		s := g.newScreen(every)
		defer s.close()
		defer s.listen(stop)() // before the close
		w.view, w.early = s, true
	default:
		v := g.newBlocks()
		defer v.live.Close()
		w.view = v
	}
	return w.run(ctx)
}

// run asks and shows until ctx is done or nothing can be shown any more.
func (w *watcher) run(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop() // before the wait
	w.shown = time.Now()
	for i := range w.hosts {
		asking.Go(func() { w.view.guard(func() { w.keep(ctx, i) }) })
	}
	for {
		whole, ok := w.wait(ctx)
		if !ok {
			return w.outcome.status()
		}
		if err := w.show(ctx, picture{whole: whole}); err != nil {
			return fmt.Errorf("write the answers: %w", err)
		}
	}
}

// keep asks a host until ctx is done: one question after the other.
func (w *watcher) keep(ctx context.Context, i int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := w.begin(i)
		w.get.fleet.Get(ctx, w.get.hosts[i:i+1], w.get.query, w.get.timeout, func(_ int, part *dtc.Report) { w.take(ctx, i, part) })
		timer.Reset(time.Until(began.Add(w.every)))
	}
}

func (w *watcher) begin(i int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &w.hosts[i]
	h.began, h.coming = time.Now(), nil
	return h.began
}

// take takes a part of an answer.
func (w *watcher) take(ctx context.Context, i int, part *dtc.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil || w.failed != nil {
		return
	}
	h := &w.hosts[i]
	h.coming = appendNotes(h.coming, part)
	w.failed = w.view.add(i, w.get.worded(i, part, part.Err))
	if !part.Partial {
		h.end(part.Err, w.every)
		if w.newsAt.IsZero() {
			w.newsAt = time.Now()
		}
	}
	if !part.Partial || w.failed != nil {
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

// end ends the question under way.
func (h *watched) end(err error, every time.Duration) {
	h.slow = time.Since(h.began) >= every
	h.began, h.ended, h.fresh = time.Time{}, true, true
	h.err, h.notes, h.coming = err, h.coming, nil
}

// wait waits for the time of the next picture; not ok when ctx is done.
func (w *watcher) wait(ctx context.Context) (whole, ok bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		at, whole := w.due()
		left := time.Until(at)
		if left <= 0 {
			return whole, true
		}
		timer.Reset(left)
		select {
		case <-timer.C:
		case <-w.news:
		case <-ctx.Done():
		}
	}
	return false, false
}

// due returns when the next picture is to be shown, and whether it is a whole
// one: that is when each host has news but those that are slow, and at the latest
// at the end of the interval.
func (w *watcher) due() (at time.Time, whole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.failed != nil {
		return now, true
	}
	fresh, missing := 0, 0
	for i := range w.hosts {
		switch h := &w.hosts[i]; {
		case h.fresh:
			fresh++
		case !h.slow && !h.late(now, w.every):
			missing++
		}
	}
	at, whole = w.shown.Add(w.every), true
	switch {
	case fresh > 0 && missing == 0 && !w.told:
		at = now
	case fresh > 0 && missing == 0:
		at = w.shown.Add(w.every / 2) // not two at once, one of the end of the interval and one of the news
	}
	if early := w.newsAt.Add(w.pause); w.early && !w.newsAt.IsZero() && early.Before(at) {
		return early, false
	}
	return at, whole
}

// late tells whether a question has been under way for that long.
func (h *watched) late(now time.Time, limit time.Duration) bool {
	return !h.began.IsZero() && now.Sub(h.began) >= limit
}

// show has a picture shown.
func (w *watcher) show(ctx context.Context, p picture) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil || ctx.Err() != nil {
		return w.failed
	}
	p.at, p.outcome = time.Now(), outcome{errs: make([]error, len(w.hosts)), notes: make([][]string, len(w.hosts))}
	for i := range w.hosts {
		p.errs[i], p.notes[i] = w.state(&w.hosts[i], p.at), w.hosts[i].notes
	}
	err := w.view.show(p)
	w.newsAt, w.pause = time.Time{}, max(earlyPause, 4*time.Since(p.at))
	if !p.whole {
		return err
	}
	w.shown, w.told, w.outcome = time.Now(), true, p.outcome
	for i := range w.hosts {
		w.hosts[i].fresh = false
	}
	return err
}

// state returns how a host is: nil if it answers.
func (w *watcher) state(h *watched, now time.Time) error {
	switch {
	case !h.ended:
		return errNoAnswerYet
	case h.err == nil && h.late(now, max(w.every, lateLeast)):
		return w.view.late(now.Sub(h.began))
	default:
		return h.err
	}
}
