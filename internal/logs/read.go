package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// MaxLine is how much of a line is shown: an endless one is cut there.
const MaxLine = 1 << 20

// Query says which lines of which copies are wanted.
type Query struct {
	Folders []string          // in this order; none: all, by name
	Wants   func(Target) bool // of those folders; nil: all
	Lines   int               // the last so many of each; negative: all
	Since   time.Time         // only what arrived then or later; zero: whenever
	Match   *regexp.Regexp    // only lines that match; nil: all
	Follow  bool              // go on with what arrives
	Idle    func() error      // called when everything there is has been given; nil: it is not
	Bytes   bool              // of one stream without Match: give the bytes as they are, not whole lines
}

// Line is a line of a copy, or with Query.Bytes a piece of it.
type Line struct {
	Target
	Text []byte // with its newline, if it has one; valid during the call
	Cut  bool   // the line goes on, but is too long to be shown
}

// Read gives the lines that a query wants, each stream's in their order, from
// the files under dir (home/logs): the service need not run. It never gives a
// part of a line between two parts of another but for [MaxLine]. With
// Query.Follow it goes on until ctx is done or emit fails.
func Read(ctx context.Context, dir string, q Query, emit func(Line) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() // nothing was written
	r := &reading{root: root, query: q, emit: emit, buf: make([]byte, 64<<10), open: map[Target]*source{}, failed: map[Target]error{}}
	defer r.close()
	if r.query.Wants == nil {
		r.query.Wants = func(Target) bool { return true }
	}
	if q.Follow {
		r.watch = newWatch(root)
		defer r.watch.close()
	}
	targets, err := r.list()
	if err != nil {
		return err
	}
	r.whole = !q.Bytes || q.Match != nil || len(targets) > 1
	if r.query.Idle == nil {
		r.query.Idle = func() error { return nil }
	}
	if err := r.discover(ctx, targets, q.begin); err != nil {
		return err
	}
	if q.Follow {
		err = r.follow(ctx)
	} else {
		err = r.query.Idle()
	}
	return errors.Join(append(slices.Collect(maps.Values(r.failed)), err)...)
}

// begin sets a reader to where the query begins.
func (q *Query) begin(ctx context.Context, r *reader) error {
	floor := int64(0)
	if !q.Since.IsZero() {
		if err := r.since(q.Since); err != nil {
			return err
		}
		floor = r.at
	}
	switch {
	case q.Lines < 0 && q.Since.IsZero():
		r.all()
	case q.Lines == 0:
		r.at = r.stop
	case q.Lines > 0:
		r.at = r.stop
		var match func([]byte) bool
		if q.Match != nil {
			match = q.Match.Match
		}
		if err := r.last(ctx, q.Lines, match); err != nil {
			return err
		}
		r.at = max(r.at, floor)
	}
	return nil
}

// reading is one Read under way.
type reading struct {
	root   *os.Root
	query  Query
	emit   func(Line) error
	watch  *watch
	open   map[Target]*source
	failed map[Target]error // those that cannot be read
	order  []*source
	whole  bool // only whole lines are given
	buf    []byte
}

// source is one copy of a reading.
type source struct {
	*reader
	partial []byte // of a line whose end has not come
	cut     bool   // the rest of the line is not shown
}

func (r *reading) close() {
	for _, s := range r.order {
		_ = s.close() // nothing was written
	}
}

// list returns the copies that are there and wanted.
func (r *reading) list() ([]Target, error) {
	targets, err := listTargets(r.root, r.query.Folders)
	return slices.DeleteFunc(targets, func(t Target) bool { return !r.query.Wants(t) }), err
}

// discover opens the copies that are not open yet and gives what they have.
func (r *reading) discover(ctx context.Context, targets []Target, begin func(context.Context, *reader) error) error {
	for _, t := range targets {
		if r.open[t] != nil || r.failed[t] != nil {
			continue
		}
		if r.watch != nil {
			r.watch.add(t.Folder)
		}
		rd, err := openReader(r.root, t)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			r.failed[t] = fmt.Errorf("read the copy %s/%s: %w", t.Folder, t.Alias, err)
			continue
		}
		s := &source{reader: rd}
		r.open[t] = s
		r.order = append(r.order, s)
		if err := begin(ctx, rd); err != nil {
			return err
		}
		if err := r.drain(ctx, s); err != nil {
			return err
		}
		if r.watch == nil {
			err := r.end(s)
			if err := errors.Join(err, s.close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// drain gives what a source has at this moment.
func (r *reading) drain(ctx context.Context, s *source) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.watch == nil && s.at >= s.stop {
			return nil
		}
		n, err := s.Read(r.buf)
		if n > 0 {
			if err := r.split(s, r.buf[:n]); err != nil {
				return err
			}
			continue
		}
		if err == nil || errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

// split gives the whole lines of what was read, and keeps the rest.
func (r *reading) split(s *source, b []byte) error {
	if !r.whole {
		return r.emit(Line{Target: s.target, Text: b})
	}
	for len(b) > 0 {
		line, rest, found := bytes.Cut(b, []byte{'\n'})
		if found {
			line = b[:len(line)+1]
		}
		b = rest
		if s.cut {
			s.cut = !found
			continue
		}
		if found && len(s.partial) == 0 {
			if err := r.give(s, line); err != nil {
				return err
			}
			continue
		}
		s.partial = append(s.partial, line...)
		if !found && len(s.partial) <= MaxLine {
			continue
		}
		err := r.give(s, s.partial)
		s.cut = !found && !r.query.Bytes
		if s.partial = s.partial[:0]; cap(s.partial) > 64<<10 {
			s.partial = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// give emits a line if it is wanted.
func (r *reading) give(s *source, line []byte) error {
	if r.query.Match != nil && !r.query.Match.Match(bytes.TrimSuffix(line, []byte{'\n'})) {
		return nil
	}
	if r.query.Bytes || len(line) <= MaxLine {
		return r.emit(Line{Target: s.target, Text: line})
	}
	return r.emit(Line{Target: s.target, Text: line[:MaxLine], Cut: true})
}

// end gives a last line without its newline.
func (r *reading) end(s *source) error {
	if len(s.partial) == 0 {
		return nil
	}
	err := r.give(s, s.partial)
	s.partial = nil
	return err
}

// The safety looks of a follower: how often every copy is looked at when
// notifications work, and when they do not.
const (
	lookWatched   = time.Second
	lookUnwatched = 10 * time.Millisecond
)

var errWatchEnded = errors.New("the system's file notifications ended")

// follow gives what arrives until ctx is done.
func (r *reading) follow(ctx context.Context) error {
	every := lookWatched
	if !r.watch.works() {
		every = lookUnwatched
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var lastList time.Time
	for {
		if err := r.query.Idle(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-r.watch.events():
			if !ok {
				return errWatchEnded
			}
			if err := r.changed(ctx, e); err != nil {
				return err
			}
		case _, ok := <-r.watch.errors(): // an overflow: look at everything
			if !ok {
				return errWatchEnded
			}
			if err := r.drainAll(ctx); err != nil {
				return err
			}
		case now := <-tick.C:
			if err := r.drainAll(ctx); err != nil {
				return err
			}
			if now.Sub(lastList) < lookWatched {
				continue
			}
			lastList = now
			if err := r.rediscover(ctx); err != nil {
				return err
			}
		}
	}
}

func (r *reading) drainAll(ctx context.Context) error {
	for _, s := range r.order {
		if err := r.drain(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// changed gives what the copy has to whose files something happened.
func (r *reading) changed(ctx context.Context, e fsnotify.Event) error {
	folder, name := r.watch.split(e.Name)
	if alias, ok := aliasOf(name); ok {
		name = alias
	}
	if s := r.open[Target{folder, name}]; s != nil {
		return r.drain(ctx, s)
	}
	if e.Op&(fsnotify.Create|fsnotify.Rename) == 0 {
		return nil
	}
	return r.rediscover(ctx)
}

// rediscover takes in the copies that came to be meanwhile, from their start.
func (r *reading) rediscover(ctx context.Context) error {
	targets, err := r.list()
	if err != nil {
		return err
	}
	r.whole = r.whole || len(targets) > 1
	return r.discover(ctx, targets, func(_ context.Context, rd *reader) error {
		rd.all()
		return nil
	})
}
